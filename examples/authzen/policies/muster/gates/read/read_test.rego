package muster.gates.read_test

import data.muster.gates.read as rule

test_record_listed[note] if {
	some note, tc in {
		"listed": ["record", "record-1", {"record-listed"}],
		"not listed": ["record", "record-9", set()],
		"another type": ["book", "record-1", set()],
		"nothing": [null, null, set()],
	}
	met := rule.met with input as {"resource": {"type": tc[0], "id": tc[1]}}
		with data.source.entities as {"record": {"record-1": {"status": "active"}}}
	met == tc[2]
}
