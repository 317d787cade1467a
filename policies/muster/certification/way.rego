package muster.certification

import data.muster.lib.calendar

# METADATA
# description: |
#   what to take now for a requirement, in order, each module once: {module, tier, why, by}. `why` is `missing` (it is
#   not met), `expiring` (what is held ends soon) or `grace` (it is asked to be renewed); `by` is when it ends, null
#   where it is missing. Nothing where it is waived, or met for longer
steps(required, facts, now) := [object.union(step, need) |
	not waiver(required, facts, now)
	some need in _needs(required, facts, now)
	some step in _taken(required, facts, now, need)
]

# Why something is to be taken, as a set of one or none. Without an instant nothing is held.
_needs(required, facts, now) := {{"why": "missing", "by": null}} if not _met(required, facts, now)

_needs(required, facts, now) := {{"why": why, "by": held.ends} | some why in _reasons(required, held, now)} if {
	_met(required, facts, now)
	held := holding(required, facts)
}

_met(required, facts, now) if _fresh(holding(required, facts), now)

_reasons(_, held, _) := {"grace"} if count(held.asked) > 0

_reasons(required, held, now) := {"expiring" | _closing(required, held.ends, now)} if count(held.asked) == 0

_closing(required, ends, now) if now >= calendar.subtract(ends, renewal_window(required))

# Of a module or a track each part is judged by itself.
_taken(required, facts, now, need) := [{"module": part.module, "tier": part.tier} |
	some part in way(required)
	_again(required, part, facts, now, need.why)
] if {
	not required.scope
}

# Of a scope the fewest modules with which the award issues what is needed; of as few the last ones of the way.
_taken(required, facts, now, need) := [{"module": module, "tier": _asks(parts, module)} |
	parts := _scope_parts(required)
	sets := _sets(required, facts, now, need)
	best := _best(sets, _modules_of(parts), need)
	some module in _modules_of(parts)
	module in best
] if {
	required.scope
}

_again(required, part, facts, now, "missing") if not _passed(required, part, facts, now)

_again(required, part, facts, now, why) if {
	why != "missing"
	_closing(required, pass(facts, required.within, part.tier, part.module)[0], now)
}

_again(required, part, facts, _, "grace") if count(pass(facts, required.within, part.tier, part.module)[2]) > 0

_passed(required, part, facts, now) if {
	calendar.is_instant(now)
	now < pass(facts, required.within, part.tier, part.module)[0]
}

# The parts on the way to a tier of a scope, in order, each with its take.
_scope_parts(required) := [object.union(part, {"take": i}) |
	some i, take in way_takes(required.scope, required.tier)
	some part in take_parts(take)
]

_modules_of(parts) := [part.module |
	some i, part in parts
	not part.module in {before.module | some j, before in parts; j < i}
]

_asks(parts, module) := tiers[max({rank[part.tier] | some part in parts; part.module == module})]

# The sets of modules that would do. The award dates a scope by one of its takes, and that by its oldest pass, so a
# smallest set is what is too old for a date, and what is older than it in one take; or any one module, if that will do.
_sets(required, facts, now, need) := {modules |
	parts := _scope_parts(required)
	dated := {object.union(part, found) |
		some part in parts
		found := counted(required.scope, part, facts, now)
		found.lives
	}
	base := _base(required, parts, dated, now, need)
	some date in ({part.passed_at | some part in dated} | {now})
	some modules in (_up_to(required, dated, base, date) | _single(parts, base))
	_helps(required, facts, now, {module: _asks(parts, module) | some module in modules}, need)
}

_up_to(required, dated, base, date) := {modules |
	within := data.source.scopes[required.scope].within_parts
	old := {part.module | some part in dated; date > calendar.add(part.passed_at, within)}
	some take in ({part.take | some part in dated} | {0})
	older := {part.module | some part in dated; part.take == take; part.passed_at < date}
	modules := (base | old) | older
	count(modules) > 0
}

_single(parts, base) := {{part.module} | some part in parts} if count(base) == 0

_single(_, base) := set() if count(base) > 0

# What has to be taken in any case: what was never passed, what a renewal asks for, what would not last.
_base(required, parts, dated, now, need) := (lost | asked) | old if {
	kept := {[part.module, part.tier, part.take] | some part in dated}
	lost := {part.module | some part in parts; not [part.module, part.tier, part.take] in kept}
	asked := {part.module | need.why == "grace"; some part in dated; count(part.asked | part.cut) > 0}
	within := data.source.scopes[required.scope].within_parts
	old := {part.module |
		need.why != "missing"
		_closing(required, need.by, now)
		some part in dated
		now > calendar.add(part.passed_at, within)
	}
}

# Whether the requirement is met for longer once these modules are passed: the award itself is asked.
_helps(required, facts, now, picked, need) if {
	passed := _with_passes(facts, picked, now)
	made := {tier: object.union(certification, {"evidence": ""}) |
		some tier in serving[required.tier]
		certification := earned(required.scope, tier, passed, now)
	}
	held := {tier: fact |
		some tier in serving[required.tier]
		not made[tier]
		some fact in _before(required.scope, tier, facts)
	}
	scope := {"standing": "good", "tiers": object.union(held, made)}
	holding(required, {"scopes": {required.scope: scope}}).ends > max({now, need.by})
}

_with_passes(facts, picked, now) := {"modules": object.union(others, passed), "scopes": scopes} if {
	known := object.get(facts, "modules", {})
	others := object.remove(known, object.keys(picked))
	passed := {module: object.union(object.remove(object.get(known, module, {}), {tier}), {tier: {
		"passed_at": now,
		"version": data.source.modules[module].version,
		"evidence": "",
	}}) |
		some module, tier in picked
	}
	scopes := object.get(facts, "scopes", {})
}

_best(sets, order, _) := min({[count(modules), places, modules] |
	some modules in sets
	places := sort([place | some i, module in order; module in modules; place := 0 - i])
})[2] if {
	count(sets) > 0
}

# Nothing helps at this instant: all of the way, or nothing more for what is held.
_best(sets, order, need) := {module | need.why == "missing"; some module in order} if count(sets) == 0
