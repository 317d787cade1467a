package muster.training_test

import data.muster.training as rule

_source := {
	"modules": {
		"a": {"title": "A", "version": "1.0.0", "minutes": 5, "href": "/a", "kind": "lesson"},
		"b": {"title": "B", "version": "2.0.0", "minutes": 7, "href": "/b", "kind": "lesson"},
		"c": {"title": "C", "version": "3.0.0", "minutes": 9, "href": "/c", "kind": "lesson"},
	},
	"tracks": {
		"ops/core": {"modules": [{"module": "b", "tier": "completed"}, {"module": "a", "tier": "completed"}]},
		"ops/more": {"modules": [{"module": "a", "tier": "proficient"}, {"module": "c", "tier": "proficient"}]},
	},
	"scopes": {},
}

_gates := {"act": {"requirements": [
	{"code": "core", "title": "Core", "requires": {"track": "ops/core", "tier": "completed", "within": "P9M"}},
	{"code": "more", "title": "More", "requires": {"track": "ops/more", "tier": "proficient", "within": "P9M"}},
	{"code": "own", "title": "Own"},
]}}

_steps := {
	"b": {
		"module": "b", "version": "2.0.0", "title": "B", "reason": "Core",
		"minutes": 7, "href": "/b", "tier_after": "completed", "why": "missing", "by": null,
	},
	"a": {
		"module": "a", "version": "1.0.0", "title": "A", "reason": "Core",
		"minutes": 5, "href": "/a", "tier_after": "proficient", "why": "missing", "by": null,
	},
	"c": {
		"module": "c", "version": "3.0.0", "title": "C", "reason": "More",
		"minutes": 9, "href": "/c", "tier_after": "proficient", "why": "missing", "by": null,
	},
}

_renewed(step) := object.union(step, {"why": "expiring", "by": "2026-10-31T10:00:00.000Z"})

_passed := {"passed_at": "2026-01-31T10:00:00.000Z", "version": "1.0.0", "evidence": "e"}

_question := {
	"subject": {"type": "user", "ref": "a1", "known": true},
	"action": {"name": "act"},
	"facts": {"modules": {}, "scopes": {}, "waivers": {}},
	"now": "2026-06-01T00:00:00.000Z",
}

test_next[note] if {
	some note, tc in {
		"everything, in order, each once": [{}, [_steps.b, _steps.a, _steps.c]],
		"what is fresh is left out": [
			{"facts": {"modules": {"b": {"completed": _passed}, "a": {"proficient": _passed}}}},
			[_steps.c],
		],
		"a lower tier does not serve a higher one": [
			{"facts": {"modules": {"b": {"completed": _passed}, "a": {"completed": _passed}}}},
			[object.union(_steps.a, {"reason": "More"}), _steps.c],
		],
		"what grew old is asked again": [
			{
				"now": "2026-10-31T10:00:00.000Z",
				"facts": {"modules": {
					"b": {"completed": _passed},
					"a": {"proficient": _passed},
					"c": {"proficient": _passed},
				}},
			},
			[_steps.b, _steps.a, _steps.c],
		],
		"what ends soon": [
			{
				"now": "2026-10-31T09:59:59.999Z",
				"facts": {"modules": {
					"b": {"completed": _passed},
					"a": {"proficient": _passed},
					"c": {"proficient": _passed},
				}},
			},
			[_renewed(_steps.b), _renewed(_steps.a), _renewed(_steps.c)],
		],
		"what is missing comes first": [
			{
				"now": "2026-10-01T10:00:00.000Z",
				"facts": {"modules": {"b": {"completed": _passed}, "a": {"proficient": _passed}}},
			},
			[_steps.c, _renewed(_steps.b), object.union(_renewed(_steps.a), {"tier_after": "completed"})],
		],
		"nothing is left": [
			{
				"now": "2026-10-01T09:59:59.999Z",
				"facts": {"modules": {
					"b": {"completed": _passed},
					"a": {"proficient": _passed},
					"c": {"proficient": _passed},
				}},
			},
			[],
		],
		"what is waived is not asked": [
			{"facts": {"waivers": {"track:ops/core": {"until": "2026-06-01T00:00:00.001Z", "evidence": "e-w"}}}},
			[object.union(_steps.a, {"reason": "More"}), _steps.c],
		],
		"no instant": [
			{"now": "", "facts": {"modules": {"b": {"completed": _passed}}}},
			[_steps.b, _steps.a, _steps.c],
		],
		"no facts": [{"facts": null}, [_steps.b, _steps.a, _steps.c]],
		"an unknown action": [{"action": {"name": "other"}}, []],
	}
	next := rule.next with input as object.union(_question, tc[0])
		with data.source as _source
		with data.metadata.gates as _gates
	next == {"required": tc[1], "minutes": sum([step.minutes | some step in tc[1]])}
}

test_an_action_alone_asks_for_everything if {
	next := rule.next with input as {"action": {"name": "act"}}
		with data.source as _source
		with data.metadata.gates as _gates
	next == {"required": [_steps.b, _steps.a, _steps.c], "minutes": 21}
}

test_nothing_asks_for_nothing if {
	next := rule.next with input as {}
		with data.source as _source
		with data.metadata.gates as _gates
	next == {"required": [], "minutes": 0}
}
