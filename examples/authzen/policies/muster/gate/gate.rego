# METADATA
# title: The router
# description: allows what a gate says is met, to the users whom the source lists
# custom:
#   requirements:
#     - code: subject-active
#       title: A user of the fixture
#       message: Only a user whom the source lists may do this.
#       remedy: {kind: request, text: Have the user added to entities.yaml.}
#     - code: unknown-action
#       title: Unknown action
#       message: No gate is registered for this action, so nobody may do it.
#       remedy: {kind: request, text: Check the action's name.}
package muster.gate

# METADATA
# description: may this subject do this now?
# entrypoint: true
# scope: document
decision := {
	"verdict": "deny",
	"allow": false,
	"mode": "enforce",
	"gate": null,
	"policy_id": null,
	"runbook_id": null,
	"denials": [_denial(_common["unknown-action"])],
	"evidence": [],
	"obligations": [],
	"valid_until": null,
} if {
	not _registered
}

decision := {
	"verdict": _verdict,
	"allow": _allow,
	"mode": _gate.mode,
	"gate": _gate.action,
	"policy_id": _gate.policy_id,
	"runbook_id": _gate.runbook_id,
	"denials": _denials,
	"evidence": [],
	"obligations": _gate.obligations,
	"valid_until": null,
}

# METADATA
# description: independent requests, each decided by itself, under the keys that they came with
# entrypoint: true
decisions[key] := answers[0] if {
	some key, request in input.requests
	answers := [answer | answer := decision] with input as request
}

_registered if data.source.actions[input.action.name]

_gate := data.metadata.gates[input.action.name] if _registered

_common[requirement.code] := requirement if some requirement in data.metadata.common

_requirements := array.concat([_common["subject-active"]], _gate.requirements)

_codes contains requirement.code if some requirement in _requirements

_met := data.muster.gates[_gate.action].met | {"subject-active" | _listed}

_listed if data.source.entities[input.subject.type][input.subject.id]

# Undefined where a gate is registered and gone, and with it the decision.
_unmet := _codes - _met

default _verdict := "deny"

_verdict := "allow" if count(_unmet) == 0

default _allow := false

_allow if _verdict == "allow"

_denials := [_denial(requirement) | some requirement in _requirements; requirement.code in unmet] if unmet := _unmet

_denial(requirement) := {
	"code": requirement.code,
	"title": requirement.title,
	"message": requirement.message,
	"requirement": {"condition": requirement.code},
	"remedy": requirement.remedy,
}
