package muster.certification_test

import data.muster.certification as rule

_way_source := {
	"modules": {
		"a": {"version": "2.0.0"},
		"b": {"version": "2.0.0"},
		"c1": {"version": "2.0.0"},
		"c2": {"version": "2.0.0"},
		"old": {"version": "2.0.0", "recertify": {"below": 2, "by": "2027-06-01T00:00:00.000Z"}},
		"older": {"version": "2.0.0", "recertify": {"below": 2, "by": "2027-05-01T00:00:00.000Z"}},
	},
	"recertified": {
		"old": {"below": 2, "by": "2027-06-01T00:00:00.000Z"},
		"older": {"below": 2, "by": "2027-05-01T00:00:00.000Z"},
	},
	"tracks": {"ops": {"modules": [{"module": "c1", "tier": "completed"}, {"module": "c2", "tier": "completed"}]}},
	"scopes": {
		"pair": _way_scope([{"module": "b", "tier": "proficient"}, {"module": "a", "tier": "completed"}]),
		"track": _way_scope([{"track": "ops", "tier": "completed"}]),
		"legacy": _way_scope([{"module": "old", "tier": "completed"}]),
		"three": _way_scope([
			{"module": "old", "tier": "completed"},
			{"module": "older", "tier": "completed"},
			{"module": "a", "tier": "completed"},
		]),
		"twice": _way_scope([{"module": "a", "tier": "completed"}, {"module": "a", "tier": "proficient"}]),
		"stuck": object.union(_way_scope([{"module": "a", "tier": "completed"}]), {"renewal": "never"}),
	},
}

_way_scope(takes) := {
	"takes": takes,
	"valid": "P12M",
	"renewal": "completion",
	"within_parts": "P30D",
	"renewal_window": "P30D",
}

_to(scope) := {"scope": scope, "tier": "certified", "within": "P12M"}

_way_now := "2027-03-01T00:00:00.000Z"

_passed(tier, at, version) := {tier: {"passed_at": at, "version": version, "evidence": "e"}}

_certified(scope, issued_at, expires_at, parts) := {scope: {"standing": "good", "tiers": {"certified": {
	"issued_at": issued_at,
	"expires_at": expires_at,
	"evidence": "e",
	"parts": parts,
}}}}

_step(module, tier, why, by) := {"module": module, "tier": tier, "why": why, "by": by}

_missing(module, tier) := _step(module, tier, "missing", null)

_soon := "2027-03-20T00:00:00.000Z"

_ending := _certified("pair", "2026-03-20T00:00:00.000Z", _soon, {})

_year_old := {
	"a": _passed("completed", "2026-03-20T00:00:00.000Z", "2.0.0"),
	"b": _passed("proficient", "2026-03-20T00:00:00.000Z", "2.0.0"),
}

_recent := "2027-02-20T00:00:00.000Z"

test_steps_to_a_scope[note] if {
	some note, tc in {
		"nothing was passed": ["pair", {}, [_missing("a", "completed"), _missing("b", "proficient")]],
		"it is waived": ["pair", {"waivers": {"scope:pair": {"until": _soon, "evidence": "e"}}}, []],
		"one part serves": [
			"pair",
			{"modules": {"a": _passed("completed", _recent, "2.0.0")}},
			[_missing("b", "proficient")],
		],
		"one part is too old, and the other is not": [
			"pair",
			{"modules": {
				"a": _passed("completed", "2027-01-20T00:00:00.000Z", "2.0.0"),
				"b": _passed("proficient", _recent, "2.0.0"),
			}},
			[_missing("a", "completed")],
		],
		"all was passed before the scope was there": [
			"pair",
			{"modules": {
				"a": _passed("completed", _recent, "2.0.0"),
				"b": _passed("proficient", _recent, "2.0.0"),
			}},
			[_missing("b", "proficient")],
		],
		"all of a track was passed long before": [
			"track",
			{"modules": {
				"c1": _passed("completed", "2026-08-01T00:00:00.000Z", "2.0.0"),
				"c2": _passed("completed", "2026-08-02T00:00:00.000Z", "2.0.0"),
			}},
			[_missing("c2", "completed")],
		],
		"one module at two tiers": ["twice", {}, [_missing("a", "proficient")]],
		"it is held for longer": ["pair", {"scopes": _certified("pair", _recent, "2028-02-20T00:00:00.000Z", {})}, []],
		"it ends soon": [
			"pair",
			{"modules": _year_old, "scopes": _ending},
			[_step("a", "completed", "expiring", _soon), _step("b", "proficient", "expiring", _soon)],
		],
		"it ends soon, and one part was passed anew": [
			"pair",
			{
				"modules": object.union(_year_old, {"a": _passed("completed", _recent, "2.0.0")}),
				"scopes": _ending,
			},
			[_step("b", "proficient", "expiring", _soon)],
		],
		"it ends soon, and one part is as old as a part may be": [
			"pair",
			{
				"modules": object.union(_year_old, {"a": _passed("completed", "2027-01-30T00:00:00.000Z", "2.0.0")}),
				"scopes": _ending,
			},
			[_step("b", "proficient", "expiring", _soon)],
		],
		"a track of it ends soon": [
			"track",
			{
				"modules": {
					"c1": _passed("completed", "2026-03-20T00:00:00.000Z", "2.0.0"),
					"c2": _passed("completed", "2026-04-20T00:00:00.000Z", "2.0.0"),
				},
				"scopes": _certified("track", "2026-03-20T00:00:00.000Z", _soon, {}),
			},
			[_step("c1", "completed", "expiring", _soon), _step("c2", "completed", "expiring", _soon)],
		],
		"it ends soon, and nothing would help": [
			"stuck",
			{"scopes": _certified("stuck", "2026-03-20T00:00:00.000Z", _soon, {})},
			[],
		],
		"a major version asks for it": [
			"legacy",
			{
				"modules": {"old": _passed("completed", _recent, "1.0.0")},
				"scopes": _certified("legacy", _recent, "2028-02-20T00:00:00.000Z", {"old": "1.0.0"}),
			},
			[_step("old", "completed", "grace", "2027-06-01T00:00:00.000Z")],
		],
		"two major versions ask for it, and a regrade": [
			"three",
			{
				"modules": {
					"old": _passed("completed", _recent, "1.0.0"),
					"older": _passed("completed", _recent, "1.0.0"),
					"a": {"completed": object.union(
						_passed("completed", _recent, "2.0.0").completed,
						{"until": "2027-07-01T00:00:00.000Z", "lowered": "e-regrade"},
					)},
				},
				"scopes": _certified("three", _recent, "2028-02-20T00:00:00.000Z", {"old": "1.0.0", "older": "1.0.0"}),
			},
			[
				_step("old", "completed", "grace", "2027-05-01T00:00:00.000Z"),
				_step("older", "completed", "grace", "2027-05-01T00:00:00.000Z"),
				_step("a", "completed", "grace", "2027-05-01T00:00:00.000Z"),
			],
		],
		"it was revoked at this very instant": [
			"pair",
			{"scopes": {"pair": {"standing": "revoked", "tiers": {}, "revoked_at": _way_now}}},
			[_missing("a", "completed"), _missing("b", "proficient")],
		],
	}
	steps := rule.steps(_to(tc[0]), tc[1], _way_now) with data.source as _way_source
	steps == tc[2]
}

test_steps_to_parts[note] if {
	some note, tc in {
		"a module that is missing": [{"module": "a", "tier": "completed"}, {}, [_missing("a", "completed")]],
		"a module that is held for longer": [
			{"module": "a", "tier": "completed"},
			{"a": _passed("completed", _recent, "2.0.0")},
			[],
		],
		"a module of an old version": [
			{"module": "old", "tier": "completed"},
			{"old": _passed("completed", _recent, "1.0.0")},
			[_step("old", "completed", "grace", "2027-06-01T00:00:00.000Z")],
		],
		"half a track": [
			{"track": "ops", "tier": "completed"},
			{"c1": _passed("completed", _recent, "2.0.0")},
			[_missing("c2", "completed")],
		],
		"a track of which one module ends soon": [
			{"track": "ops", "tier": "completed"},
			{
				"c1": _passed("completed", "2026-03-20T00:00:00.000Z", "2.0.0"),
				"c2": _passed("completed", _recent, "2.0.0"),
			},
			[_step("c1", "completed", "expiring", _soon)],
		],
	}
	required := object.union(tc[0], {"within": "P12M"})
	steps := rule.steps(required, {"modules": tc[1]}, _way_now) with data.source as _way_source
	steps == tc[2]
}

test_without_an_instant_everything_is_missing if {
	facts := {"modules": {
		"a": _passed("completed", _recent, "2.0.0"),
		"c1": _passed("completed", _recent, "2.0.0"),
	}}
	pair := rule.steps(_to("pair"), facts, null) with data.source as _way_source
	pair == [_missing("a", "completed"), _missing("b", "proficient")]
	track := rule.steps({"track": "ops", "tier": "completed", "within": "P12M"}, facts, "")
		with data.source as _way_source
	track == [_missing("c1", "completed"), _missing("c2", "completed")]
}

test_what_a_major_change_has_ended_is_missing if {
	facts := {"modules": {
		"old": _passed("completed", "2027-06-20T00:00:00.000Z", "1.0.0"),
		"older": _passed("completed", "2027-06-20T00:00:00.000Z", "1.0.0"),
		"a": _passed("completed", "2027-06-20T00:00:00.000Z", "1.0.0"),
	}}
	steps := rule.steps(_to("three"), facts, "2027-07-01T00:00:00.000Z") with data.source as _way_source
	steps == [_missing("old", "completed"), _missing("older", "completed")]
}
