package muster.gate_test

import data.muster.gate as rule

_now := "2026-06-01T10:00:00.000Z"

_soon := "2026-06-01T10:00:00.001Z"

_later := "2026-06-01T10:00:00.002Z"

_common := [
	{"code": "subject-active", "title": "S", "message": "s", "remedy": {"kind": "request"}},
	{"code": "unknown-action", "title": "U", "message": "u", "remedy": {"kind": "request"}},
	{"code": "unknown-request", "title": "U", "message": "u", "remedy": {"kind": "request"}},
	{"code": "request-withdrawn", "title": "W", "message": "w", "remedy": {"kind": "request"}},
	{"code": "request-expired", "title": "E", "message": "e", "remedy": {"kind": "request"}},
	{"code": "request-mismatch", "title": "M", "message": "m", "remedy": {"kind": "request"}},
]

_trained := {"module": "a", "tier": "completed", "within": "P1D"}

# As the build writes it: its requirements by code as well, those about training with their ways.
_judged(gate) := object.union(object.remove(gate, ["conditions", "training"]), {
	"conditions": {requirement.code: requirement | some requirement in gate.requirements; not requirement.requires},
	"training": {requirement.code: object.union(requirement, {"way": [_trained]}) |
		some requirement in gate.requirements
		requirement.requires
	},
})

_gate := _judged({
	"action": "act",
	"policy_id": "POL-1",
	"runbook_id": "RB-1",
	"mode": "enforce",
	"requirements": [
		{
			"code": "trained",
			"title": "T",
			"message": "t",
			"requires": _trained,
			"remedy": {"kind": "lesson", "module": "z"},
		},
		{"code": "own", "title": "O", "message": "o", "remedy": {"kind": "text"}},
	],
	"obligations": [{"type": "runbook", "id": "RB-1"}],
})

_source := {
	"actions": {"act": {"title": "Act", "risk": "high"}},
	"modules": {"a": {"title": "A", "version": "1.0.0", "minutes": 5, "href": "/a", "kind": "lesson"}},
	"recertified": {},
	"scopes": {},
	"tracks": {},
}

_bundle := {"source": _source, "metadata": {"gates": {"act": _gate}, "common": _common}}

_says := {"act": {"met": {"own"}, "evidence": {"e-own"}, "instants": set()}}

_request := {
	"subject": {"type": "user", "id": "ana", "known": true, "ref": "a1", "active": true},
	"action": {"name": "act"},
	"resource": {"type": "thing", "id": "1"},
	"context": {},
	"facts": {
		"modules": {"a": {"completed": {
			"passed_at": "2026-05-31T10:00:00.001Z",
			"version": "1.0.0",
			"evidence": "e-a",
		}}},
		"scopes": {},
		"waivers": {},
		"request": {"cited": false},
	},
	"now": _now,
}

_allowed := {
	"verdict": "allow",
	"allow": true,
	"mode": "enforce",
	"gate": "act",
	"policy_id": "POL-1",
	"runbook_id": "RB-1",
	"denials": [],
	"evidence": ["e-a", "e-own"],
	"obligations": [{"type": "runbook", "id": "RB-1"}],
	"valid_until": _soon,
}

_unknown := {
	"verdict": "deny",
	"allow": false,
	"mode": "enforce",
	"gate": null,
	"policy_id": null,
	"runbook_id": null,
	"denials": [{
		"code": "unknown-action",
		"title": "U",
		"message": "u",
		"requirement": {"condition": "unknown-action"},
		"remedy": {"kind": "request"},
	}],
	"evidence": [],
	"obligations": [],
	"valid_until": null,
}

_not_active := {
	"code": "subject-active",
	"title": "S",
	"message": "s",
	"requirement": {"condition": "subject-active"},
	"remedy": {"kind": "request"},
}

_unknown_request := {
	"code": "unknown-request",
	"title": "U",
	"message": "u",
	"requirement": {"condition": "unknown-request"},
	"remedy": {"kind": "request"},
}

_not_trained := {
	"code": "trained",
	"title": "T",
	"message": "t",
	"requirement": _trained,
	"remedy": {
		"kind": "lesson", "module": "a",
		"title": "A", "version": "1.0.0", "minutes": 5, "href": "/a",
	},
}

_not_own := {
	"code": "own",
	"title": "O",
	"message": "o",
	"requirement": {"condition": "own"},
	"remedy": {"kind": "text"},
}

_denied(denials, changes) := object.union_n([
	_allowed,
	{"verdict": "deny", "allow": false, "valid_until": null, "denials": denials},
	changes,
])

_waiver := {
	"type": "waiver",
	"id": "e-w",
	"requirement": _trained,
}

_waived(key, until) := {"facts": {"modules": {"a": null}, "waivers": {key: {"until": until, "evidence": "e-w"}}}}

test_decision[note] if {
	some note, tc in {
		"allow": [{}, _allowed],
		"at the very instant": [
			{"now": _soon},
			_denied([_not_trained], {"evidence": ["e-own"]}),
		],
		"a waiver takes over": [
			{"now": _soon, "facts": {"waivers": {"module:a": {"until": _later, "evidence": "e-w"}}}},
			object.union(_allowed, {
				"evidence": ["e-own", "e-w"],
				"obligations": [{"type": "runbook", "id": "RB-1"}, _waiver],
				"valid_until": _later,
			}),
		],
		"a waiver that is not needed does not show": [
			{"facts": {"waivers": {"module:a": {"until": _later, "evidence": "e-w"}}}},
			_allowed,
		],
		"a waiver for another module": [
			_waived("module:b", _later),
			_denied([_not_trained], {"evidence": ["e-own"]}),
		],
		"a waiver that ends before what is held is never seen": [
			{
				"now": "2026-06-01T09:00:00.000Z",
				"facts": {"waivers": {"module:a": {"until": _now, "evidence": "e-w"}}},
			},
			_allowed,
		],
		"a waiver at its end": [
			_waived("module:a", _now),
			_denied([_not_trained], {"evidence": ["e-own"]}),
		],
		"a person who is not known": [
			{"subject": {"known": false}},
			_denied([_not_active], {"valid_until": _soon}),
		],
		"a person without a ref": [
			{"subject": {"ref": null}},
			_denied([_not_active], {"valid_until": _soon}),
		],
		"a waiver until a text that is later than any instant": [
			_waived("module:a", "zzzz"),
			_denied([_not_trained], {"evidence": ["e-own"]}),
		],
		"a waiver until an array, which is greater than any text": [
			_waived("module:a", []),
			_denied([_not_trained], {"evidence": ["e-own"]}),
		],
		"an inactive person": [
			{"subject": {"active": false}},
			_denied([_not_active], {"valid_until": _soon}),
		],
		"a module that is not in the catalogue": [
			{"facts": null},
			_denied([_unknown_request, _not_trained], {"evidence": ["e-own"]}),
		],
	}
	decision := rule.decision with input as object.union(_request, tc[0])
		with data.source as _source
		with data.metadata as _bundle.metadata
		with data.muster.gates as _says
	decision == tc[1]
}

test_unknown_action[note] if {
	some note, request in {
		"nothing": {},
		"another action": {"action": {"name": "other"}},
		"a name that is no text": {"action": {"name": ["act"]}},
		"text": "act",
		"null": null,
	}
	decision := rule.decision with input as request
		with data.source as _source
		with data.metadata as _bundle.metadata
		with data.muster.gates as _says
	decision == _unknown
}

test_a_gate_whose_action_is_not_registered_is_unknown if {
	decision := rule.decision with input as _request
		with data.source as object.union(json.remove(_source, ["actions"]), {"actions": {"other": {}}})
		with data.metadata as _bundle.metadata
		with data.muster.gates as _says
	decision == _unknown
}

test_all_requirements_where_nothing_is_met[note] if {
	some note, tc in {
		"no input but the action": {"action": {"name": "act"}},
		"no instant": json.remove(_request, ["now"]),
		"nothing for an instant": object.union(_request, {"now": ""}),
		"text for an instant": object.union(_request, {"now": "zzzz"}),
		"null for an instant": object.union(_request, {"now": null}),
	}
	decision := rule.decision with input as tc
		with data.source as _source
		with data.metadata as _bundle.metadata
		with data.muster.gates as {"act": {"met": set(), "evidence": {"e-own"}, "instants": {_soon}}}
	decision == _denied([_not_active, _unknown_request, _not_trained, _not_own], {"evidence": []})
}

test_nothing_to_decide_by[note] if {
	some note, tc in {
		"no package": {"gates": {}},
		"no metadata": {"metadata": {"gates": {}, "common": _common}},
		"requirements that are not by code": {"metadata": {
			"gates": {"act": object.remove(_gate, ["conditions", "training"])},
			"common": _common,
		}},
		"nothing by which to say what is not met": {
			"request": object.union(_request, {"subject": {"active": false}}),
			"metadata": {"gates": {"act": _gate}, "common": []},
		},
		"no set of what is met": {"gates": {"act": object.union(_says.act, {"met": {"own": false}})}},
	}
	not rule.decision with input as object.get(tc, "request", _request)
		with data.source as _source
		with data.metadata as object.get(tc, "metadata", _bundle.metadata)
		with data.muster.gates as object.get(tc, "gates", _says)
}

test_what_is_judged_centrally_no_gate_can_meet if {
	request := object.union(_request, {"subject": {"active": false}, "now": _soon})
	decision := rule.decision with input as request
		with data.source as _source
		with data.metadata as _bundle.metadata
		with data.muster.gates as {"act": object.union(
			_says.act,
			{"met": {"own", "trained", "subject-active", "unknown-action"}},
		)}
	decision == _denied([_not_active, _not_trained], {"evidence": ["e-own"]})
}

test_shadow[note] if {
	some note, tc in {
		"allow": [_now, object.union(_allowed, {"mode": "shadow"})],
		"deny is told as allow": [
			_soon,
			_denied([_not_trained], {"evidence": ["e-own"], "mode": "shadow", "allow": true}),
		],
	}
	decision := rule.decision with input as object.union(_request, {"now": tc[0]})
		with data.source as _source
		with data.metadata as {"gates": {"act": object.union(_gate, {"mode": "shadow"})}, "common": _common}
		with data.muster.gates as _says
	decision == tc[1]
}

test_a_lesson_that_left_the_catalogue if {
	decision := rule.decision with input as object.union(_request, {"now": _soon})
		with data.source as object.union(json.remove(_source, ["modules"]), {"modules": {}})
		with data.metadata as _bundle.metadata
		with data.muster.gates as _says
	denial := object.union(
		json.remove(_not_trained, ["remedy"]),
		{"remedy": {"kind": "lesson", "module": "a"}},
	)
	decision == _denied([denial], {"evidence": ["e-own"]})
}

test_valid_until_passes_over_what_changes_nothing if {
	decision := rule.decision with input as object.union(_request, {"subject": {"active": false}})
		with data.source as _source
		with data.metadata as _bundle.metadata
		with data.muster.gates as {"act": object.union(_says.act, {"instants": {"2026-06-01T10:00:00.000Z", "zz"}})}
	decision == _denied([_not_active], {"valid_until": _soon})

	waived := object.union(_request, {"facts": {"waivers": {"module:a": {"until": _later, "evidence": "e-a"}}}})
	skipped := rule.decision with input as waived
		with data.source as _source
		with data.metadata as _bundle.metadata
		with data.muster.gates as {"act": object.union(
			_says.act,
			{"instants": {"2026-06-01T10:00:00.0005Z", "2026-06-01T10:00:00.003Z"}},
		)}
	skipped == _allowed
}

test_valid_until_after_an_instant_that_changes_nothing if {
	request := json.remove(_request, ["facts/modules/a"])
	decision := rule.decision with input as object.union(
		request,
		{"facts": {"waivers": {"module:a": {"until": _later, "evidence": "e-w"}}}},
	)
		with data.source as _source
		with data.metadata as _bundle.metadata
		with data.muster.gates as {"act": object.union(_says.act, {"instants": {_soon}})}
	decision.valid_until == _later
}

test_a_code_that_nobody_asks_for_turns_nothing if {
	request := object.union(_request, {"action": {"name": "prod-change"}, "context": {"change_window": "w"}})
	window := {"starts_at": _now, "ends_at": _soon, "resources": [{"type": "thing", "id": "1"}], "evidence": 7}
	decision := rule.decision with input as object.union(request, {"facts": {"change_windows": {"w": window}}})
		with data.source as {"actions": {"prod-change": {"title": "Change"}}, "modules": {}}
		with data.metadata as {
			"gates": {"prod-change": _judged(object.union(_gate, {
				"action": "prod-change",
				"requirements": [_gate.requirements[1]],
			}))},
			"common": _common,
		}
	decision.valid_until == null
}

_second := object.union(_gate.requirements[0], {"code": "also-trained", "requires": {"module": "b"}})

_twice := _judged(object.union(_gate, {"requirements": [_gate.requirements[0], _gate.requirements[1], _second]}))

test_waivers_stand_in_the_order_of_the_requirements if {
	waivers := {
		"module:a": {"until": _later, "evidence": "e-1"},
		"module:b": {"until": _later, "evidence": "e-2"},
	}
	decision := rule.decision with input as object.union(_request, {"facts": {"modules": null, "waivers": waivers}})
		with data.source as _source
		with data.metadata as {"gates": {"act": _twice}, "common": _common}
		with data.muster.gates as _says
	[obligation.id | some obligation in decision.obligations] == ["RB-1", "e-1", "e-2"]
}

test_where_nothing_is_missing_the_lesson_is_the_one_that_is_named if {
	decision := rule.decision with input as object.union(_request, {"now": "2026-05-31T10:00:00.002Z"})
		with data.source as object.union(_source, {"scopes": {"s": {
			"takes": [{"module": "a", "tier": "completed"}],
			"within_parts": "P1D",
		}}})
		with data.metadata as {
			"gates": {"act": _judged(object.union(_gate, {"requirements": [object.union(
				json.remove(_gate.requirements[0], ["requires/module"]),
				{"requires": {"scope": "s"}, "remedy": {"kind": "lesson", "module": "a"}},
			)]}))},
			"common": _common,
		}
		with data.muster.gates as _says
	decision.denials[0].remedy == _not_trained.remedy
}

test_what_the_gate_says_turns_at_its_own_instants[note] if {
	some note, tc in {
		"before the window": ["2026-06-01T09:59:59.999Z", ["deny", [], _now]],
		"in the window": [_now, ["allow", ["e-window"], _soon]],
		"after the window": [_soon, ["deny", [], null]],
	}
	decision := rule.decision with input as object.union(_request, {
		"action": {"name": "prod-change"},
		"context": {"change_window": "w"},
		"facts": {"change_windows": {"w": {
			"starts_at": _now,
			"ends_at": _soon,
			"resources": [{"type": "thing", "id": "1"}],
			"evidence": "e-window",
		}}},
		"now": tc[0],
	})
		with data.source as {"actions": {"prod-change": {"title": "Change"}}, "modules": {}}
		with data.metadata as {
			"gates": {"prod-change": _judged(object.union(_gate, {
				"action": "prod-change",
				"requirements": [object.union(_gate.requirements[1], {"code": "change-window"})],
			}))},
			"common": _common,
		}
	[decision.verdict, decision.evidence, decision.valid_until] == tc[1]
}

_approvals[id] := {
	"approver": id,
	"approver_active": true,
	"request_digest": "d",
	"expires_at": ends,
	"evidence": sprintf("e-%s", [id]),
} if {
	some id, ends in {"a1": _soon, "b2": _later, "c3": "2026-06-01T10:00:00.003Z"}
}

# The subject's own approval does not count, so its end changes nothing.
test_the_gate_turns_at_a_later_instant_of_its_own[note] if {
	some note, tc in {
		"while both count": [_now, ["allow", ["e-b2", "e-c3"], _later]],
		"when the first ends that counts": [_later, ["deny", [], null]],
	}
	decision := rule.decision with input as object.union(_request, {
		"action": {"name": "data-export"},
		"context": {"approvals": ["a1", "b2", "c3"]},
		"facts": {"approvals": _approvals, "request_digest": "d"},
		"now": tc[0],
	})
		with data.source as {"actions": {"data-export": {"title": "Export"}}, "modules": {}}
		with data.metadata as {
			"gates": {"data-export": _judged(object.union(_gate, {
				"action": "data-export",
				"requirements": [object.union(_gate.requirements[1], {"code": "dual-approval"})],
			}))},
			"common": _common,
		}
	[decision.verdict, decision.evidence, decision.valid_until] == tc[1]
}

_track := {"tracks": {"ab": {"modules": [
	{"module": "a", "tier": "completed"},
	{"module": "b", "tier": "completed"},
]}}}

_tracked := object.union(
	_judged(object.union(_gate, {"requirements": [object.union(
		json.remove(_gate.requirements[0], ["requires/module"]),
		{"requires": {"track": "ab"}},
	)]})),
	{"training": {"trained": {"way": [_trained, object.union(_trained, {"module": "b"})]}}},
)

test_the_lesson_is_the_first_that_does_not_serve[note] if {
	some note, tc in {
		"until the first one ends too": [_now, ["b", _soon]],
		"and then it is the first": [_soon, ["a", null]],
	}
	decision := rule.decision with input as object.union(_request, {"now": tc[0]})
		with data.source as object.union(_source, _track)
		with data.metadata as {"gates": {"act": _tracked}, "common": _common}
		with data.muster.gates as _says
	[decision.denials[0].remedy.module, decision.valid_until] == tc[1]
}

test_batch if {
	decisions := rule.decisions with input as {"requests": {"a": _request, "b": {}, "c": 7}}
		with data.source as _source
		with data.metadata as _bundle.metadata
		with data.muster.gates as _says
	decisions == {"a": _allowed, "b": _unknown, "c": _unknown}
}
