package muster.certification

import data.muster.lib.calendar

# METADATA
# description: the certifications that a result earns, given what was passed before it
# entrypoint: true
award := {"certifications": [certification |
	some scope in sort(data.source.awards[input.result.module].scopes)
	some tier in tiers
	certification := earned(scope, tier, {"modules": _passes, "scopes": _scopes}, input.now)
]}

# METADATA
# description: the certification of one tier of a scope that facts earn at an instant, if it is better than what is held
earned(scope, tier, facts, now) := certification if {
	takes := _takes(scope, tier)
	counting := [parts | some take in takes; parts := _take_counted(scope, take, facts, now)]
	count(counting) == count(takes)
	dates := [min({part.passed_at | some part in parts}) | some parts in counting]
	issued := max(dates)
	every date in dates {
		issued <= calendar.add(date, data.source.scopes[scope].within_parts)
	}
	parts := {part | some parts in counting; some part in parts}
	before := _before(scope, tier, facts)
	certification := {
		"scope": scope,
		"tier": tier,
		"issued_at": issued,
		"expires_at": _expires(scope, issued, before, {until | some part in parts; some until in part.cut}),
		"parts": _versions(parts),
	}
	_better(certification, before)
}

# What is held of a tier, as a set of one or none: of a scope that was revoked it is none.
_before(scope, tier, facts) := {held |
	facts.scopes[scope].standing == "good"
	held := facts.scopes[scope].tiers[tier]
}

# The later date, or more time: what is held may have been cut short by a pass that has been made good.
_better(_, before) if count(before) == 0

_better(certification, before) if {
	some held in before
	certification.issued_at > held.issued_at
}

_better(certification, before) if {
	some held in before
	_lasts(certification, certification) > _lasts(certification, held)
}

_lasts(of, held) := min((({held.expires_at} | cut(held)) | renewals(of.scope, of.tier, held.parts)))

# A renewal never shortens what is held; what leans on a pass that was lowered ends with it.
_expires(scope, issued, before, cuts) := max({min({renewed} | cuts)} | ends) if {
	renewed := _renewed(data.source.scopes[scope], issued, before)
	ends := {min({held.expires_at} | cut(held)) | some held in before}
}

_renewed(rule, issued, _) := calendar.add(issued, rule.valid) if rule.renewal == "completion"

_renewed(rule, issued, before) := calendar.add(issued, rule.valid) if {
	rule.renewal == "expiry"
	count(_anchors(rule, issued, before)) == 0
}

_renewed(rule, issued, before) := calendar.add(anchor, rule.valid) if {
	rule.renewal == "expiry"
	some anchor in _anchors(rule, issued, before)
}

_renewed(rule, issued, _) := _on_or_after(calendar.add(issued, rule.min_active), rule.calendar) if {
	rule.renewal == "calendar"
}

# The old expiry, if the renewal window before it was open, and this is another date than that of what is held.
_anchors(rule, issued, before) := {held.expires_at |
	some held in before
	count(cut(held)) == 0
	issued > held.issued_at
	issued >= calendar.subtract(held.expires_at, rule.renewal_window)
	issued < held.expires_at
}

# The first midnight of a day of the year (MM-DD, never 29 February) that is not before an instant.
_on_or_after(instant, day) := date if {
	date := _midnight(instant, day)
	date >= instant
} else := calendar.add(_midnight(instant, day), "P12M")

_midnight(instant, day) := concat("", [substring(instant, 0, 5), day, "T00:00:00.000Z"])

# A module may be asked for at two tiers: the pass for the higher one serves both.
_versions(parts) := {part.module: version |
	some part in parts
	version := max({[rank[other.tier], other.version] | some other in parts; other.module == part.module})[1]
}

_takes(scope, "certified") := data.source.scopes[scope].takes

_takes(scope, tier) := takes if {
	tier != "certified"
	takes := [take | some take in data.source.scopes[scope].takes; rank[take.tier] <= rank[tier]]
	tier in {take.tier | some take in takes}
}

# The passes that a take counts; undefined where one of them is missing. A take is dated by the oldest.
_take_counted(scope, take, facts, now) := found if {
	parts := take_parts(take)
	found := [part | some asked in parts; part := counted(scope, asked, facts, now)]
	count(found) == count(parts)
}

# METADATA
# description: |
#   the pass of a part that counts for a scope, {module, tier, passed_at, version, asked, cut, lives}: of those that
#   live, since no major change has ended them, the one that serves longest, and then the newest
counted(scope, part, facts, now) := {
	"module": part.module,
	"tier": part.tier,
	"passed_at": found[2],
	"version": found[4],
	"asked": found[5],
	"cut": found[6],
	"lives": found[0],
} if {
	within := data.source.scopes[scope].within_parts
	found := max({[lives, ends, fact.passed_at, fact.evidence, fact.version, asked, cuts] |
		some tier, fact in facts.modules[part.module]
		rank[tier] >= rank[part.tier]
		is_string(fact.version)
		_since_revocation(scope, fact.passed_at, facts)
		cuts := cut(fact)
		every until in cuts {
			now < until
		}
		asked := {by | by := _asked(part.module, fact.version)}
		lives := count({by | some by in asked; by <= now}) == 0
		ends := min((({calendar.add(fact.passed_at, within)} | asked) | cuts))
	})
}

# What was passed before a revocation does not count.
_since_revocation(scope, _, facts) if not facts.scopes[scope].revoked_at

_since_revocation(scope, passed_at, facts) if passed_at > facts.scopes[scope].revoked_at

default _modules := {}

_modules := input.facts.modules

default _scopes := {}

_scopes := input.facts.scopes

# The passes known before, and this one instead of what was known of its tier, unless that is newer.
_passes[module] := object.get(_modules, module, {}) if {
	some module in data.source.awards[input.result.module].modules
	module != input.result.module
}

_passes[input.result.module] := object.union(object.remove(_known, object.keys(_new)), _new)

_known := object.get(_modules, input.result.module, {})

default _new := {}

_new := {input.result.tier: input.result} if not _older

_older if input.result.passed_at < _known[input.result.tier].passed_at
