package muster.gates.delete_test

import data.muster.gates.delete as rule

_request(user, soft) := {
	"subject": {"type": "user", "id": user},
	"action": {"name": "delete", "properties": {"soft": soft}},
	"resource": {"type": "record", "id": "record-1"},
}

test_may_delete[note] if {
	some note, tc in {
		"softly": [_request("alice", true), {"may-delete"}],
		"for good": [_request("alice", false), set()],
		"by Bob": [_request("bob", true), set()],
		"nobody says how": [_request("alice", null), set()],
		"nothing": [{}, set()],
	}
	met := rule.met with input as tc[0]
	met == tc[1]
}
