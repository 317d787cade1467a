package muster.gate_test

import data.muster.gate as rule

_windowed := _judged(object.union(_gate, {
	"action": "prod-change",
	"requirements": [object.union(_gate.requirements[1], {"code": "change-window"})],
}))

# A window without an ID that is text is no evidence, so only what is met turns.
test_what_is_met_turns_where_the_evidence_stays[note] if {
	some note, tc in {
		"before the window": ["2026-06-01T09:59:59.999Z", ["deny", [], _now]],
		"in the window": [_now, ["allow", [], _soon]],
		"after the window": [_soon, ["deny", [], null]],
	}
	decision := rule.decision with input as object.union(_request, {
		"action": {"name": "prod-change"},
		"context": {"change_window": "w"},
		"facts": {"change_windows": {"w": {
			"starts_at": _now,
			"ends_at": _soon,
			"resources": [{"type": "thing", "id": "1"}],
			"evidence": 7,
		}}},
		"now": tc[0],
	})
		with data.source as {"actions": {"prod-change": {"title": "Change"}}, "modules": {}}
		with data.metadata as {"gates": {"prod-change": _windowed}, "common": _common}
	[decision.verdict, decision.evidence, decision.valid_until] == tc[1]
}
