package muster.certification

import data.muster.lib.calendar

# METADATA
# description: isCertified(scope, user); a waiver never makes it true
# entrypoint: true
certified := object.union(_answer, {"valid_until": _changes_at})

_answer := standing(_required, _facts, _now)

_required := {
	"scope": input.scope,
	"tier": object.get(input, "tier", "certified"),
	"within": object.get(input, "within", usual_window(input.scope)),
}

_facts := object.get(input, "facts", {})

_now := object.get(input, "now", null)

default usual_window(_) := null

# METADATA
# description: |
#   how old a certification may be where nobody says it: as old as one gets, and null, for as long as it lasts, where
#   its expiry is not counted from its date
# scope: document
usual_window(scope) := data.source.scopes[scope].valid if {
	data.source.scopes[scope].renewal == "completion"
}

# METADATA
# description: how a person stands towards a requirement of a scope at an instant, with the evidence
standing(required, facts, now) := object.union(required, {
	"certified": status in {"valid", "expiring", "grace"},
	"status": status,
	"issued_at": object.get(shown, "issued_at", null),
	"expires_at": object.get(shown, "expires_at", null),
	"evidence": sort(_proof(status, required, facts, now)),
}) if {
	status := _status(required, facts, now)
	shown := _shown(required, facts)
}

default _shown(_, _) := {}

_shown(required, facts) := facts.scopes[required.scope].tiers[holding(required, facts).tier]

_fresh(held, now) if {
	calendar.is_instant(now)
	now < held.ends
}

# The conditions exclude each other in this order: what is held first, then what excuses, then what was.
_status(required, facts, now) := "grace" if {
	held := holding(required, facts)
	_fresh(held, now)
	count(held.asked) > 0
} else := "expiring" if {
	held := holding(required, facts)
	_fresh(held, now)
	now >= calendar.subtract(held.ends, renewal_window(required))
} else := "valid" if {
	_fresh(holding(required, facts), now)
} else := "waived" if {
	waiver(required, facts, now)
} else := "revoked" if {
	facts.scopes[required.scope].standing == "revoked"
} else := "expired" if {
	holding(required, facts)
} else := "none"

_proof("waived", required, facts, now) := {waiver(required, facts, now)}

_proof("revoked", required, facts, _) := {id | id := facts.scopes[required.scope].revocation}

_proof(status, required, facts, _) := {id | some id in holding(required, facts).evidence} if {
	not status in {"waived", "revoked"}
}

_candidates contains instant if {
	held := holding(_required, _facts)
	some instant in {held.ends, calendar.subtract(held.ends, renewal_window(_required))}
}

_candidates contains _facts.waivers[waiver_key(_required)].until

default _changes_at := null

_changes_at := min({instant |
	calendar.is_instant(_now)
	some instant in _candidates
	calendar.is_instant(instant)
	instant > _now
	standing(_required, _facts, instant) != _answer
})
