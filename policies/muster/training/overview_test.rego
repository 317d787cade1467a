package muster.training_test

import data.muster.training as rule

_school := {
	"personas": {
		"ops": {"title": "Ops", "core": "ops/core", "advanced": "ops/more"},
		"new": {"title": "New", "core": "ops/core", "advanced": null},
	},
	"modules": _source.modules,
	"recertified": {},
	"tracks": {
		"ops/core": {
			"title": "Core", "level": "core",
			"modules": [{"module": "b", "tier": "completed"}, {"module": "a", "tier": "completed"}],
		},
		"ops/more": {"title": "More", "level": "advanced", "modules": [{"module": "c", "tier": "proficient"}]},
	},
	"scopes": {
		"one": _school_scope("One", "c"),
		"two": _school_scope("Two", "a"),
	},
}

_school_scope(title, module) := {
	"title": title,
	"takes": [{"module": module, "tier": "proficient"}],
	"valid": "P9M",
	"renewal": "completion",
	"within_parts": "P30D",
	"renewal_window": "P30D",
}

_learner := {
	"subject": {"type": "user", "ref": "a1", "known": true, "persona": "ops"},
	"facts": {
		"modules": {"a": {"proficient": _passed}, "c": {"proficient": _passed}},
		"scopes": {"one": {"standing": "good", "tiers": {"proficient": _one("e-1"), "certified": _one("e-2")}}},
		"waivers": {},
	},
	"now": "2026-10-15T00:00:00.000Z",
}

_one(evidence) := {
	"issued_at": "2026-01-31T10:00:00.000Z",
	"expires_at": "2026-10-31T10:00:00.000Z",
	"parts": {"c": "3.0.0"},
	"evidence": evidence,
}

_done := {"done": true, "passed_at": "2026-01-31T10:00:00.000Z", "evidence": "e"}

_open := {"done": false, "passed_at": null, "evidence": null}

_core := {
	"id": "ops/core",
	"title": "Core",
	"level": "core",
	"modules": [
		object.union({"module": "b", "tier": "completed"}, _open),
		object.union({"module": "a", "tier": "completed"}, _done),
	],
	"done": 1,
	"of": 2,
}

_more := {
	"id": "ops/more",
	"title": "More",
	"level": "advanced",
	"modules": [object.union({"module": "c", "tier": "proficient"}, _done)],
	"done": 1,
	"of": 1,
}

_two := {
	"scope": "two",
	"title": "Two",
	"status": "none",
	"tier": null,
	"issued_at": null,
	"expires_at": null,
	"evidence": [],
}

_expiring := {
	"scope": "one",
	"title": "One",
	"status": "expiring",
	"tier": "certified",
	"issued_at": "2026-01-31T10:00:00.000Z",
	"expires_at": "2026-10-31T10:00:00.000Z",
	"evidence": ["e-2"],
}

_again := object.union(_steps.c, {"reason": "One", "why": "expiring", "by": "2026-10-31T10:00:00.000Z"})

test_overview[note] if {
	some note, tc in {
		"half a track, and a scope that ends soon": [
			{},
			{"tracks": [_core, _more], "scopes": [_expiring, _two], "due": [_steps.b, _again]},
		],
		"one track": [
			{"subject": {"persona": "new"}},
			{"tracks": [_core], "scopes": [_expiring, _two], "due": [_steps.b, _again]},
		],
		"no persona": [{"subject": {"persona": "none"}}, {"tracks": [], "scopes": [_expiring, _two], "due": [_again]}],
		"a scope that has ended": [
			{"now": "2026-11-01T00:00:00.000Z"},
			{
				"tracks": [_core, _more],
				"scopes": [object.union(_expiring, {"status": "expired"}), _two],
				"due": [_steps.b, object.union(_steps.c, {"reason": "One"})],
			},
		],
		"the track is waived": [
			{"facts": {"waivers": {"track:ops/core": {"until": "2026-11-01T00:00:00.000Z", "evidence": "e-w"}}}},
			{"tracks": [_core, _more], "scopes": [_expiring, _two], "due": [_again]},
		],
		"the module is waived": [
			{"facts": {"waivers": {"module:b": {"until": "2026-11-01T00:00:00.000Z", "evidence": "e-w"}}}},
			{"tracks": [_core, _more], "scopes": [_expiring, _two], "due": [_again]},
		],
		"the scope is waived": [
			{
				"now": "2026-11-01T00:00:00.000Z",
				"facts": {"waivers": {"scope:one": {"until": "2026-12-01T00:00:00.000Z", "evidence": "e-w"}}},
			},
			{
				"tracks": [_core, _more],
				"scopes": [object.union(_expiring, {"status": "waived", "evidence": ["e-w"]}), _two],
				"due": [_steps.b],
			},
		],
		"a pass that a regrade has ended": [
			{"facts": {"modules": {"a": {"proficient": {"until": "2026-10-01T00:00:00.000Z"}}}}},
			{
				"tracks": [
					object.union(_core, {
						"done": 0,
						"modules": [_core.modules[0], object.union({"module": "a", "tier": "completed"}, _open)],
					}),
					_more,
				],
				"scopes": [_expiring, _two],
				"due": [_steps.b, object.union(_steps.a, {"tier_after": "completed"}), _again],
			},
		],
	}
	overview := rule.overview with input as object.union(_learner, tc[0])
		with data.source as _school
	overview == tc[1]
}

test_an_overview_of_nobody if {
	overview := rule.overview with input as {}
		with data.source as _school
	overview == {
		"tracks": [],
		"scopes": [object.union(_two, {"scope": "one", "title": "One"}), _two],
		"due": [],
	}
}
