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
	"evidence": sort(_evidence | _stored_evidence),
	"obligations": array.concat(_gate.obligations, _obligations),
	"valid_until": _changes_at,
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

_registered if data.source.actions[input.action.name]

_gate := data.metadata.gates[input.action.name] if _registered

_common[requirement.code] := requirement if some requirement in data.metadata.common

_requirements := array.concat(array.concat([_common["subject-active"]], _asked_of_stored), _gate.requirements)

# The stored request that is cited, if it was stored for who is asking.
_stored := input.facts.request if {
	is_string(input.facts.request.ref)
	input.facts.request.ref == input.subject.ref
}

_asked_of_stored := [_common["unknown-request"]] if not _stored

_asked_of_stored := [
	_common["request-withdrawn"],
	_common["request-expired"],
	_common["request-mismatch"],
] if {
	_stored
}

_codes contains requirement.code if some requirement in _requirements

_training[requirement.code] := requirement.requires if some requirement in _gate.requirements

# What the gate itself may state: the rest is judged here, and what nobody asks for turns nothing.
_conditions := (_codes - object.keys(_training)) - object.keys(_common)

# What the gate says of its own conditions. A gate that is registered and gone leaves this undefined, and with it the
# decision.
_stated := _statement(_gate.action)

_statement(action) := {
	"met": data.muster.gates[action].met,
	"evidence": {id | some id in data.muster.gates[action].evidence; is_string(id)},
}

# Without an instant nothing is met: text compares with any text, and null is less than all of it.
_now := input.now if calendar.is_instant(input.now)

default _facts := {}

_facts := input.facts

_holdings[code] := certification.holding(required, _facts) if some code, required in _training

_fresh contains code if {
	some code, holding in _holdings
	_now < holding.ends
}

# The waivers in force, of what is held as well.
_waivers[code] := certification.waived(required, _facts, _now) if some code, required in _training

_waived := object.remove(_waivers, _fresh)

_active if {
	input.subject.known == true
	input.subject.active == true
	is_string(input.subject.ref)
}

# That none is cited has to be said: nothing that is missing says it.
_common_met contains "unknown-request" if {
	input.facts.request.cited == false
	object.keys(input.facts.request) == {"cited"}
}

_common_met contains "request-withdrawn" if _stored.withdrawn == false

_common_met contains "request-expired" if {
	calendar.is_instant(_stored.expires_at)
	_now < _stored.expires_at
}

_common_met contains "request-mismatch" if {
	is_object(_stored.given[0])

	# Where nothing stands, `given` itself is compared with a part of it.
	every given in _stored.given {
		object.get(input, given.path, given) == given.value
	}
}

_common_met contains "subject-active" if _active

default _met := set()

_met := (((_stated.met & _conditions) | _fresh) | object.keys(_waived)) | _common_met if _now

# Undefined where the requirements or the gate are gone: a set of codes alone would find nothing unmet among none.
_unmet := _codes - _met if {
	_stated
	count(_requirements) > 0
}

default _verdict := "deny"

_verdict := "allow" if count(_unmet) == 0

default _allow := false

_allow if _verdict == "allow"

_allow if _gate.mode == "shadow"

default _evidence := set()

_evidence := _stated.evidence | _training_evidence if _now

_stored_evidence contains _stored.evidence if {
	_now
	is_string(_stored.evidence)
}

_training_evidence contains id if {
	some code in _fresh
	some id in _holdings[code].evidence
}

_training_evidence contains held.evidence if some held in _waived

_obligations := [] if count(_waived) == 0

_obligations := [{"type": "waiver", "id": held.evidence, "requirement": requirement.requires} |
	some requirement in _gate.requirements
	held := _waived[requirement.code]
] if count(_waived) > 0

_denials := [] if count(_unmet) == 0

_denials := [_denial(requirement) | some requirement in _requirements; requirement.code in _unmet] if count(_unmet) > 0

_denial(requirement) := {
	"code": requirement.code,
	"title": requirement.title,
	"message": requirement.message,
	"requirement": object.get(requirement, "requires", {"condition": requirement.code}),
	"remedy": _remedy(requirement),
}

# The first module on the way to what is not held, with what its link shows; or else what METADATA says.
_remedy(requirement) := object.union({"kind": "lesson", "module": module}, shown) if {
	[module] := _next(_ways[requirement.code], _instant)
	shown := object.filter(object.get(data.source.modules, module, {}), {"title", "version", "minutes", "href"})
} else := requirement.remedy

# The module that METADATA names is on every way the last, and serves nobody.
_ways[requirement.code] := array.concat(path, named) if {
	some requirement in _gate.requirements
	requirement.code in _unmet
	path := [part | some part in certification.path(requirement.requires, _facts)]
	named := [{"module": module, "ends": ""} | module := requirement.remedy.module]
}

# An array of one or none.
_next(way, instant) := array.slice([part.module | some part in way; instant >= part.ends], 0, 1)

# Without an instant nothing serves: it is after all that ends.
default _instant := "9999"

_instant := input.now if _now

# The instants after now at which the output turns into another: what is held ends, an exception that covers more than
# what is held ends, the gate says something else, another lesson is the next.
_turns contains holding.ends if {
	some holding in _holdings
	holding.ends > _now
}

_turns contains held.until if {
	some code, held in _waivers
	not _outlasts(code, held.until)
}

_turns contains _stored.expires_at if _stored.expires_at > _now

_turns contains _stated_until

_turns contains part.ends if {
	some way in _ways
	some part in way
	part.ends > _now
	_next(way, part.ends) != _next(way, _now)
}

_outlasts(code, instant) if _holdings[code].ends > instant

# The first of the gate's instants at which it says something else: most often the very first, so that is asked alone.
_stated_until := _instants[0] if {
	_changing[_instants[0]]
} else := min(_changing)

_changing contains instant if {
	action := _gate.action
	some instant in _instants
	[after] := [said | said := _statement(action)] with input.now as instant
	[after.met & _conditions, (after.evidence | _training_evidence)] != [_stated.met & _conditions, _evidence]
}

_instants := sort([instant |
	some instant in data.muster.gates[_gate.action].instants
	calendar.is_instant(instant)
	instant > _now
])

default _changes_at := null

_changes_at := min({instant | some instant in _turns; calendar.is_instant(instant)})
