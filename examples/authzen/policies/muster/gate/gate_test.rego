package muster.gate_test

import data.muster.gate as rule

_common := [
	{"code": "subject-active", "title": "S", "message": "s", "remedy": {"kind": "request"}},
	{"code": "unknown-action", "title": "U", "message": "u", "remedy": {"kind": "request"}},
]

_gate := {
	"action": "act", "policy_id": "POL-1", "runbook_id": "RB-1", "mode": "enforce", "obligations": [],
	"requirements": [{"code": "own", "title": "O", "message": "o", "remedy": {"kind": "text"}}],
}

_source := {"actions": {"act": {"title": "Act", "risk": "high"}}, "entities": {"user": {"ana": {}}}}

_request(user, action) := {
	"subject": {"type": "user", "id": user, "known": false},
	"action": {"name": action},
	"resource": {"type": "thing", "id": "1"},
	"context": {},
	"facts": {},
	"now": "2026-06-01T10:00:00.000Z",
}

_codes(request, met) := [denial.code | some denial in answer.denials] if {
	answer := rule.decision with input as request
		with data.source as _source
		with data.metadata as {"gates": {"act": _gate}, "common": _common}
		with data.muster.gates as {"act": {"met": met}}
}

test_denied_for[note] if {
	some note, tc in {
		"nothing": ["ana", "act", {"own"}, []],
		"what is not met": ["ana", "act", set(), ["own"]],
		"who is not listed": ["bo", "act", {"own"}, ["subject-active"]],
		"both": ["bo", "act", set(), ["subject-active", "own"]],
		"an action that is not there": ["ana", "fly", {"own"}, ["unknown-action"]],
	}
	_codes(_request(tc[0], tc[1]), tc[2]) == tc[3]
}

test_a_gate_that_is_gone_decides_nothing if {
	not rule.decision with input as _request("ana", "act")
		with data.source as _source
		with data.metadata as {"gates": {"act": _gate}, "common": _common}
		with data.muster.gates as {}
}
