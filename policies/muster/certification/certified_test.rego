package muster.certification_test

import data.muster.certification as rule

_certified_source := {
	"modules": {
		"a": {"title": "A"},
		"old": {"title": "Old", "recertify": {"below": 2, "by": "2027-01-01T00:00:00.000Z"}},
	},
	"recertified": {"old": {"below": 2, "by": "2027-01-01T00:00:00.000Z"}},
	"tracks": {},
	"scopes": {
		"export": {
			"takes": [{"module": "a", "tier": "completed"}],
			"valid": "P12M",
			"renewal": "completion",
			"within_parts": "P30D",
			"renewal_window": "P30D",
		},
		"legacy": {
			"takes": [{"module": "old", "tier": "completed"}],
			"valid": "P12M",
			"renewal": "completion",
			"within_parts": "P30D",
			"renewal_window": "P30D",
		},
		"anchored": {
			"takes": [{"module": "a", "tier": "completed"}],
			"valid": "P12M",
			"renewal": "expiry",
			"within_parts": "P30D",
			"renewal_window": "P30D",
		},
	},
}

_held := {
	"issued_at": "2026-01-31T10:00:00.000Z",
	"expires_at": "2027-01-31T10:00:00.000Z",
	"evidence": "e-tier",
	"parts": {"a": "1.0.0", "old": "1.0.0"},
}

_certified_question := {
	"subject": {"type": "user", "ref": "a1", "known": true},
	"scope": "export",
	"facts": {"modules": {}, "waivers": {}, "scopes": {
		"export": {"standing": "good", "tiers": {"certified": _held}},
		"legacy": {"standing": "good", "tiers": {"certified": _held}},
		"anchored": {"standing": "good", "tiers": {"certified": object.union(
			_held,
			{"expires_at": "2027-02-28T10:00:00.000Z"},
		)}},
	}},
	"now": "2026-06-01T00:00:00.000Z",
}

_waived := {"facts": {"waivers": {"scope:export": {"until": "2027-03-01T00:00:00.000Z", "evidence": "e-waiver"}}}}

_revoked := object.union(
	json.remove(_certified_question, ["facts/scopes/export"]),
	{"facts": {"scopes": {"export": {
		"standing": "revoked",
		"tiers": {},
		"revoked_at": "2026-05-01T00:00:00.000Z",
		"revocation": "e-revocation",
	}}}},
)

_valid := {
	"certified": true,
	"status": "valid",
	"tier": "certified",
	"within": "P12M",
	"scope": "export",
	"issued_at": "2026-01-31T10:00:00.000Z",
	"expires_at": "2027-01-31T10:00:00.000Z",
	"evidence": ["e-tier"],
	"valid_until": "2027-01-01T10:00:00.000Z",
}

_nothing := {
	"certified": false,
	"status": "none",
	"issued_at": null,
	"expires_at": null,
	"evidence": [],
	"valid_until": null,
}

test_status[note] if {
	some note, tc in {
		"valid": [{}, {}],
		"valid until the window opens": [{"now": "2027-01-01T09:59:59.999Z"}, {}],
		"expiring": [
			{"now": "2027-01-01T10:00:00.000Z"},
			{"status": "expiring", "valid_until": "2027-01-31T10:00:00.000Z"},
		],
		"expiring to the last millisecond": [
			{"now": "2027-01-31T09:59:59.999Z"},
			{"status": "expiring", "valid_until": "2027-01-31T10:00:00.000Z"},
		],
		"expired": [
			{"now": "2027-01-31T10:00:00.000Z"},
			{"status": "expired", "certified": false, "valid_until": null},
		],
		"a smaller window": [
			{"within": "P1M"},
			{"status": "expired", "certified": false, "within": "P1M", "valid_until": null},
		],
		"a lower tier": [{"tier": "completed"}, {"tier": "completed"}],
		"grace": [
			{"scope": "legacy"},
			{"scope": "legacy", "status": "grace", "valid_until": "2027-01-01T00:00:00.000Z"},
		],
		"after grace": [
			{"scope": "legacy", "now": "2027-01-01T00:00:00.000Z"},
			{"scope": "legacy", "status": "expired", "certified": false, "valid_until": null},
		],
		"by expiry, after twelve months": [
			{"scope": "anchored", "now": "2027-01-31T10:00:00.000Z"},
			{
				"scope": "anchored", "status": "expiring", "within": null,
				"expires_at": "2027-02-28T10:00:00.000Z", "valid_until": "2027-02-28T10:00:00.000Z",
			},
		],
		"by expiry, asked within twelve months": [
			{"scope": "anchored", "within": "P12M", "now": "2027-01-31T10:00:00.000Z"},
			{
				"scope": "anchored", "status": "expired", "certified": false,
				"expires_at": "2027-02-28T10:00:00.000Z", "valid_until": null,
			},
		],
		"grace after a regrade": [
			{"facts": {"scopes": {"export": {"tiers": {"certified": {"until": "2026-07-01T00:00:00.000Z"}}}}}},
			{"status": "grace", "valid_until": "2026-07-01T00:00:00.000Z"},
		],
		"a waiver does not show while it is held": [_waived, {}],
		"waived": [
			object.union(_waived, {"now": "2027-02-01T00:00:00.000Z"}),
			{
				"status": "waived", "certified": false,
				"evidence": ["e-waiver"], "valid_until": "2027-03-01T00:00:00.000Z",
			},
		],
		"after the waiver": [
			object.union(_waived, {"now": "2027-03-01T00:00:00.000Z"}),
			{"status": "expired", "certified": false, "valid_until": null},
		],
		"an unknown scope": [{"scope": "nope"}, object.union(_nothing, {"scope": "nope", "within": null})],
		"a tier that is none": [{"tier": "expert"}, object.union(_nothing, {"tier": "expert"})],
		"a window that is none": [{"within": "soon"}, object.union(_nothing, {"within": "soon"})],
		"no instant": [{"now": "zzzz"}, {"status": "expired", "certified": false, "valid_until": null}],
		"null for an instant": [
			object.union(_waived, {"now": null}),
			{"status": "expired", "certified": false, "valid_until": null},
		],
	}
	certified := rule.certified with input as object.union(_certified_question, tc[0])
		with data.source as _certified_source
	certified == object.union(_valid, tc[1])
}

test_revoked if {
	certified := rule.certified with input as _revoked
		with data.source as _certified_source
	certified == object.union_n([_valid, _nothing, {"status": "revoked", "evidence": ["e-revocation"]}])
}

test_no_facts if {
	certified := rule.certified with input as {"scope": "export", "now": "2026-06-01T00:00:00.000Z"}
		with data.source as _certified_source
	certified == object.union(_valid, _nothing)
}
