package muster.gateway_test

import data.muster.gateway as rule

_routes := {"shop": [
	{"id": "open", "preflight": "pass"},
	{"id": "shut", "preflight": "deny"},
]}

_asked(reason, route) := {
	"subject": {"type": "gateway", "id": "edge", "known": false},
	"reason": reason,
	"detail": "",
	"route": route,
	"asked": {"host": "api.example", "method": "OPTIONS", "target": "00"},
	"facts": {},
	"now": "2026-06-01T10:00:00.000Z",
}

_codes := {
	"preflight", "unknown_route", "ambiguous_ask", "ambiguous_path", "ambiguous_query", "ambiguous_header",
	"method_override", "missing_context", "wrong_type", "too_long", "no_identity", "bad_identity",
}

test_each_reason_denies_with_itself if {
	denied := {code |
		some code in _codes
		answer := rule.decision with input as _asked(code, null) with data.source.routes as _routes
		answer.verdict == "deny"
		not answer.allow
		[denial] := answer.denials
		denial.code == code
		denial.requirement == {"condition": code}
		denial.remedy.text
	}
	denied == _codes
}

test_preflight_passes_where_the_route_says_so if {
	answer := rule.decision with input as _asked("preflight", {"group": "shop", "id": "open"})
		with data.source.routes as _routes
	answer.verdict == "allow"
	answer.allow
	answer.denials == []
}

test_preflight_passes_nowhere_else if {
	nowhere := [null, {"group": "shop", "id": "shut"}, {"group": "shop", "id": "gone"}, {"group": "gone", "id": "open"}]
	every route in nowhere {
		answer := rule.decision with input as _asked("preflight", route) with data.source.routes as _routes
		answer.verdict == "deny"
	}
}

test_preflight_passes_for_no_other_reason if {
	every code in _codes - {"preflight"} {
		answer := rule.decision with input as _asked(code, {"group": "shop", "id": "open"})
			with data.source.routes as _routes
		not answer.allow
	}
}

test_source_without_routes_passes_nothing if {
	answer := rule.decision with input as _asked("preflight", {"group": "shop", "id": "open"}) with data.source as {}
	answer.verdict == "deny"
}

test_unknown_reason_is_undefined if {
	not rule.decision with input as _asked("because", null)
	not rule.decision with input as {}
}
