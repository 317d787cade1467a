package muster.gates.write_test

import data.muster.gates.write as rule

_request(user, role, status) := {
	"subject": {"type": "user", "id": user, "properties": {"role": role}},
	"resource": {"type": "record", "id": "record-1", "properties": {"status": status}},
}

test_may_write[note] if {
	some note, tc in {
		"Alice, active": [_request("alice", null, "active"), {"may-write"}],
		"Alice, archived": [_request("alice", null, "archived"), set()],
		"Bob, active": [_request("bob", "admin", "active"), set()],
		"Bob, archived": [_request("bob", "admin", "archived"), {"may-write"}],
		"Bob without his role": [_request("bob", null, "archived"), set()],
		"no status": [_request("alice", "admin", null), set()],
		"nothing": [{}, set()],
	}
	met := rule.met with input as tc[0]
	met == tc[1]
}

test_only_records[note] if {
	some note, tc in {
		"Alice": _request("alice", null, "active"),
		"an admin": _request("bob", "admin", "archived"),
	}
	met := rule.met with input as object.union(tc, {"resource": {"type": "book"}})
	met == set()
}
