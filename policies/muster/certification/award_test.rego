package muster.certification_test

import data.muster.certification as rule

_award_source := {
	"modules": {},
	"tracks": {
		"ops/core": {"modules": [{"module": "c1", "tier": "completed"}, {"module": "c2", "tier": "completed"}]},
		"ops/more": {"modules": [{"module": "m1", "tier": "proficient"}]},
	},
	"scopes": {
		"export": {
			"takes": [{"module": "a", "tier": "completed"}, {"module": "b", "tier": "proficient"}],
			"valid": "P12M",
			"within_parts": "P30D",
		},
		"quiz": {"takes": [{"module": "q", "tier": "completed"}], "valid": "P6M", "within_parts": "P30D"},
		"change": {
			"takes": [{"track": "ops/core", "tier": "completed"}, {"track": "ops/more", "tier": "proficient"}],
			"valid": "P9M",
			"within_parts": "P90D",
		},
	},
	"awards": {
		"q": {"scopes": ["quiz"], "modules": ["q"]},
		"a": {"scopes": ["export"], "modules": ["a", "b"]},
		"b": {"scopes": ["export"], "modules": ["a", "b"]},
		"m1": {"scopes": ["change"], "modules": ["c1", "c2", "m1"]},
	},
}

_award_pass(at, evidence) := {
	"passed_at": at,
	"version": "1.2.0",
	"digest": null,
	"imported": false,
	"evidence": evidence,
}

_result(module, tier, at) := object.union(_award_pass(at, "e-new"), {"module": module, "tier": tier})

_award_question(result, facts) := {
	"subject": {"type": "user", "ref": "a1", "known": true},
	"result": result,
	"facts": facts,
	"now": "2028-01-01T00:00:00.000Z",
}

_award_export(tier, issued_at, expires_at, parts) := {
	"scope": "export",
	"tier": tier,
	"issued_at": issued_at,
	"expires_at": expires_at,
	"parts": parts,
}

_leap := "2024-02-29T10:00:00.000Z"

_both := {"a": "1.2.0", "b": "1.2.0"}

test_award[note] if {
	some note, tc in {
		"the first part reaches the lower tier": [
			_result("a", "completed", _leap),
			{},
			[_award_export("completed", _leap, "2025-02-28T10:00:00.000Z", {"a": "1.2.0"})],
		],
		"the last part reaches the rest, each dated by its own parts": [
			_result("b", "proficient", "2024-03-30T10:00:00.000Z"),
			{
				"modules": {"a": {"completed": _award_pass(_leap, "e-a")}},
				"scopes": {"export": {"standing": "good", "tiers": {"completed": {
					"issued_at": _leap,
					"expires_at": "2025-02-28T10:00:00.000Z",
				}}}},
			},
			[
				_award_export("proficient", "2024-03-30T10:00:00.000Z", "2025-03-30T10:00:00.000Z", _both),
				_award_export("certified", "2024-03-30T10:00:00.000Z", "2025-03-30T10:00:00.000Z", _both),
			],
		],
		"a part a millisecond too old": [
			_result("b", "proficient", "2024-03-30T10:00:00.001Z"),
			{"modules": {"a": {"completed": _award_pass(_leap, "e-a")}}},
			[_award_export("completed", _leap, "2025-02-28T10:00:00.000Z", {"a": "1.2.0"})],
		],
		"a lower tier of a module is not enough": [
			_result("b", "completed", _leap),
			{"modules": {"a": {"completed": _award_pass(_leap, "e-a")}}},
			[_award_export("completed", _leap, "2025-02-28T10:00:00.000Z", {"a": "1.2.0"})],
		],
		"a higher tier of a module is": [
			_result("a", "proficient", _leap),
			{},
			[_award_export("completed", _leap, "2025-02-28T10:00:00.000Z", {"a": "1.2.0"})],
		],
		"the same date is nothing new": [
			_result("a", "completed", _leap),
			{"scopes": {"export": {"standing": "good", "tiers": {"completed": {
				"issued_at": _leap,
				"expires_at": "2025-02-28T10:00:00.000Z",
			}}}}},
			[],
		],
		"renewal never shortens": [
			_result("a", "completed", "2024-03-01T00:00:00.000Z"),
			{"scopes": {"export": {"standing": "good", "tiers": {"completed": {
				"issued_at": _leap,
				"expires_at": "2025-08-01T00:00:00.000Z",
			}}}}},
			[_award_export("completed", "2024-03-01T00:00:00.000Z", "2025-08-01T00:00:00.000Z", {"a": "1.2.0"})],
		],
		"an older pass that arrives late changes nothing": [
			_result("a", "completed", "2024-01-01T00:00:00.000Z"),
			{
				"modules": {"a": {"completed": _award_pass(_leap, "e-a")}},
				"scopes": {"export": {"standing": "good", "tiers": {"completed": {
					"issued_at": _leap,
					"expires_at": "2025-02-28T10:00:00.000Z",
				}}}},
			},
			[],
		],
		"what was passed before a revocation does not count": [
			_result("b", "proficient", "2024-03-02T00:00:00.000Z"),
			{
				"modules": {"a": {"completed": _award_pass(_leap, "e-a")}},
				"scopes": {"export": {"standing": "revoked", "tiers": {}, "revoked_at": _leap}},
			},
			[],
		],
		"what was passed after it does": [
			_result("a", "completed", "2024-02-29T10:00:00.001Z"),
			{"scopes": {"export": {"standing": "revoked", "tiers": {}, "revoked_at": _leap}}},
			[_award_export("completed", "2024-02-29T10:00:00.001Z", "2025-02-28T10:00:00.001Z", {"a": "1.2.0"})],
		],
		"a track is dated by its oldest pass": [
			_result("m1", "proficient", "2024-01-02T00:00:00.000Z"),
			{"modules": {
				"c1": {"completed": _award_pass("2024-01-03T00:00:00.000Z", "e-1")},
				"c2": {"completed": _award_pass("2024-02-20T00:00:00.000Z", "e-2")},
			}},
			[{
				"scope": "change",
				"tier": tier,
				"issued_at": "2024-01-03T00:00:00.000Z",
				"expires_at": "2024-10-03T00:00:00.000Z",
				"parts": parts,
			} |
				some [tier, parts] in [
					["completed", {"c1": "1.2.0", "c2": "1.2.0"}],
					["proficient", {"c1": "1.2.0", "c2": "1.2.0", "m1": "1.2.0"}],
					["certified", {"c1": "1.2.0", "c2": "1.2.0", "m1": "1.2.0"}],
				]
			],
		],
		"half a track": [
			_result("m1", "proficient", "2024-01-02T00:00:00.000Z"),
			{"modules": {"c1": {"completed": _award_pass("2024-01-03T00:00:00.000Z", "e-1")}}},
			[],
		],
		"a tier that no part asks for is not reached": [
			_result("q", "proficient", _leap),
			{},
			[{
				"scope": "quiz",
				"tier": tier,
				"issued_at": _leap,
				"expires_at": "2024-08-29T10:00:00.000Z",
				"parts": {"q": "1.2.0"},
			} |
				some tier in ["completed", "certified"]
			],
		],
		"an older pass of the same tier does not stand in for a newer one": [
			_result("a", "completed", "2024-01-01T00:00:00.000Z"),
			{"modules": {"a": {"completed": _award_pass(_leap, "e-a")}}},
			[_award_export("completed", _leap, "2025-02-28T10:00:00.000Z", {"a": "1.2.0"})],
		],
		"of two passes at one instant the later entry counts": [
			object.union(_result("a", "completed", _leap), {"version": "2.0.0"}),
			{"modules": {"a": {"completed": _award_pass(_leap, "e-a")}}},
			[_award_export("completed", _leap, "2025-02-28T10:00:00.000Z", {"a": "2.0.0"})],
		],
		"no instant": [_result("a", "completed", "zzzz"), {}, []],
		"a module that leads nowhere": [_result("x", "completed", _leap), {}, []],
	}
	award := rule.award with input as _award_question(tc[0], tc[1])
		with data.source as _award_source
	award == {"certifications": tc[2]}
}

test_nothing_earns_nothing if {
	award := rule.award with input as {}
		with data.source as _award_source
	award == {"certifications": []}
}
