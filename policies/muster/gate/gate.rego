# METADATA
# title: The router
# description: one entrypoint for one decision, one for a batch; the only place that says allow or deny
# schemas:
#   - input: schema.router
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
decisions[key] := answer if {
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
	"denials": _denials,
	"evidence": sort(_evidence),
	"obligations": array.concat(_gate.obligations, _obligations),
}

# What the gate says of its own conditions. A gate that is registered and gone leaves this undefined, and with it the
# decision.
_stated := {
	"met": data.muster.gates[_gate.action].met,
	"evidence": {id | some id in data.muster.gates[_gate.action].evidence; is_string(id)},
}

# Without an instant nothing is met: text compares with any text, and null is less than all of it.
_now := input.now if calendar.is_instant(input.now)

default _facts := {}

_facts := input.facts

# What the gate itself may state: the rest is judged here, and what nobody asks for turns nothing.
_conditions := {requirement.code |
	some requirement in _gate.requirements
	not requirement.requires
} - {"subject-active"}

_training[requirement.code] := requirement.requires if some requirement in _gate.requirements

_holdings[code] := certification.holding(required, _facts) if some code, required in _training

_fresh contains code if {
	some code, holding in _holdings
	_now < holding.ends
}

_waived[code] := certification.waiver(required, _facts, _now) if {
	some code, required in _training
	not code in _fresh
}

_met contains code if {
	_now
	some code in (_stated.met & _conditions)
}

_met contains code if some code in _fresh

_met contains code if some code, _ in _waived

_met contains "subject-active" if {
	_now
	input.subject.known == true
	input.subject.active == true
	is_string(input.subject.ref)
}

_requirements := array.concat([_common["subject-active"]], _gate.requirements)

# Undefined where the requirements or the gate are gone: a set of codes alone would find nothing unmet among none.
_unmet := {requirement.code | some requirement in _requirements} - _met if {
	_stated
	count(_requirements) > 0
}

default _verdict := "deny"

_verdict := "allow" if count(_unmet) == 0

default _allow := false

_allow if _verdict == "allow"

_allow if _gate.mode == "shadow"

_evidence contains id if {
	_now
	some id in _stated.evidence
}

_evidence contains id if some id in _training_evidence

_training_evidence contains id if {
	some code in _fresh
	some id in _holdings[code].evidence
}

_training_evidence contains id if some id in _waived

_obligations := [{"type": "waiver", "id": id, "requirement": requirement.requires} |
	some requirement in _gate.requirements
	id := _waived[requirement.code]
]

_denials := [] if count(_unmet) == 0

_denials := [_denial(requirement) | some requirement in _requirements; requirement.code in _unmet] if count(_unmet) > 0

_denial(requirement) := {
	"code": requirement.code,
	"title": requirement.title,
	"message": requirement.message,
	"requirement": object.get(requirement, "requires", {"condition": requirement.code}),
	"remedy": object.get(_lessons, requirement.code, requirement.remedy),
}

# The first module on the way to what is not held, or else the one that METADATA names, with what its link shows.
_lessons[requirement.code] := object.union({"kind": "lesson", "module": module}, shown) if {
	some requirement in _gate.requirements
	missing := [part.module | some part in _ways[requirement.code]; not _serves(part)]
	module := array.concat(missing, [named | named := requirement.remedy.module])[0]
	shown := object.filter(object.get(data.source.modules, module, {}), {"title", "version", "minutes", "href"})
}

_ways[code] := certification.path(_training[code], _facts) if some code in _unmet

_serves(part) if _now < part.ends

# The instants after now at which the output turns into another: what is held ends, an exception that covers more than
# what is held ends, the gate says something else, another lesson is the next.
_turns contains holding.ends if {
	some holding in _holdings
	holding.ends > _now
}

_turns contains until if {
	some code, required in _training
	certification.waiver(required, _facts, _now)
	until := _facts.waivers[certification.waiver_key(required)].until
	not _outlasts(code, until)
}

_turns contains instant if {
	some instant in data.muster.gates[_gate.action].instants
	calendar.is_instant(instant)
	instant > _now
	after := _stated with input.now as instant
	[after.met & _conditions, (after.evidence | _training_evidence)] != [_stated.met & _conditions, _evidence]
}

_turns contains part.ends if {
	some way in _ways
	some part in way
	part.ends > _now
	after := _lessons with input.now as part.ends
	after != _lessons
}

_outlasts(code, instant) if _holdings[code].ends > instant

default _changes_at := null

_changes_at := min({instant | some instant in _turns; calendar.is_instant(instant)})
