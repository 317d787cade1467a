# METADATA
# title: Training
# description: what a person still has to learn
package muster.training

import data.muster.certification

# METADATA
# description: nextRequiredTraining(action), the modules between a person and an action, in order
# entrypoint: true
next := {"required": [step |
	some i, part in _missing
	not _earlier(i, part)
	module := data.source.modules[part.module]
	step := {
		"module": part.module,
		"version": module.version,
		"title": module.title,
		"reason": part.reason,
		"minutes": module.minutes,
		"href": module.href,
		"tier_after": part.tier,
	}
]}

_missing := [object.union(part, {"reason": requirement.title}) |
	some requirement in data.metadata.gates[input.action.name].requirements
	not _satisfied(requirement.requires)
	some part in certification.path(requirement.requires, input.facts)
	not _serves(part)
]

_satisfied(required) if input.now < certification.holding(required, input.facts).ends

_satisfied(required) if certification.waiver(required, input.facts, input.now)

_serves(part) if input.now < part.ends

_earlier(i, part) if {
	some j, other in _missing
	j < i
	other.module == part.module
	other.tier == part.tier
}
