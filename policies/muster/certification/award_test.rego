package muster.certification_test

import data.muster.certification as rule

_award_source := {
	"modules": {},
	"recertified": {},
	"tracks": {
		"ops/core": {"modules": [{"module": "c1", "tier": "completed"}, {"module": "c2", "tier": "completed"}]},
		"ops/more": {"modules": [{"module": "m1", "tier": "proficient"}]},
	},
	"scopes": {
		"export": {
			"takes": [{"module": "a", "tier": "completed"}, {"module": "b", "tier": "proficient"}],
			"valid": "P12M",
			"renewal": "completion",
			"within_parts": "P30D",
		},
		"quiz": {
			"takes": [{"module": "q", "tier": "completed"}],
			"valid": "P6M",
			"renewal": "completion",
			"within_parts": "P30D",
		},
		"change": {
			"takes": [{"track": "ops/core", "tier": "completed"}, {"track": "ops/more", "tier": "proficient"}],
			"valid": "P9M",
			"renewal": "completion",
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

_renewal_source(rule) := {
	"modules": {"a": {"title": "A"}},
	"recertified": {},
	"tracks": {},
	"scopes": {"one": object.union(
		{
			"takes": [{"module": "a", "tier": "proficient"}],
			"valid": "P12M",
			"within_parts": "P30D",
			"renewal_window": "P30D",
		},
		rule,
	)},
	"awards": {"a": {"scopes": ["one"], "modules": ["a"]}},
}

_by_expiry := _renewal_source({"renewal": "expiry"})

_by_calendar := _renewal_source({"renewal": "calendar", "calendar": "07-01", "min_active": "P60D"})

_held_until(day) := {"proficient": {
	"issued_at": "2026-06-30T00:00:00.000Z",
	"expires_at": sprintf("%sT00:00:00.000Z", [day]),
	"parts": {},
}}

test_renewal[note] if {
	some note, tc in {
		"by expiry, nothing held": [_by_expiry, {}, "2027-01-15", {"2028-01-15"}],
		"by expiry, before the window": [_by_expiry, _held_until("2027-06-30"), "2027-05-30", {"2028-05-30"}],
		"by expiry, in the window": [_by_expiry, _held_until("2027-06-30"), "2027-05-31", {"2028-06-30"}],
		"by expiry, too late": [_by_expiry, _held_until("2027-06-30"), "2027-06-30", {"2028-06-30"}],
		"by expiry, never shortened": [_by_expiry, _held_until("2029-06-30"), "2027-06-30", {"2029-06-30"}],
		"by expiry, from what was lowered": [
			_by_expiry,
			{"proficient": object.union(
				_held_until("2027-06-30").proficient,
				{"until": "2027-08-01T00:00:00.000Z"},
			)},
			"2027-06-15",
			{"2028-06-15"},
		],
		"by the calendar, this year's day": [_by_calendar, {}, "2027-05-02", {"2027-07-01"}],
		"by the calendar, the next year's": [_by_calendar, {}, "2027-05-03", {"2028-07-01"}],
		"by the calendar, never before": [_by_calendar, _held_until("2027-08-01"), "2027-02-01", {"2027-08-01"}],
		"by a way that is none": [_renewal_source({"renewal": "never"}), {}, "2027-05-03", set()],
	}
	award := rule.award with input as _award_question(
		_result("a", "proficient", sprintf("%sT00:00:00.000Z", [tc[2]])),
		{"scopes": {"one": {"standing": "good", "tiers": tc[1]}}},
	)
		with data.source as tc[0]
		with input.now as sprintf("%sT00:00:00.000Z", [tc[2]])
	{substring(c.expires_at, 0, 10) | some c in award.certifications; c.tier == "proficient"} == tc[3]
}

_lowered(fact) := object.union(fact, {"until": "2024-04-01T00:00:00.000Z", "lowered": "e-regrade"})

test_what_was_lowered[note] if {
	some note, tc in {
		"a part ends what leans on it": ["2024-03-02T00:00:00.000Z", [
			_award_export("completed", _leap, "2024-04-01T00:00:00.000Z", {"a": "1.2.0"}),
			_award_export("proficient", "2024-03-02T00:00:00.000Z", "2024-04-01T00:00:00.000Z", _both),
			_award_export("certified", "2024-03-02T00:00:00.000Z", "2024-04-01T00:00:00.000Z", _both),
		]],
		"a part at its end": ["2024-04-01T00:00:00.000Z", []],
	}
	award := rule.award with input as _award_question(
		_result("b", "proficient", "2024-03-02T00:00:00.000Z"),
		{"modules": {"a": {"completed": _lowered(_award_pass(_leap, "e-a"))}}},
	)
		with input.now as tc[0]
		with data.source as _award_source
	award == {"certifications": tc[1]}
}

test_a_new_pass_stands_for_itself if {
	award := rule.award with input as _award_question(
		_result("a", "completed", _leap),
		{
			"modules": {"a": {"completed": _lowered(_award_pass(_leap, "e-a"))}},
			"scopes": {"export": {"standing": "good", "tiers": {"completed": _lowered({
				"issued_at": _leap,
				"expires_at": "2025-02-28T10:00:00.000Z",
				"parts": {"a": "1.2.0"},
			})}}},
		},
	)
		with data.source as _award_source
	award == {"certifications": [_award_export("completed", _leap, "2025-02-28T10:00:00.000Z", {"a": "1.2.0"})]}
}

test_a_module_at_two_tiers_is_in_the_version_that_serves_both if {
	source := object.union(_award_source, {"scopes": {"export": {"takes": [
		{"module": "a", "tier": "completed"},
		{"module": "a", "tier": "proficient"},
	]}}})
	award := rule.award with input as _award_question(
		object.union(_result("a", "completed", "2024-03-02T00:00:00.000Z"), {"version": "2.0.0"}),
		{"modules": {"a": {"proficient": _award_pass(_leap, "e-a")}}},
	)
		with data.source as source
	{c.tier: c.parts | some c in award.certifications} == {
		"completed": {"a": "2.0.0"},
		"proficient": {"a": "1.2.0"},
		"certified": {"a": "1.2.0"},
	}
}

test_nothing_earns_nothing if {
	award := rule.award with input as {}
		with data.source as _award_source
	award == {"certifications": []}
}
