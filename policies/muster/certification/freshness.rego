# METADATA
# description: whether what a person holds satisfies a requirement; the one place that knows what fresh means
package muster.certification

import data.muster.lib.calendar

# METADATA
# description: the tiers, lowest first
tiers := ["enrolled", "completed", "proficient", "certified"]

# METADATA
# description: a tier's place among the tiers
rank[tier] := index if some index, tier in tiers

# METADATA
# description: |
#   what a person holds for a requirement ({scope | track | module, tier, within}): {ends, evidence}. It satisfies the
#   requirement while now < ends; undefined where there is nothing
holding(required, facts) := {"ends": ends, "evidence": {evidence}} if {
	required.scope
	[ends, evidence] := max({[ends, held.evidence] |
		some tier, held in facts.scopes[required.scope].tiers
		rank[tier] >= rank[required.tier]
		calendar.is_instant(held.issued_at)
		calendar.is_instant(held.expires_at)
		ends := min({held.expires_at, calendar.add(held.issued_at, required.within)} | renewals(held.parts))
	})
}

holding(required, facts) := {"ends": ends, "evidence": {evidence}} if {
	required.module
	[ends, evidence] := pass(required.module, required.tier, required.within, facts)
}

holding(required, facts) := {"ends": min(ends), "evidence": evidence} if {
	required.track
	passes := [found |
		some part in track_parts(required.track, required.tier)
		found := pass(part.module, part.tier, required.within, facts)
	]
	count(passes) > 0
	count(passes) == count(track_parts(required.track, required.tier))
	ends := {found[0] | some found in passes}
	evidence := {found[1] | some found in passes}
}

# METADATA
# description: the modules of a track that ask for a tier or a lower one, in the track's order
track_parts(track, tier) := [part |
	some part in data.source.tracks[track].modules
	rank[part.tier] <= rank[tier]
]

# METADATA
# description: the pass of a module, at a tier or a higher one, that counts longest, as [when it ends, evidence]
pass(module, tier, within, facts) := max({[ends, fact.evidence] |
	some held, fact in facts.modules[module]
	rank[held] >= rank[tier]
	calendar.is_instant(fact.passed_at)
	ends := min({calendar.add(fact.passed_at, within)} | renewals({module: fact.version}))
})

# METADATA
# description: the instants by which modules (id to version passed) have to be passed anew after a major change
renewals(versions) := {renewal.by |
	some module, version in versions
	renewal := data.source.modules[module].recertify
	_major(version) < renewal.below
}

_major(version) := to_number(split(version, ".")[0])

# METADATA
# description: the entry ID of the waiver that covers a requirement at an instant
waiver(required, facts, now) := held.evidence if {
	held := facts.waivers[waiver_key(required)]
	calendar.is_instant(held.until)
	now < held.until
}

# METADATA
# description: how a requirement's scope, track or module is called among a person's waivers
waiver_key(required) := sprintf("scope:%s", [required.scope])

waiver_key(required) := sprintf("track:%s", [required.track])

waiver_key(required) := sprintf("module:%s", [required.module])

# METADATA
# description: |
#   the modules on the way to a requirement, in order: {module, tier, ends}; what is held serves while now < ends, and
#   ends is empty where nothing is held
path(required, facts) := [{"module": part.module, "tier": part.tier, "ends": max({""} | ends)} |
	some part in _way(required)
	ends := {found[0] | found := pass(part.module, part.tier, part.within, _counting(required, facts))}
]

_way(required) := [{"module": required.module, "tier": required.tier, "within": required.within}] if required.module

_way(required) := [object.union(part, {"within": required.within}) |
	some part in track_parts(required.track, required.tier)
] if required.track

_way(required) := [object.union(part, {"within": rule.within_parts}) |
	rule := data.source.scopes[required.scope]
	some take in rule.takes
	rank[take.tier] <= rank[required.tier]
	some part in take_parts(take)
] if required.scope

# METADATA
# description: the modules that a scope's take asks for
take_parts(take) := [{"module": take.module, "tier": take.tier}] if take.module

take_parts(take) := track_parts(take.track, take.tier) if take.track

# What was passed before a revocation of a scope does not count towards it.
_counting(required, facts) := facts if not facts.scopes[required.scope].revoked_at

_counting(required, facts) := {"modules": {module: kept |
	some module, passes in facts.modules
	kept := {tier: fact | some tier, fact in passes; fact.passed_at > facts.scopes[required.scope].revoked_at}
}} if {
	facts.scopes[required.scope].revoked_at
}
