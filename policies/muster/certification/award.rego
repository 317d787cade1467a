package muster.certification

import data.muster.lib.calendar

# METADATA
# description: the certifications that a result earns, given what was passed before it
# entrypoint: true
award := {"certifications": [certification |
	some scope in sort(data.source.awards[input.result.module].scopes)
	some tier in tiers
	certification := _earned(scope, tier)
]}

_earned(scope, tier) := {
	"scope": scope,
	"tier": tier,
	"issued_at": issued,
	"expires_at": max({calendar.add(issued, rule.valid)} | _held_until(scope, tier)),
	"parts": _versions(scope, tier),
} if {
	rule := data.source.scopes[scope]
	dates := _dates(scope, tier)
	issued := max(dates)
	every date in dates {
		issued <= calendar.add(date, rule.within_parts)
	}
	_newer(scope, tier, issued)
}

_newer(scope, tier, _) if not input.facts.scopes[scope].tiers[tier]

_newer(scope, tier, issued) if issued > input.facts.scopes[scope].tiers[tier].issued_at

_held_until(scope, tier) := {held.expires_at | held := input.facts.scopes[scope].tiers[tier]}

_versions(scope, tier) := {part.module: version |
	some take in _takes(scope, tier)
	some part in take_parts(take)
	version := _counted(scope, part).version
}

_takes(scope, "certified") := data.source.scopes[scope].takes

_takes(scope, tier) := takes if {
	tier != "certified"
	takes := [take | some take in data.source.scopes[scope].takes; rank[take.tier] <= rank[tier]]
	tier in {take.tier | some take in takes}
}

# The date of each take that a tier needs; undefined where one of them is missing.
_dates(scope, tier) := dates if {
	takes := _takes(scope, tier)
	dates := [date | some take in takes; date := _date(scope, take)]
	count(dates) == count(takes)
}

# A take is dated by the oldest pass that it needs.
_date(scope, take) := min(dates) if {
	parts := take_parts(take)
	dates := [date | some part in parts; date := _counted(scope, part).passed_at]
	count(dates) == count(parts)
}

# The newest pass that counts for a scope: what was passed before a revocation does not.
_counted(scope, part) := max({[fact.passed_at, fact.evidence, fact] |
	some tier, fact in _passes[part.module]
	rank[tier] >= rank[part.tier]
	calendar.is_instant(fact.passed_at)
	is_string(fact.version)
	_since_revocation(scope, fact.passed_at)
})[2]

_since_revocation(scope, _) if not input.facts.scopes[scope].revoked_at

_since_revocation(scope, passed_at) if passed_at > input.facts.scopes[scope].revoked_at

default _modules := {}

_modules := input.facts.modules

# The passes known before, and this one, unless a newer one of its tier is known.
_passes[module] := object.get(_modules, module, {}) if {
	some module in data.source.awards[input.result.module].modules
	module != input.result.module
}

_passes[input.result.module] := object.union(object.get(_modules, input.result.module, {}), _new)

default _new := {}

_new := {input.result.tier: input.result} if not _older

_older if input.result.passed_at < _modules[input.result.module][input.result.tier].passed_at
