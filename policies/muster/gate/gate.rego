# METADATA
# title: The router
# description: one entrypoint for one decision, one for a batch; the only place that says allow or deny
# custom:
#   requirements:
#     - code: subject-active
#       title: Known and active
#       message: Only a person who is in the directory and active may do this.
#       remedy: {kind: request, text: Ask your administrator to add you to the directory or to reactivate you.}
#     - code: unknown-action
#       title: Unknown action
#       message: No gate is registered for this action, so nobody may do it.
#       remedy: {kind: request, text: Check the action's name; a security team registers new actions.}
package muster.gate

import data.muster.certification
import data.muster.lib.calendar

# METADATA
# description: may this person do this now?
# entrypoint: true
decision := object.union(_output, {"valid_until": _changes_at})

# METADATA
# description: independent requests, each decided by itself, under the keys that they came with
# entrypoint: true
decisions := {key: answer |
	some key, request in input.requests
	answer := decision with input as request
}

_registered if data.source.actions[input.action.name]

_gate := data.metadata.gates[input.action.name] if _registered

_common[requirement.code] := requirement if some requirement in data.metadata.common

_output := {
	"verdict": "deny",
	"allow": false,
	"mode": "enforce",
	"gate": null,
	"policy_id": null,
	"runbook_id": null,
	"denials": [_denial(_common["unknown-action"])],
	"evidence": [],
	"obligations": [],
} if {
	not _registered
}

_output := {
	"verdict": _verdict,
	"allow": _allow,
	"mode": _gate.mode,
	"gate": _gate.action,
	"policy_id": _gate.policy_id,
	"runbook_id": _gate.runbook_id,
	"denials": [_denial(requirement) | some requirement in _requirements; requirement.code in _unmet],
	"evidence": sort(_evidence),
	"obligations": array.concat(_gate.obligations, _waived),
} if {
	_registered
}

_requirements := array.concat([_common["subject-active"]], _gate.requirements)

_unmet := {requirement.code | some requirement in _requirements} - _met

_verdict := "allow" if count(_unmet) == 0

_verdict := "deny" if count(_unmet) > 0

_allow := _verdict == "allow" if _gate.mode == "enforce"

_allow if _gate.mode == "shadow"

# The gate's own conditions. A gate that is registered and gone leaves this undefined, and with it the decision.
_stated := data.muster.gates[input.action.name].met

_met := {code |
	calendar.is_instant(input.now)
	some code in (((_stated & _own) | _trained) | _active)
}

_own := {requirement.code | some requirement in _gate.requirements; not requirement.requires}

_active contains "subject-active" if {
	input.subject.known == true
	input.subject.active == true
	is_string(input.subject.ref)
}

_trained contains requirement.code if {
	some requirement in _gate.requirements
	_fresh(requirement.requires)
}

_trained contains requirement.code if {
	some requirement in _gate.requirements
	certification.waiver(requirement.requires, input.facts, input.now)
}

_fresh(required) if input.now < certification.holding(required, input.facts).ends

_evidence contains id if {
	calendar.is_instant(input.now)
	some id in data.muster.gates[input.action.name].evidence
}

_evidence contains id if {
	some requirement in _gate.requirements
	_fresh(requirement.requires)
	some id in certification.holding(requirement.requires, input.facts).evidence
}

_evidence contains obligation.id if some obligation in _waived

_waived := [{"type": "waiver", "id": id, "requirement": requirement.requires} |
	some requirement in _gate.requirements
	not _fresh(requirement.requires)
	id := certification.waiver(requirement.requires, input.facts, input.now)
]

_denial(requirement) := {
	"code": requirement.code,
	"title": requirement.title,
	"message": requirement.message,
	"requirement": object.get(requirement, "requires", {"condition": requirement.code}),
	"remedy": _remedy(requirement),
}

_remedy(requirement) := requirement.remedy if not requirement.requires

_remedy(requirement) := remedy if {
	required := requirement.requires
	missing := [part.module | some part in certification.path(required, input.facts); not _serves(part)]
	remedy := _lesson(requirement, missing)
}

_serves(part) if input.now < part.ends

_lesson(_, missing) := object.union({"kind": "lesson", "module": missing[0]}, shown) if {
	count(missing) > 0
	shown := object.filter(data.source.modules[missing[0]], {"title", "version", "minutes", "href"})
}

_lesson(requirement, missing) := requirement.remedy if count(missing) == 0

# The instants at which the output may change: whatever is held ends, and while it is not held, the remedy may change.
_candidates contains certification.holding(requirement.requires, input.facts).ends if {
	some requirement in _gate.requirements
}

_candidates contains part.ends if {
	some requirement in _gate.requirements
	not _fresh(requirement.requires)
	some part in certification.path(requirement.requires, input.facts)
}

_candidates contains input.facts.waivers[certification.waiver_key(requirement.requires)].until if {
	some requirement in _gate.requirements
}

_candidates contains instant if some instant in data.muster.gates[input.action.name].instants

_later := sort({instant |
	some instant in _candidates
	calendar.is_instant(instant)
	instant > input.now
})

# Usually the first candidate is the answer, and one more evaluation shows it.
_changes_at := _later[0] if {
	_changed(_later[0])
} else := [instant | some instant in _later; _changed(instant)][0] if {
	count(_later) > 1
	some instant in _later
	_changed(instant)
} else := null

_changed(instant) if {
	after := _output with input.now as instant
	after != _output
}
