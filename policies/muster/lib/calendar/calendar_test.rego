package muster.lib.calendar_test

import data.muster.lib.calendar as rule

test_add[note] if {
	some note, tc in {
		"a month clamps to a leap day": ["2024-01-31T08:00:00.000Z", "P1M", "2024-02-29T08:00:00.000Z"],
		"a month clamps to 28 February": ["2023-01-31T08:00:00.000Z", "P1M", "2023-02-28T08:00:00.000Z"],
		"a year clamps a leap day": ["2024-02-29T23:59:59.999Z", "P12M", "2025-02-28T23:59:59.999Z"],
		"four years keep a leap day": ["2024-02-29T00:00:00.000Z", "P48M", "2028-02-29T00:00:00.000Z"],
		"a century without a leap day": ["2096-02-29T00:00:00.000Z", "P48M", "2100-02-28T00:00:00.000Z"],
		"a century with a leap day": ["2000-02-29T00:00:00.000Z", "P12M", "2001-02-28T00:00:00.000Z"],
		"six months from the 31st": ["2026-08-31T12:00:00.000Z", "P6M", "2027-02-28T12:00:00.000Z"],
		"months with 30 days": ["2026-05-31T12:00:00.000Z", "P1M", "2026-06-30T12:00:00.000Z"],
		"over the year's end": ["2026-12-31T23:59:59.999Z", "P2M", "2027-02-28T23:59:59.999Z"],
		"december stays december": ["2026-11-30T00:00:00.001Z", "P1M", "2026-12-30T00:00:00.001Z"],
		"ten years": ["2026-11-30T00:00:00.000Z", "P120M", "2036-11-30T00:00:00.000Z"],
		"thirty days over a leap day": ["2024-02-15T10:00:00.123Z", "P30D", "2024-03-16T10:00:00.123Z"],
		"a day over the year's end": ["2026-12-31T10:00:00.000Z", "P1D", "2027-01-01T10:00:00.000Z"],
	}
	rule.add(tc[0], tc[1]) == tc[2]
}

test_add_is_undefined[note] if {
	some note, tc in {
		"nothing": ["2026-01-01T00:00:00.000Z", ""],
		"no number": ["2026-01-01T00:00:00.000Z", "PM"],
		"years": ["2026-01-01T00:00:00.000Z", "P1Y"],
		"zero": ["2026-01-01T00:00:00.000Z", "P0M"],
		"backwards": ["2026-01-01T00:00:00.000Z", "P-1M"],
		"a day that is none": ["2026-02-30T00:00:00.000Z", "P1M"],
		"no instant": ["zzzz", "P1D"],
	}
	not rule.add(tc[0], tc[1])
}

test_subtract if rule.subtract("2026-03-01T10:00:00.000Z", "P30D") == "2026-01-30T10:00:00.000Z"

test_is_instant[value] if {
	some value in {
		"2000-01-01T00:00:00.000Z", "2024-02-29T23:59:59.999Z", "2000-02-29T00:00:00.000Z",
		"2026-04-30T00:00:00.000Z", "2026-12-31T00:00:00.000Z", "2200-12-31T23:59:59.999Z",
	}
	rule.is_instant(value)
}

test_is_no_instant[note] if {
	some note, value in {
		"nothing": "",
		"sorts last": "zzzz",
		"null": null,
		"number": 1767225600000,
		"true": true,
		"list": ["2026-01-01T00:00:00.000Z"],
		"object": {"now": "2026-01-01T00:00:00.000Z"},
		"seconds only": "2026-01-01T00:00:00Z",
		"offset": "2026-01-01T00:00:00.000+00:00",
		"microseconds": "2026-01-01T00:00:00.000000Z",
		"before 2000": "1999-12-31T23:59:59.999Z",
		"after 2200": "2201-01-01T00:00:00.000Z",
		"month 13": "2026-13-01T00:00:00.000Z",
		"30 February": "2026-02-30T00:00:00.000Z",
		"29 February 2100": "2100-02-29T00:00:00.000Z",
		"29 February 2026": "2026-02-29T00:00:00.000Z",
		"31 April": "2026-04-31T00:00:00.000Z",
		"hour 24": "2026-01-01T24:00:00.000Z",
		"a leap second": "2026-06-30T23:59:60.000Z",
		"a line after it": "2026-01-01T00:00:00.000Z\n",
		"a line before it": "\n2026-01-01T00:00:00.000Z",
	}
	not rule.is_instant(value)
}
