package muster.gate_test

import data.muster.gate as rule

_cited := {
	"cited": true,
	"id": "r1",
	"ref": "a1",
	"stored_by": {"type": "system", "id": "host"},
	"expires_at": _later,
	"withdrawn": false,
	"evidence": "r1",
	"given": [
		{"path": ["action", "name"], "value": "act"},
		{"path": ["resource", "id"], "value": "1"},
		{"path": ["context", "columns"], "value": ["a", "b"]},
	],
}

_asked := object.union(_request, {
	"context": {"columns": ["a", "b"], "ticket": "t"},
	"facts": {"request": _cited, "modules": {"a": {"completed": {"passed_at": "2026-06-01T09:00:00.000Z"}}}},
})

_told(decision) := {"codes": codes, "evidence": decision.evidence, "valid_until": decision.valid_until} if {
	codes := [denial.code | some denial in decision.denials]
}

_with(changes) := object.union(_asked, changes)

# Without the one before, of which a union would leave something.
_citing(request) := object.union(json.remove(_asked, ["facts/request"]), {"facts": {"request": request}})

test_a_stored_request_bounds_the_answer[note] if {
	some note, tc in {
		"in force": [{}, [], _later],
		"in its last millisecond": [{"now": _soon}, [], _later],
		"at its very end": [{"now": _later}, ["request-expired"], "2026-06-02T09:00:00.000Z"],
		"withdrawn": [{"facts": {"request": {"withdrawn": true}}}, ["request-withdrawn"], _later],
		"withdrawn and over": [
			{"now": _later, "facts": {"request": {"withdrawn": true}}},
			["request-withdrawn", "request-expired"],
			"2026-06-02T09:00:00.000Z",
		],
		"it ends after what is held": [
			{"facts": {"request": {"expires_at": "2027-01-01T00:00:00.000Z"}}},
			[],
			"2026-06-02T09:00:00.000Z",
		],
	}
	told := _told(rule.decision) with input as _with(tc[0])
		with data.source as _source
		with data.metadata as _bundle.metadata
		with data.muster.gates as _says
	told == {"codes": tc[1], "evidence": ["e-a", "e-own", "r1"], "valid_until": tc[2]}
}

test_what_is_asked_is_what_was_stored[note] if {
	some note, changes in {
		"another action was stored": [{"path": ["action", "name"], "value": "other"}],
		"another resource": [{"path": ["resource", "id"], "value": "2"}],
		"a field of another value": [{"path": ["context", "columns"], "value": ["a"]}],
		"a field that is not there": [{"path": ["context", "approvals"], "value": ["x"]}],
		"null, where nothing is": [{"path": ["context", "approvals"], "value": null}],
		"one of two": [
			{"path": ["resource", "id"], "value": "1"},
			{"path": ["context", "columns"], "value": ["a", "b", "c"]},
		],
		"no value": [{"path": ["context", "columns"]}],
		"no path": [{"value": "act"}],
		"nothing at all": [],
		"no list": 7,
	}
	told := _told(rule.decision) with input as _with({"facts": {"request": {"given": changes}}})
		with data.source as _source
		with data.metadata as _bundle.metadata
		with data.muster.gates as _says
	told.codes == ["request-mismatch"]
}

test_of_anybody_elses_nothing_is_told[note] if {
	some note, request in {
		"not there": {"cited": true, "id": "r1"},
		"stored for another": {"cited": true, "id": "r1", "ref": "b2"},
		"another's, and over": object.union(_cited, {"ref": "b2", "expires_at": _now}),
		"stored for nobody": object.remove(_cited, ["ref"]),
		"a ref that is none": object.union(_cited, {"ref": null}),
		"not cited, and cited": object.union(_cited, {"cited": false, "ref": "b2"}),
		"not said to be cited": {},
		"no object": null,
	}
	told := _told(rule.decision) with input as _citing(request)
		with data.source as _source
		with data.metadata as _bundle.metadata
		with data.muster.gates as _says
	told == {
		"codes": ["unknown-request"], "evidence": ["e-a", "e-own"], "valid_until": "2026-06-02T09:00:00.000Z",
	}
}

test_nothing_odd_is_in_force[note] if {
	some note, tc in {
		"an end that is no instant": [{"expires_at": "zzzz"}, "request-expired"],
		"an end that is greater than any text": [{"expires_at": []}, "request-expired"],
		"no word on whether it was withdrawn": [{"withdrawn": null}, "request-withdrawn"],
	}
	told := _told(rule.decision) with input as _with({"facts": {"request": tc[0]}})
		with data.source as _source
		with data.metadata as _bundle.metadata
		with data.muster.gates as _says
	told.codes == [tc[1]]
	told.valid_until != "zzzz"
}

test_a_stored_request_without_evidence_is_still_judged if {
	told := _told(rule.decision) with input as _with({"facts": {"request": {"evidence": null}}})
		with data.source as _source
		with data.metadata as _bundle.metadata
		with data.muster.gates as _says
	told.evidence == ["e-a", "e-own"]
}

test_no_gate_can_meet_what_is_asked_of_a_stored_request if {
	decision := rule.decision with input as _with({"now": _later, "facts": {"request": {"withdrawn": true, "given": []}}})
		with data.source as _source
		with data.metadata as _bundle.metadata
		with data.muster.gates as {"act": object.union(
			_says.act,
			{"met": {"own", "unknown-request", "request-withdrawn", "request-expired", "request-mismatch"}},
		)}
	[denial.code | some denial in decision.denials] == ["request-withdrawn", "request-expired", "request-mismatch"]
}
