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

_held := holding(_required, input.facts)

_shown := entry if {
	some entry in input.facts.scopes[input.scope].tiers
	entry.evidence in _held.evidence
}

_evidence := {waiver(_required, input.facts, input.now)} if {
	_status == "waived"
} else := _held.evidence if {
	_held
} else := set()

_fresh if {
	calendar.is_instant(input.now)
	input.now < _held.ends
}

# The conditions exclude each other in this order: what is held first, then what excuses, then what was.
_status := "grace" if {
	_fresh
	_renewal_asked
} else := "expiring" if {
	_fresh
	input.now >= _window_opens
} else := "valid" if {
	_fresh
} else := "waived" if {
	waiver(_required, input.facts, input.now)
} else := "revoked" if {
	input.facts.scopes[input.scope].standing == "revoked"
} else := "expired" if {
	_held
} else := "none"

_renewal_asked if count(renewals(_shown.parts)) > 0

_window_opens := calendar.subtract(_held.ends, _rule.renewal_window)

_candidates contains _held.ends

_candidates contains _window_opens

_candidates contains input.facts.waivers[waiver_key(_required)].until

_later := sort({t | some t in _candidates; t > input.now})

_changes_at := [t | some t in _later; _changed(t)][0] if {
	some t in _later
	_changed(t)
} else := null

_changed(t) if {
	after := _answer with input.now as t
	after != _answer
}
