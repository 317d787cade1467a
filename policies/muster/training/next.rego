# METADATA
# title: Training
# description: what a person still has to learn
# schemas:
#   - input: schema.training
package muster.training

import data.muster.certification

# METADATA
# description: |
#   nextRequiredTraining(action), the modules between a person and an action, in order, each once: what is missing
#   first, then what has to be renewed, the earliest first
# entrypoint: true
next := {"required": _required, "minutes": sum([step.minutes | some step in _required])}

_required := _once([object.union(step, {"reason": requirement.title}) |
	some requirement in data.metadata.gates[input.action.name].requirements
	some step in certification.steps(requirement.requires, _facts, _now)
])

# Without an instant nothing serves.
_now := object.get(input, "now", null)

_facts[part] := table if {
	some part in ["modules", "scopes", "waivers"]
	table := input.facts[part]
	is_object(table)
}

# A module that is asked for twice is shown once: where it is asked for first, with the tier that serves both.
_once(steps) := [shown |
	ordered := _by_date(steps)
	some i, step in ordered
	not step.module in {before.module | some j, before in ordered; j < i}
	module := data.source.modules[step.module]
	shown := {
		"module": step.module,
		"version": module.version,
		"title": module.title,
		"reason": step.reason,
		"minutes": module.minutes,
		"href": module.href,
		"tier_after": _highest(steps, step.module),
		"why": step.why,
		"by": step.by,
	}
]

# null is before any instant, and what ends at one instant stays in its order.
_by_date(steps) := [row[2] | some row in sort([[step.by, i, step] | some i, step in steps])]

_highest(steps, module) := certification.tiers[rank] if {
	rank := max({certification.rank[step.tier] | some step in steps; step.module == module})
}
