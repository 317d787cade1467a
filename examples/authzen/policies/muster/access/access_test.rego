package muster.access_test

import data.muster.access as rule

test_matrix[note] if {
	some note, tc in {
		"a gateway decides": ["gateway", "decide", true],
		"a gateway searches": ["gateway", "search", true],
		"an app searches": ["app", "search", true],
		"a gateway makes no tokens": ["gateway", "token.create", false],
		"an auditor reads": ["auditor", "ledger.read", true],
		"an auditor decides nothing": ["auditor", "decide", false],
		"an admin makes tokens": ["admin", "token.create", true],
		"an author has nothing to do here": ["author", "decide", false],
		"no role": [null, "decide", false],
		"no operation": ["admin", null, false],
	}
	answer := rule.decision with input as {"caller": {"role": tc[0]}, "operation": tc[1], "target": null}
	answer.allow == tc[2]
}

test_nothing_is_granted_to_nothing if {
	answer := rule.decision with input as {}
	answer.allow == false
}
