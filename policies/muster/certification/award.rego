package muster.certification

import data.muster.lib.calendar

# METADATA
# description: the certifications that a result earns, given what was passed before it
# entrypoint: true
award := {"certifications": [certification |
	some scope in sort(data.source.awards[input.result.module].scopes)
	some tier in ["completed", "proficient", "certified"]
	certification := _earned(scope, tier)
]}

_earned(scope, tier) := certification if {
	dates := _dates(scope, tier)
	rule := data.source.scopes[scope]
	issued := max(dates)
	every date in dates {
		issued <= calendar.add(date, rule.within_parts)
	}
	_newer(scope, tier, issued)
	certification := {
		"scope": scope,
		"tier": tier,
		"issued_at": issued,
		"expires_at": max({calendar.add(issued, rule.valid)} | _held_until(scope, tier)),
		"parts": {part.module: _counted(scope, part).version | some take in _takes(scope, tier); some part in take_parts(take)},
	}
}

_newer(scope, tier, _) if not input.facts.scopes[scope].tiers[tier]

_newer(scope, tier, issued) if issued > input.facts.scopes[scope].tiers[tier].issued_at

_held_until(scope, tier) := {held.expires_at | held := input.facts.scopes[scope].tiers[tier]}

_takes(scope, "certified") := data.source.scopes[scope].takes

_takes(scope, tier) := takes if {
	tier != "certified"
	takes := [take | some take in data.source.scopes[scope].takes; rank[take.tier] <= rank[tier]]
	tier in {take.tier | some take in takes}
}

# The date of each take that a tier needs; undefined where one of them is missing.
_dates(scope, tier) := dates if {
	takes := _takes(scope, tier)
	dates := {date | some take in takes; date := _date(scope, take)}
	every take in takes {
		_date(scope, take)
	}
}

_date(scope, take) := min({_counted(scope, part).passed_at | some part in parts}) if {
	parts := take_parts(take)
	count(parts) > 0
	every part in parts {
		_counted(scope, part)
	}
}

# The newest pass that counts for a scope: what was passed before a revocation does not.
_counted(scope, part) := fact if {
	passes := {[fact.passed_at, fact.evidence, fact] |
		some tier, fact in _passes[part.module]
		rank[tier] >= rank[part.tier]
		_since_revocation(scope, fact.passed_at)
	}
	[_, _, fact] := max(passes)
}

_since_revocation(scope, _) if not input.facts.scopes[scope].revoked_at

_since_revocation(scope, passed_at) if passed_at > input.facts.scopes[scope].revoked_at

_passes[module] := object.union(object.get(input.facts.modules, module, {}), _new(module)) if {
	some module in data.source.awards[input.result.module].modules
}

_new(module) := {input.result.tier: input.result} if {
	module == input.result.module
	not _older
}

_new(module) := {} if module != input.result.module

_new(module) := {} if {
	module == input.result.module
	_older
}

_older if input.result.passed_at < input.facts.modules[input.result.module][input.result.tier].passed_at
