# METADATA
# title: Training
# description: what a person still has to learn
# schemas:
#   - input: schema.training
package muster.training

import data.muster.certification
import data.muster.lib.calendar

# METADATA
# description: nextRequiredTraining(action), the modules between a person and an action, in order, each once
# entrypoint: true
next := {"required": [step |
	some i, part in _missing
	not _named_before(i)
	module := data.source.modules[part.module]
	step := {
		"module": part.module,
		"version": module.version,
		"title": module.title,
		"reason": part.reason,
		"minutes": module.minutes,
		"href": module.href,
		"tier_after": _highest[part.module],
	}
]}

# Without an instant nothing serves.
_now := input.now if calendar.is_instant(input.now)

default _facts := {}

_facts := input.facts

_missing := [object.union(part, {"reason": requirement.title}) |
	some requirement in data.metadata.gates[input.action.name].requirements
	not _satisfied(requirement.requires)
	some part in certification.path(requirement.requires, _facts)
	not _serves(part)
]

# A module that is asked for twice is shown once, with the tier that serves both.
_highest[module] := certification.tiers[max(ranks)] if {
	some asked in _missing
	module := asked.module
	ranks := [certification.rank[part.tier] | some part in _missing; part.module == module]
}

_named_before(i) if {
	some j, part in _missing
	j < i
	part.module == _missing[i].module
}

_satisfied(required) if _now < certification.holding(required, _facts).ends

_satisfied(required) if certification.waiver(required, _facts, _now)

_serves(part) if _now < part.ends
