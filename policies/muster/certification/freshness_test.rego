package muster.certification_test

import data.muster.certification as rule

_freshness_source := {
	"modules": {
		"a": {"title": "A"},
		"b": {"title": "B"},
		"old": {"title": "Old", "recertify": {"below": 2, "by": "2026-04-01T00:00:00.000Z"}},
	},
	"recertified": {"old": {"below": 2, "by": _asked_by}},
	"tracks": {"ops": {"modules": [
		{"module": "a", "tier": "completed"},
		{"module": "b", "tier": "proficient"},
	]}},
	"scopes": {
		"export": {
			"takes": [{"module": "a", "tier": "completed"}, {"module": "old", "tier": "proficient"}],
			"within_parts": "P30D",
		},
		"change": {"takes": [{"track": "ops", "tier": "proficient"}], "within_parts": "P90D"},
		"anchored": {
			"takes": [{"module": "b", "tier": "proficient"}, {"module": "a", "tier": "completed"}],
			"renewal": "expiry",
			"within_parts": "P30D",
			"renewal_window": "P60D",
		},
	},
}

_asked_by := "2026-04-01T00:00:00.000Z"

_issued := "2026-01-31T10:00:00.000Z"

_freshness_export := {"scope": "export", "tier": "proficient", "within": "P12M"}

_tier(expires_at) := {
	"issued_at": _issued,
	"expires_at": expires_at,
	"evidence": "e-tier",
	"parts": {"a": "1.0.0", "old": "2.0.0"},
}

_good(tiers) := {"scopes": {"export": {"standing": "good", "tiers": tiers}}}

_freshness_pass(at, evidence) := {"passed_at": at, "version": "1.0.0", "evidence": evidence}

test_holding[note] if {
	some note, tc in {
		"a scope ends when its certification does": [
			_freshness_export,
			_good({"proficient": _tier("2026-07-01T00:00:00.000Z")}),
			{"ends": "2026-07-01T00:00:00.000Z", "evidence": {"e-tier"}, "asked": set(), "tier": "proficient"},
		],
		"a scope ends after the window": [
			object.union(_freshness_export, {"within": "P1M"}),
			_good({"proficient": _tier("2027-07-01T00:00:00.000Z")}),
			{"ends": "2026-02-28T10:00:00.000Z", "evidence": {"e-tier"}, "asked": set(), "tier": "proficient"},
		],
		"a higher tier serves": [
			_freshness_export,
			_good({"certified": _tier("2026-07-01T00:00:00.000Z")}),
			{"ends": "2026-07-01T00:00:00.000Z", "evidence": {"e-tier"}, "asked": set(), "tier": "certified"},
		],
		"the tier that lasts longest": [
			_freshness_export,
			_good({
				"proficient": _tier("2026-07-01T00:00:00.000Z"),
				"certified": object.union(_tier("2026-08-01T00:00:00.000Z"), {"evidence": "e-2"}),
			}),
			{"ends": "2026-08-01T00:00:00.000Z", "evidence": {"e-2"}, "asked": set(), "tier": "certified"},
		],
		"a regrade ends it": [
			_freshness_export,
			_good({"proficient": object.union(
				_tier("2026-07-01T00:00:00.000Z"),
				{"until": "2026-05-01T00:00:00.000Z", "lowered": "e-regrade"},
			)}),
			{
				"ends": "2026-05-01T00:00:00.000Z", "evidence": {"e-tier"},
				"asked": {"2026-05-01T00:00:00.000Z"}, "tier": "proficient",
			},
		],
		"as long as it says": [
			{"scope": "anchored", "tier": "completed", "within": null},
			{"scopes": {"anchored": {"standing": "good", "tiers": {"certified": _tier("2029-07-01T00:00:00.000Z")}}}},
			{"ends": "2029-07-01T00:00:00.000Z", "evidence": {"e-tier"}, "asked": set(), "tier": "certified"},
		],
		"a major change ends it": [
			_freshness_export,
			_good({"proficient": object.union(_tier("2026-07-01T00:00:00.000Z"), {"parts": {"old": "1.9.0"}})}),
			{"ends": "2026-04-01T00:00:00.000Z", "evidence": {"e-tier"}, "asked": {_asked_by}, "tier": "proficient"},
		],
		"a major change above the tier does not": [
			object.union(_freshness_export, {"tier": "completed"}),
			_good({"completed": object.union(_tier("2026-07-01T00:00:00.000Z"), {"parts": {"a": "1.0.0"}})}),
			{"ends": "2026-07-01T00:00:00.000Z", "evidence": {"e-tier"}, "asked": set(), "tier": "completed"},
		],
		"a version that is not there is old": [
			_freshness_export,
			_good({"proficient": object.union(_tier("2026-07-01T00:00:00.000Z"), {"parts": {"old": "x"}})}),
			{"ends": "2026-04-01T00:00:00.000Z", "evidence": {"e-tier"}, "asked": {_asked_by}, "tier": "proficient"},
		],
		"a version that is no text is old": [
			_freshness_export,
			_good({"proficient": object.union(_tier("2026-07-01T00:00:00.000Z"), {"parts": {"old": 2}})}),
			{"ends": "2026-04-01T00:00:00.000Z", "evidence": {"e-tier"}, "asked": {_asked_by}, "tier": "proficient"},
		],
		"a module by days": [
			{"module": "a", "tier": "completed", "within": "P30D"},
			{"modules": {"a": {"proficient": _freshness_pass(_issued, "e-a")}}},
			{"ends": "2026-03-02T10:00:00.000Z", "evidence": {"e-a"}, "asked": set(), "tier": "completed"},
		],
		"a module that was lowered": [
			{"module": "a", "tier": "completed", "within": "P30D"},
			{"modules": {"a": {"completed": object.union(_freshness_pass(_issued, "e-a"), {"until": _asked_by})}}},
			{"ends": "2026-03-02T10:00:00.000Z", "evidence": {"e-a"}, "asked": {_asked_by}, "tier": "completed"},
		],
		"a module whose major changed": [
			{"module": "old", "tier": "completed", "within": "P12M"},
			{"modules": {"old": {"completed": _freshness_pass(_issued, "e-a")}}},
			{"ends": "2026-04-01T00:00:00.000Z", "evidence": {"e-a"}, "asked": {_asked_by}, "tier": "completed"},
		],
		"the pass that lasts longest": [
			{"module": "a", "tier": "completed", "within": "P1M"},
			{"modules": {"a": {
				"completed": _freshness_pass("2026-02-01T00:00:00.000Z", "e-2"),
				"proficient": _freshness_pass(_issued, "e-1"),
			}}},
			{"ends": "2026-03-01T00:00:00.000Z", "evidence": {"e-2"}, "asked": set(), "tier": "completed"},
		],
		"a track ends with its oldest pass": [
			{"track": "ops", "tier": "proficient", "within": "P9M"},
			{"modules": {
				"a": {"completed": _freshness_pass(_issued, "e-a")},
				"b": {"proficient": _freshness_pass("2026-01-01T00:00:00.000Z", "e-b")},
			}},
			{"ends": "2026-10-01T00:00:00.000Z", "evidence": {"e-a", "e-b"}, "asked": set(), "tier": "proficient"},
		],
		"a track's lower tier": [
			{"track": "ops", "tier": "completed", "within": "P9M"},
			{"modules": {m: {"completed": _freshness_pass(_issued, sprintf("e-%s", [m]))} | some m in ["a", "b"]}},
			{"ends": "2026-10-31T10:00:00.000Z", "evidence": {"e-a", "e-b"}, "asked": set(), "tier": "completed"},
		],
	}
	holding := rule.holding(tc[0], tc[1]) with data.source as _freshness_source
	holding == tc[2]
}

test_nothing_is_held[note] if {
	held := _tier("2026-07-01T00:00:00.000Z")
	some note, tc in {
		"no facts": [_freshness_export, {}],
		"facts that are text": [_freshness_export, "facts"],
		"no tier": [_freshness_export, _good({})],
		"a lower tier": [_freshness_export, _good({"completed": held})],
		"a tier that is none": [_freshness_export, _good({"expert": held})],
		"tiers that are a list": [_freshness_export, _good([held])],
		"revoked": [_freshness_export, {"scopes": {"export": {"standing": "revoked", "tiers": {"proficient": held}}}}],
		"no standing": [_freshness_export, {"scopes": {"export": {"tiers": {"proficient": held}}}}],
		"no parts": [_freshness_export, _good({"proficient": json.remove(held, ["parts"])})],
		"no evidence": [_freshness_export, _good({"proficient": json.remove(held, ["evidence"])})],
		"no issued_at": [_freshness_export, _good({"proficient": json.remove(held, ["issued_at"])})],
		"no expires_at": [_freshness_export, _good({"proficient": json.remove(held, ["expires_at"])})],
		"no such day": [_freshness_export, _good({"proficient": _tier("2026-02-30T00:00:00.000Z")})],
		"a regrade without a day": [_freshness_export, _good({"proficient": object.union(held, {"lowered": "e"})})],
		"a regrade to no instant": [_freshness_export, _good({"proficient": object.union(held, {"until": "zzzz"})})],
		"no window where there has to be one": [
			object.union(_freshness_export, {"within": null}),
			_good({"proficient": held}),
		],
		"no window": [json.remove(_freshness_export, ["within"]), _good({"proficient": held})],
		"no module": [{"module": "a", "tier": "completed", "within": "P9M"}, {"modules": {}}],
		"a pass without a version": [
			{"module": "a", "tier": "completed", "within": "P9M"},
			{"modules": {"a": {"completed": {"passed_at": _issued, "evidence": "e"}}}},
		],
		"half a track": [
			{"track": "ops", "tier": "proficient", "within": "P9M"},
			{"modules": {"a": {"completed": _freshness_pass(_issued, "e-a")}}},
		],
		"a track of nothing": [{"track": "none", "tier": "completed", "within": "P9M"}, {"modules": {}}],
	}
	not rule.holding(tc[0], tc[1]) with data.source as _freshness_source
}

test_nothing_is_held_where_nobody_says_what_changed if {
	facts := _good({"proficient": _tier("2026-07-01T00:00:00.000Z")})
	not rule.holding(_freshness_export, facts) with data.source as object.remove(_freshness_source, ["recertified"])
}

_waivers := {"waivers": {
	"scope:export": {"until": "2026-01-31T10:00:01.000Z", "evidence": "e-scope"},
	"track:ops": {"until": "2026-01-31T10:00:01.000Z", "evidence": "e-track"},
	"module:a": {"until": "2026-01-31T10:00:01.000Z", "evidence": "e-module"},
}}

test_waiver[note] if {
	some note, tc in {
		"of a scope": [{"scope": "export"}, "2026-01-31T10:00:00.000Z", {"e-scope"}],
		"of a track": [{"track": "ops"}, "2026-01-31T10:00:00.000Z", {"e-track"}],
		"of a module": [{"module": "a"}, "2026-01-31T10:00:00.000Z", {"e-module"}],
		"of another scope": [{"scope": "change"}, "2026-01-31T10:00:00.000Z", set()],
		"a module by a scope's name": [{"module": "export"}, "2026-01-31T10:00:00.000Z", set()],
		"in its last millisecond": [{"scope": "export"}, "2026-01-31T10:00:00.999Z", {"e-scope"}],
		"at its end": [{"scope": "export"}, "2026-01-31T10:00:01.000Z", set()],
		"at no instant": [{"scope": "export"}, null, set()],
	}
	{id | id := rule.waiver(tc[0], _waivers, tc[1])} == tc[2]
}

test_path[note] if {
	some note, tc in {
		"to a module": [
			{"module": "a", "tier": "completed", "within": "P1M"},
			{},
			[{"module": "a", "tier": "completed", "ends": ""}],
		],
		"to a track": [
			{"track": "ops", "tier": "proficient", "within": "P1M"},
			{"modules": {"a": {"completed": _freshness_pass(_issued, "e")}}},
			[
				{"module": "a", "tier": "completed", "ends": "2026-02-28T10:00:00.000Z"},
				{"module": "b", "tier": "proficient", "ends": ""},
			],
		],
		"to a scope of modules": [
			_freshness_export,
			{"modules": {"a": {"completed": _freshness_pass(_issued, "e")}}},
			[
				{"module": "a", "tier": "completed", "ends": "2026-03-02T10:00:00.000Z"},
				{"module": "old", "tier": "proficient", "ends": ""},
			],
		],
		"to a scope's lower tier": [
			{"scope": "export", "tier": "completed", "within": "P12M"},
			{},
			[{"module": "a", "tier": "completed", "ends": ""}],
		],
		"to a scope of tracks": [
			{"scope": "change", "tier": "certified", "within": "P9M"},
			{},
			[{"module": "a", "tier": "completed", "ends": ""}, {"module": "b", "tier": "proficient", "ends": ""}],
		],
		"to a scope's higher tier, the lower part first": [
			{"scope": "anchored", "tier": "proficient", "within": "P12M"},
			{},
			[{"module": "a", "tier": "completed", "ends": ""}, {"module": "b", "tier": "proficient", "ends": ""}],
		],
		"to a lower tier than the scope awards": [
			{"scope": "change", "tier": "completed", "within": "P12M"},
			{},
			[{"module": "a", "tier": "completed", "ends": ""}, {"module": "b", "tier": "proficient", "ends": ""}],
		],
		"after a revocation": [
			_freshness_export,
			{
				"scopes": {"export": {"standing": "revoked", "tiers": {}, "revoked_at": _issued}},
				"modules": {
					"a": {"completed": _freshness_pass(_issued, "e")},
					"old": {"proficient": _freshness_pass("2026-01-31T10:00:00.001Z", "e")},
				},
			},
			[
				{"module": "a", "tier": "completed", "ends": ""},
				{"module": "old", "tier": "proficient", "ends": "2026-03-02T10:00:00.001Z"},
			],
		],
	}
	way := rule.way(tc[0]) with data.source as _freshness_source
	path := rule.path(tc[0], way, tc[1]) with data.source as _freshness_source
	path == tc[2]
}

test_renewal_window[note] if {
	some note, tc in {
		"of a scope": [{"scope": "anchored"}, "P60D"],
		"of a scope that says none": [{"scope": "export"}, "P30D"],
		"of a module": [{"module": "a"}, "P30D"],
	}
	window := rule.renewal_window(tc[0]) with data.source as _freshness_source
	window == tc[1]
}
