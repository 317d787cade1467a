package muster.certification

import data.muster.lib.calendar

# METADATA
# description: isCertified(scope, user); a waiver never makes it true
# entrypoint: true
certified := object.union(_answer, {"valid_until": _changes_at})

_answer := {
	"certified": _status in {"valid", "expiring", "grace"},
	"status": _status,
	"tier": _required.tier,
	"within": _required.within,
	"scope": input.scope,
	"issued_at": object.get(_shown, "issued_at", null),
	"expires_at": object.get(_shown, "expires_at", null),
	"evidence": sort(_evidence),
}

_rule := object.get(data.source.scopes, input.scope, {"valid": null, "renewal_window": "P30D"})

_required := {
	"scope": input.scope,
	"tier": object.get(input, "tier", "certified"),
	"within": object.get(input, "within", _rule.valid),
}

_now := input.now if calendar.is_instant(input.now)

_held := holding(_required, input.facts)

default _shown := {}

_shown := input.facts.scopes[input.scope].tiers[_held.tier]

_fresh if _now < _held.ends

default _status := "none"

# The conditions exclude each other in this order: what is held first, then what excuses, then what was.
_status := "grace" if {
	_fresh
	count(renewals(input.scope, _held.tier, _shown.parts)) > 0
} else := "expiring" if {
	_fresh
	_now >= _window_opens
} else := "valid" if {
	_fresh
} else := "waived" if {
	waiver(_required, input.facts, _now)
} else := "revoked" if {
	input.facts.scopes[input.scope].standing == "revoked"
} else := "expired" if {
	_held
}

_window_opens := calendar.subtract(_held.ends, _rule.renewal_window)

_evidence contains waiver(_required, input.facts, _now) if _status == "waived"

_evidence contains id if {
	_status != "waived"
	some id in _held.evidence
}

_evidence contains input.facts.scopes[input.scope].revocation if _status == "revoked"

_candidates contains _held.ends

_candidates contains _window_opens

_candidates contains input.facts.waivers[waiver_key(_required)].until

default _changes_at := null

_changes_at := min({instant |
	some instant in _candidates
	calendar.is_instant(instant)
	instant > _now
	after := _answer with input.now as instant
	after != _answer
})
