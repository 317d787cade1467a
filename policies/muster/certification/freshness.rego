# METADATA
# description: whether what a person holds satisfies a requirement; the one place that knows what fresh means
# schemas:
#   - input: schema.certification
package muster.certification

import data.muster.lib.calendar

# METADATA
# description: the tiers, lowest first
tiers := ["enrolled", "completed", "proficient", "certified"]

# METADATA
# description: a tier's place among the tiers
rank := {"enrolled": 0, "completed": 1, "proficient": 2, "certified": 3}

# METADATA
# description: the tiers that serve where one is asked for, that one itself and those above it, lowest first
serving := {
	"enrolled": ["enrolled", "completed", "proficient", "certified"],
	"completed": ["completed", "proficient", "certified"],
	"proficient": ["proficient", "certified"],
	"certified": ["certified"],
}

# METADATA
# description: |
#   what a person holds for a requirement ({scope | track | module, tier, within}): {ends, evidence, tier, asked}. It
#   satisfies the requirement while now < ends; undefined where there is nothing. `asked` are the instants by which a
#   major change or a regrade asks to renew it
# scope: document
holding(required, facts) := {"ends": ends, "evidence": {evidence}, "tier": tier, "asked": asked} if {
	scope := facts.scopes[required.scope]
	scope.standing == "good"
	changed := data.source.recertified # where this table is missing, nothing is held
	[ends, evidence, tier, asked] := max({[ends, held.evidence, tier, asked] |
		some tier in serving[required.tier]
		held := scope.tiers[tier]
		is_string(held.evidence)
		is_object(held.parts)
		calendar.is_instant(held.expires_at)
		asked := {by | some module, _ in changed; by := _renewal(required.scope, tier, held.parts, module)} | cut(held)
		ends := min({held.expires_at, _too_old(required, held.issued_at, held.expires_at)} | asked)
	})
}

holding(required, facts) := {"ends": ends, "evidence": {evidence}, "tier": required.tier, "asked": asked} if {
	[ends, evidence, asked] := pass(facts, required.within, required.tier, required.module)
}

holding(required, facts) := {"ends": ends, "evidence": evidence, "tier": required.tier, "asked": asked} if {
	parts := data.source.tracks[required.track].modules
	passes := [found |
		some part in parts
		found := pass(facts, required.within, _lower(part.tier, required.tier), part.module)
	]
	count(passes) > 0
	count(passes) == count(parts)

	# The one that ends first.
	ends := min(passes)[0]
	evidence := {found[1] | some found in passes}
	asked := union({found[2] | some found in passes})
}

# When a certification of a date is too old for a requirement.
# A scope that is renewed by its expiry, or by the calendar, lasts as long as its certification says.
_too_old(required, issued_at, _) := calendar.add(issued_at, required.within)

_too_old(required, issued_at, expires_at) := expires_at if {
	required.within == null
	calendar.is_instant(issued_at)
	data.source.scopes[required.scope].renewal in {"expiry", "calendar"}
}

# METADATA
# description: |
#   the instant to which a reviewed regrade cut a fact, as a set of one or none; undefined where the regrade names none
# scope: document
cut(fact) := set() if {
	# A set stands for what is not there: nothing in a fact, which is JSON, can be one.
	object.get(fact, "until", set()) == set()
	object.get(fact, "lowered", set()) == set()
} else := {fact.until} if {
	calendar.is_instant(fact.until)
}

# METADATA
# description: every module of a track, in the track's order, at the tier it asks or a lower one that is enough
track_parts(track, tier) := [{"module": part.module, "tier": _lower(part.tier, tier)} |
	some part in data.source.tracks[track].modules
]

_lower(one, other) := one if {
	other in serving[one]
} else := other if {
	one in serving[other]
}

# METADATA
# description: |
#   the pass of a module, at a tier or a higher one, that counts longest, as [when it ends, evidence, asked]
pass(facts, within, tier, module) := max({[ends, fact.evidence, asked] |
	passes := facts.modules[module]
	some higher in serving[tier]
	fact := passes[higher]
	is_string(fact.evidence)
	is_string(fact.version)
	asked := {by | by := _asked(module, fact.version)} | cut(fact)
	ends := min({calendar.add(fact.passed_at, within)} | asked)
})

# METADATA
# description: |
#   the instants by which modules of a scope have to be passed anew after a major change, given the versions (module to
#   version) that a tier of it was earned with
renewals(scope, tier, versions) := {by |
	some module, _ in changed
	by := _renewal(scope, tier, versions, module)
} if {
	changed := data.source.recertified
}

_renewal(scope, tier, versions, module) := by if {
	by := _asked(module, object.get(versions, module, ""))
	some take in data.source.scopes[scope].takes
	rank[take.tier] <= rank[tier]
	some part in take_parts(take)
	part.module == module
}

# By when a pass of this version has to be made anew; undefined where no major change asks for it.
_asked(module, version) := asked.by if {
	asked := data.source.modules[module].recertify
	not _at_least(version, asked.below)
}

# A version that cannot be read is older than any.
_at_least(version, major) if {
	is_string(version)
	regex.match(`^(0|[1-9][0-9]{0,8})\.`, version)
	to_number(split(version, ".")[0]) >= major
}

default renewal_window(_) := "P30D"

# METADATA
# description: how long before its end (PnD) what is held for a requirement is expiring
# scope: document
renewal_window(required) := data.source.scopes[required.scope].renewal_window

# METADATA
# description: the entry ID of the waiver that covers a requirement at an instant
waiver(required, facts, now) := waived(required, facts, now).evidence

# METADATA
# description: the waiver, {until, evidence}, that covers a requirement at an instant
waived(required, facts, now) := held if {
	calendar.is_instant(now)
	some key, held in facts.waivers
	key == waiver_key(required)
	is_string(held.evidence)
	calendar.is_instant(held.until)
	now < held.until
}

# METADATA
# description: how a requirement's scope, track or module is called among a person's waivers
# scope: document
waiver_key(required) := sprintf("scope:%s", [required.scope])

waiver_key(required) := sprintf("track:%s", [required.track])

waiver_key(required) := sprintf("module:%s", [required.module])

# METADATA
# description: |
#   the parts of a requirement's way, in order: {module, tier, ends}; what is held serves while now < ends, and ends is
#   empty where nothing is held
path(required, parts, facts) := [{"module": part.module, "tier": part.tier, "ends": max({""} | ends)} |
	counting := _counting(required, facts)
	some part in parts
	ends := {found[0] | found := pass(counting, part.within, part.tier, part.module)}
]

# METADATA
# description: the modules on the way to a requirement, in order, {module, tier, within}; the same for every person
# scope: document
way(required) := [{"module": required.module, "tier": required.tier, "within": required.within}]

way(required) := [object.union(part, {"within": required.within}) |
	some part in track_parts(required.track, required.tier)
] if required.track

way(required) := [{"module": part.module, "tier": part.tier, "within": rule.within_parts} |
	rule := data.source.scopes[required.scope]
	some take in way_takes(required.scope, required.tier)
	some part in take_parts(take)
] if required.scope

# METADATA
# description: the takes on the way to a tier of a scope, those of a lower tier first
way_takes(scope, tier) := [take |
	takes := data.source.scopes[scope].takes
	some lesser in _at_most(_awarded(takes, tier))
	some take in takes
	take.tier == lesser
]

_at_most(tier) := array.slice(tiers, 0, rank[tier] + 1)

# The lowest tier that serves and that the scope awards; `certified` it always does.
_awarded(takes, tier) := [one |
	awarded := {take.tier | some take in takes} | {"certified"}
	some one in serving[tier]
	one in awarded
][0]

# METADATA
# description: the modules that a scope's take asks for
# scope: document
take_parts(take) := [{"module": take.module, "tier": take.tier}] if {
	take.module
} else := track_parts(take.track, take.tier)

# What was passed before a revocation of a scope does not count towards it.
_counting(required, facts) := facts if not _revoked(required, facts)

_counting(required, facts) := {"modules": {module: kept |
	some module, passes in facts.modules
	kept := {tier: fact | some tier, fact in passes; fact.passed_at > facts.scopes[required.scope].revoked_at}
}} if {
	_revoked(required, facts)
}

_revoked(required, facts) if facts.scopes[required.scope].revoked_at
