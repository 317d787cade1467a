package muster.gates["data-export_test"]

import data.muster.gates["data-export"] as rule

_exports := {
	"destinations": [{"id": "warehouse://analytics", "title": "Analytics"}],
	"datasets": {"customers": {"columns": {"id": "public", "email": "personal", "api_key": "secret"}}},
}

_soon := "2026-06-01T10:00:00.001Z"

_request := {
	"subject": {"type": "user", "id": "ana", "known": true, "ref": "a1", "active": true, "customer": "acme"},
	"action": {"name": "data-export"},
	"resource": {"type": "dataset", "id": "customers", "properties": {"customer": "acme"}},
	"context": {"destination": "warehouse://analytics", "ticket": "REQ-1", "columns": ["id", "email"]},
	"facts": {"approvals": {}, "request_digest": "d1"},
	"now": "2026-06-01T10:00:00.000Z",
}

_approval(approver) := {
	"approver": approver,
	"approver_active": true,
	"request_digest": "d1",
	"expires_at": _soon,
	"evidence": sprintf("e-%s", [approver]),
}

_cross := object.union(_request, {
	"resource": {"properties": {"customer": "globex"}},
	"context": {"approvals": ["x", "y"]},
	"facts": {"approvals": {"x": _approval("b2"), "y": _approval("c3")}},
})

_conditions := {
	"destination-allowlisted", "ticket-present", "customer-named",
	"columns-safe", "dual-approval", "approvers-independent",
}

test_nothing_is_met_by_nothing if rule.met == set() with input as {}
	with data.source.exports as _exports

test_same_customer if {
	rule.met == _conditions with input as _request
		with data.source.exports as _exports
	rule.evidence == set() with input as _request
	rule.instants == set() with input as _request
}

test_another_customer if {
	rule.met == _conditions with input as _cross
		with data.source.exports as _exports
	rule.evidence == {"e-b2", "e-c3"} with input as _cross
	rule.instants == {_soon} with input as _cross
}

test_missing_field[pointer] if {
	some pointer, codes in {
		"context/destination": {"destination-allowlisted"},
		"context/ticket": {"ticket-present"},
		"context/columns": {"columns-safe"},
		"resource/id": {"columns-safe"},
		"resource/type": {"columns-safe"},
		"resource/properties/customer": {"customer-named"},
		"subject/ref": {"dual-approval", "approvers-independent"},
		"context/approvals": {"dual-approval", "approvers-independent"},
		"facts/approvals": {"dual-approval", "approvers-independent"},
		"facts/approvals/x": {"dual-approval", "approvers-independent"},
		"facts/approvals/x/approver": {"dual-approval", "approvers-independent"},
		"facts/approvals/x/approver_active": {"dual-approval"},
		"facts/approvals/x/request_digest": {"dual-approval"},
		"facts/approvals/x/expires_at": {"dual-approval"},
		"facts/request_digest": {"dual-approval"},
		"now": {"dual-approval"},
	}
	met := rule.met with input as json.remove(_cross, [pointer])
		with data.source.exports as _exports
	met == _conditions - codes
}

test_changed_field[note] if {
	some note, tc in {
		"a destination that only starts like one": [
			{"context": {"destination": "warehouse://analytics/x"}},
			{"destination-allowlisted"},
		],
		"a ticket on a second line": [{"context": {"ticket": "REQ-1\n"}}, {"ticket-present"}],
		"a ticket that is a number": [{"context": {"ticket": 1}}, {"ticket-present"}],
		"no columns": [{"context": {"columns": []}}, {"columns-safe"}],
		"a secret column": [{"context": {"columns": ["id", "api_key"]}}, {"columns-safe"}],
		"an unknown column": [{"context": {"columns": ["id", "nope"]}}, {"columns-safe"}],
		"a column that is no text": [{"context": {"columns": [null]}}, {"columns-safe"}],
		"columns that are an object": [{"context": {"columns": {"a": "id"}}}, {"columns-safe"}],
		"an unknown dataset": [{"resource": {"id": "nope"}}, {"columns-safe"}],
		"a customer without a name": [{"resource": {"properties": {"customer": ""}}}, {"customer-named"}],
		"a customer that is null": [
			{"resource": {"properties": {"customer": null}}, "subject": {"customer": null}},
			{"customer-named"},
		],
		"one approver twice": [{"facts": {"approvals": {"y": {"approver": "b2"}}}}, {"dual-approval"}],
		"oneself": [
			{"facts": {"approvals": {"y": {"approver": "a1"}}}},
			{"dual-approval", "approvers-independent"},
		],
		"an inactive approver": [{"facts": {"approvals": {"y": {"approver_active": false}}}}, {"dual-approval"}],
		"another request": [{"facts": {"approvals": {"y": {"request_digest": "d2"}}}}, {"dual-approval"}],
		"digests that are null": [
			{"facts": {
				"request_digest": null,
				"approvals": {"x": {"request_digest": null}, "y": {"request_digest": null}},
			}},
			{"dual-approval"},
		],
		"at the very instant": [{"now": _soon}, {"dual-approval"}],
		"no end": [{"facts": {"approvals": {"y": {"expires_at": "zzzz"}}}}, {"dual-approval"}],
		"approvals that are an object": [
			{"context": {"approvals": {"one": "x", "two": "y"}}},
			{"approvers-independent"},
		],
		"none cited": [{"context": {"approvals": []}}, {"dual-approval"}],
		"one cited": [{"context": {"approvals": ["x"]}}, {"dual-approval"}],
		"one that does not exist": [{"context": {"approvals": ["x", "y", "z"]}}, {"approvers-independent"}],
	}
	met := rule.met with input as object.union(_cross, tc[0])
		with data.source.exports as _exports
	met == _conditions - tc[1]
}

test_one_approval_proves_nothing if {
	request := object.union(_cross, {"context": {"approvals": ["x"]}})
	rule.evidence == set() with input as request
}
