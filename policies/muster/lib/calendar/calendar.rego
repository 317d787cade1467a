# METADATA
# description: instants and durations; the only place that counts months or touches time.*, and only in UTC
package muster.lib.calendar

# METADATA
# description: whether a value is an instant of fixed width, so that comparing text compares time
is_instant(value) if {
	is_string(value)
	regex.match(`^2[0-2]\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$`, value)
}

# METADATA
# description: the instant that lies a duration (PnM or PnD) after an anchor
add(anchor, duration) := add_months(anchor, _count(duration, "M")) if endswith(duration, "M")

add(anchor, duration) := add_days(anchor, _count(duration, "D")) if endswith(duration, "D")

# METADATA
# description: months added to an anchor's date in UTC, clamped to the month's last day, never chained
add_months(anchor, months) := _at(year, month, day, anchor) if {
	[anchor_year, anchor_month, anchor_day] := _date(anchor)
	total := ((anchor_year * 12) + (anchor_month - 1)) + months
	year := (total - (total % 12)) / 12
	month := (total % 12) + 1
	day := min([anchor_day, _last_day(year, month)])
}

# METADATA
# description: days of 86,400 s added to an anchor
add_days(anchor, days) := _at(year, month, day, anchor) if {
	[year, month, day] := time.date(time.parse_rfc3339_ns(anchor) + (((days * 86400) * 1000) * 1000000))
}

_count(duration, unit) := to_number(trim_suffix(trim_prefix(duration, "P"), unit))

_date(anchor) := time.date(time.parse_rfc3339_ns(anchor))

_at(year, month, day, anchor) := sprintf("%04d-%02d-%02d%s", [year, month, day, substring(anchor, 10, -1)])

_last_day(_, month) := 30 if month in {4, 6, 9, 11}

_last_day(_, month) := 31 if month in {1, 3, 5, 7, 8, 10, 12}

_last_day(year, 2) := 29 if _leap(year)

_last_day(year, 2) := 28 if not _leap(year)

_leap(year) if {
	year % 4 == 0
	year % 100 != 0
}

_leap(year) if year % 400 == 0

# METADATA
# description: the instant that lies a number of days (PnD) before an anchor
subtract(anchor, duration) := add_days(anchor, 0 - _count(duration, "D"))
