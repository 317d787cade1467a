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
#     - code: unknown-request
#       title: Unknown request
#       message: There is no stored request of this ID for who is asking.
#       remedy: {kind: request, text: Send the ID that the application was given when it stored your request.}
#     - code: request-withdrawn
#       title: Request withdrawn
#       message: The stored request was withdrawn.
#       remedy: {kind: request, text: Have the application store the request anew.}
#     - code: request-expired
#       title: Request expired
#       message: The time of the stored request is over.
#       remedy: {kind: request, text: Have the application store the request anew.}
#     - code: request-mismatch
#       title: Another request than the one stored
#       message: What is asked differs from what was stored beforehand.
#       remedy: {kind: request, text: "Ask for what was stored, or have the application store what you ask for."}
package muster.gate

import data.muster.certification
import data.muster.lib.calendar

# METADATA
# description: may this person do this now?
# entrypoint: true
# scope: document
decision := {
	"verdict": _verdict,
	"allow": _allow,
	"mode": _gate.mode,
	"gate": _gate.action,
	"policy_id": _gate.policy_id,
	"runbook_id": _gate.runbook_id,
	"denials": _denials,
	"evidence": sort(_evidence),
	"obligations": array.concat(_gate.obligations, _obligations),
	"valid_until": _changes_at,
} if {
	_gate
} else := {
	"verdict": "deny",
	"allow": false,
	"mode": "enforce",
	"gate": null,
	"policy_id": null,
	"runbook_id": null,
	"denials": [_denial(requirement) | some requirement in data.metadata.common; requirement.code == "unknown-action"],
	"evidence": [],
	"obligations": [],
	"valid_until": null,
} if {
	not _registered
}

# METADATA
# description: independent requests, each decided by itself, under the keys that they came with
# entrypoint: true
decisions[key] := answers[0] if {
	some key, request in input.requests

	# Whole before `with` ends: it takes what was computed under it along, and every later look would compute anew.
	# regal ignore:pointless-reassignment
	answers := [answer | answer := decision] with input as request
}

# METADATA
# description: |
#   the way to each requirement about training, by gate and code. It is the same for every question, so the build asks
#   for it once and writes it beside the requirement
ways[action][code] := certification.way(requirement.requires) if {
	some action, gate in data.metadata.gates
	some code, requirement in gate.training
}

# A rule of its own: without a name of an action, `not` around this expression would not be true either.
_registered if data.source.actions[input.action.name]

# What METADATA says of the gate; its requirements also by code, those of its own as `conditions`, the others, which are
# judged here, as `training`, each with its way.
_gate := data.metadata.gates[input.action.name] if data.source.actions[input.action.name]

# Without an instant nothing is met: text compares with any text, and null is less than all of it.
_now := input.now if calendar.is_instant(input.now)

# What the gate says of its own conditions. A gate that is registered and gone leaves this undefined, and with it the
# decision.
_stated := said if {
	said := {"met": _met(_gate.action), "evidence": _proof(_gate.action)}
	_now
} else := {"met": set(), "evidence": set()} if {
	_met(_gate.action)
}

_met(action) := met if {
	met := data.muster.gates[action].met
	is_set(met)
}

_proof(action) := {id | some id in data.muster.gates[action].evidence; is_string(id)}

# The conditions that the gate does not state as met: what it states and nobody asks for turns nothing.
_unstated := object.remove(_gate.conditions, _stated.met)

# What is held, and has not ended.
_held := {code: holding |
	some code, requirement in _gate.training
	holding := certification.holding(requirement.requires, input.facts)
	_now < holding.ends
}

# The waivers in force, of what is held as well. Hardly anybody has one, so nothing is looked at where there are none.
_waivers := {} if {
	input.facts.waivers == {}
} else := {code: held |
	some code, requirement in _gate.training
	held := certification.waived(requirement.requires, input.facts, _now)
}

_waived := object.remove(_waivers, _held)

_untrained := object.remove(object.remove(_gate.training, _held), _waivers)

_active if {
	_now
	input.subject.known == true
	input.subject.active == true
	is_string(input.subject.ref)
}

# That none is cited has to be said: nothing that is missing says it.
_as_stored if {
	_now
	input.facts.request.cited == false
	count(input.facts.request) == 1
}

_as_stored if count(_stored_unmet) == 0

# The stored request that is cited, if it was stored for who is asking.
_stored := input.facts.request if {
	is_string(input.facts.request.ref)
	input.facts.request.ref == input.subject.ref
}

_stored_unmet := {"request-withdrawn", "request-expired", "request-mismatch"} - _stored_met if _stored

_stored_met contains "request-withdrawn" if {
	_now
	_stored.withdrawn == false
}

_stored_met contains "request-expired" if {
	calendar.is_instant(_stored.expires_at)
	_now < _stored.expires_at
}

_stored_met contains "request-mismatch" if {
	_now
	is_object(_stored.given[0])

	# Where nothing stands, `given` itself is compared with a part of it.
	every given in _stored.given {
		object.get(input, given.path, given) == given.value
	}
}

default _verdict := "deny"

_verdict := "allow" if {
	_unstated == {}
	_untrained == {}
	_active
	_as_stored
}

_allow if {
	_verdict == "allow"
} else := _gate.mode == "shadow"

_evidence := _stated.evidence | _judged_evidence

_judged_evidence contains id if {
	some holding in _held
	some id in holding.evidence
}

_judged_evidence contains held.evidence if {
	_waivers != {}
	some held in _waived
}

_judged_evidence contains _stored.evidence if {
	_now
	is_string(_stored.evidence)
}

_obligations := [{"type": "waiver", "id": held.evidence, "requirement": requirement.requires} |
	_waivers != {}
	some requirement in _gate.requirements
	held := _waived[requirement.code]
]

_denials := [] if {
	_verdict == "allow"
} else := denials if {
	unmet := (object.keys(_unstated) | object.keys(_untrained)) | _common_unmet
	count(unmet) > 0
	asked := array.concat(data.metadata.common, _gate.requirements)
	denials := [_denial(requirement) | some requirement in asked; requirement.code in unmet]

	# What is not met and cannot be told is no decision.
	count(denials) == count(unmet)
}

# What every gate asks, and is not met.
_common_unmet contains "subject-active" if not _active

_common_unmet contains "unknown-request" if {
	not _as_stored
	not _stored
}

_common_unmet contains code if some code in _stored_unmet

_denial(requirement) := {
	"code": requirement.code,
	"title": requirement.title,
	"message": requirement.message,
	"requirement": object.get(requirement, "requires", {"condition": requirement.code}),
	"remedy": object.get(_lessons, requirement.code, requirement.remedy),
}

# The first module on the way to each requirement that is not held, with what its link shows.
_lessons := {code: _lesson(module) |
	some code, way in _ways
	[module] := _next(way, _instant)
}

_lesson(module) := {
	"kind": "lesson",
	"module": module,
	"title": shown.title,
	"version": shown.version,
	"minutes": shown.minutes,
	"href": shown.href,
} if {
	shown := data.source.modules[module]
} else := {"kind": "lesson", "module": module}

# The module that METADATA names is on every way the last, and serves nobody.
_ways := {code: array.concat(path, named) |
	some code, requirement in _untrained
	path := certification.path(requirement.requires, requirement.way, _facts)
	named := [{"module": module, "ends": ""} | module := requirement.remedy.module]
}

default _facts := {}

_facts := input.facts

# An array of one or none.
_next(way, instant) := array.slice([part.module | some part in way; instant >= part.ends], 0, 1)

# Without an instant nothing serves: it is after all that ends.
default _instant := "9999"

_instant := input.now if _now

default _changes_at := null

_changes_at := min(_turns)

# The instants after now at which the output turns into another: what is held ends, an exception that covers more than
# what is held ends, the gate says something else, another lesson is the next.
_turns contains holding.ends if {
	some holding in _held
	calendar.is_instant(holding.ends)
}

_turns contains held.until if {
	some code, held in _waivers
	not _outlasts(code, held.until)
}

_turns contains _stored.expires_at if {
	_stored.expires_at > _now
	calendar.is_instant(_stored.expires_at)
}

_turns contains _stated_until if _instants != []

_turns contains part.ends if {
	_untrained != {}
	some way in _ways
	some part in way
	part.ends > _now
	calendar.is_instant(part.ends)
	_next(way, part.ends) != _next(way, _now)
}

_outlasts(code, instant) if _held[code].ends > instant

# The first of the gate's instants at which it says something else: most often the very first, so that is asked alone.
_stated_until := _instants[0] if {
	_changing[_instants[0]]
} else := min(_changing) if {
	_instants[1]
}

_changing contains instant if {
	some instant in _instants
	_turning(object.union(input, {"now": instant}), _judged_evidence)
}

# Where the evidence turns, what is met need not be asked for once more.
_turning(later, judged) if {
	evidence := _evidence_at(later) | judged
	evidence != _evidence
} else if {
	_unstated_at(later) != _unstated
}

_evidence_at(later) := evidence if {
	[evidence] := [said | said := _proof(later.action.name)] with input as later
}

_unstated_at(later) := object.remove(_gate.conditions, met) if {
	[met] := [said | said := _met(later.action.name)] with input as later
}

_instants := sort([instant |
	some instant in data.muster.gates[_gate.action].instants
	calendar.is_instant(instant)
	instant > _now
])
