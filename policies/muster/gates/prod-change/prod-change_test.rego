package muster.gates["prod-change_test"]

import data.muster.gates["prod-change"] as rule

_request := {
	"subject": {"type": "user", "id": "ana", "known": true, "ref": "a1", "active": true},
	"action": {"name": "prod-change"},
	"resource": {"type": "service", "id": "billing"},
	"context": {"change": "CHG-1", "change_window": "w"},
	"facts": {
		"scopes": {"prod-change": {"standing": "none", "tiers": {}}},
		"change_windows": {"w": {
			"starts_at": "2026-06-01T10:00:00.000Z",
			"ends_at": "2026-06-01T12:00:00.000Z",
			"resources": [{"type": "service", "id": "billing"}],
			"evidence": "e-w",
		}},
	},
	"now": "2026-06-01T10:00:00.000Z",
}

_conditions := {"not-revoked", "change-window", "change-ticket"}

test_nothing_is_met_by_nothing if rule.met == set() with input as {}

test_open_window if {
	rule.met == _conditions with input as _request
	rule.evidence == {"e-w"} with input as _request
	rule.instants == {"2026-06-01T10:00:00.000Z", "2026-06-01T12:00:00.000Z"} with input as _request
}

test_missing_field[pointer] if {
	some pointer, codes in {
		"context/change": {"change-ticket"},
		"context/change_window": {"change-window"},
		"resource/type": {"change-window"},
		"resource/id": {"change-window"},
		"facts/scopes": {"not-revoked"},
		"facts/scopes/prod-change/standing": {"not-revoked"},
		"facts/change_windows/w": {"change-window"},
		"facts/change_windows/w/starts_at": {"change-window"},
		"facts/change_windows/w/ends_at": {"change-window"},
		"facts/change_windows/w/resources": {"change-window"},
		"now": {"change-window"},
	}
	met := rule.met with input as json.remove(_request, [pointer])
	met == _conditions - codes
}

test_changed_field[note] if {
	some note, tc in {
		"a millisecond early": [{"now": "2026-06-01T09:59:59.999Z"}, {"change-window"}],
		"the last millisecond": [{"now": "2026-06-01T11:59:59.999Z"}, set()],
		"at its end": [{"now": "2026-06-01T12:00:00.000Z"}, {"change-window"}],
		"another resource": [{"resource": {"id": "search"}}, {"change-window"}],
		"revoked": [{"facts": {"scopes": {"prod-change": {"standing": "revoked"}}}}, {"not-revoked"}],
		"in good standing": [{"facts": {"scopes": {"prod-change": {"standing": "good"}}}}, set()],
		"a ticket with more after it": [{"context": {"change": "CHG-1 or so"}}, {"change-ticket"}],
		"a ticket that is a list": [{"context": {"change": ["CHG-1"]}}, {"change-ticket"}],
		"a window without an instant": [{"facts": {"change_windows": {"w": {"ends_at": "zzzz"}}}}, {"change-window"}],
		"resources by name": [
			{"facts": {"change_windows": {"w": {"resources": {"a": {"type": "service", "id": "billing"}}}}}},
			{"change-window"},
		],
	}
	met := rule.met with input as object.union(_request, tc[0])
	met == _conditions - tc[1]
}
