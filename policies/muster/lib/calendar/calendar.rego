# METADATA
# description: instants and durations; the only place that counts months or touches time.*, and only in UTC
package muster.lib.calendar

# METADATA
# description: |
#   whether a value is an instant of fixed width that exists, so that comparing text compares time, and nothing that
#   reads it can err
is_instant(value) if {
	is_string(value)
	regex.match(`^(2[01]\d\d|2200)-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$`, value)
	_day_exists(value)
}

# METADATA
# description: the instant that lies a duration (PnM or PnD) after an anchor; undefined where either is not one
# scope: document
add(anchor, duration) := _add_months(anchor, to_number(trim(duration, "PM"))) if {
	is_string(duration)
	endswith(duration, "M")
	regex.match(`^P[1-9]\d{0,3}M$`, duration)
	is_instant(anchor)
}

add(anchor, duration) := _add_days(anchor, to_number(trim(duration, "PD"))) if {
	is_string(duration)
	endswith(duration, "D")
	regex.match(`^P[1-9]\d{0,3}D$`, duration)
	is_instant(anchor)
}

# METADATA
# description: the instant that lies a number of days (PnD) before an anchor
subtract(anchor, days) := _add_days(anchor, 0 - to_number(trim(days, "PD")))

# Months are added to the anchor's date and clamped to the month's last day, never chained.
_add_months(anchor, months) := _at(year, month, day, anchor) if {
	[anchor_year, anchor_month, anchor_day] := time.date(time.parse_rfc3339_ns(anchor))
	total := ((anchor_year * 12) + (anchor_month - 1)) + months
	year := (total - (total % 12)) / 12
	month := (total % 12) + 1
	day := min([anchor_day, _last_day(year, month)])
}

# A day has 86,400 s.
_add_days(anchor, days) := _at(year, month, day, anchor) if {
	[year, month, day] := time.date(time.parse_rfc3339_ns(anchor) + (((days * 86400) * 1000) * 1000000))
}

_at(year, month, day, anchor) := sprintf("%04d-%02d-%02d%s", [year, month, day, substring(anchor, 10, -1)])

_day_exists(instant) if substring(instant, 8, 2) <= "28"

_day_exists(instant) if {
	substring(instant, 8, 2) > "28"
	[year, month, day] := split(substring(instant, 0, 10), "-")
	to_number(day) <= _last_day(to_number(year), to_number(month))
}

_last_day(_, month) := 30 if month in {4, 6, 9, 11}

_last_day(_, month) := 31 if month in {1, 3, 5, 7, 8, 10, 12}

_last_day(year, 2) := 29 if _leap(year)

_last_day(year, 2) := 28 if not _leap(year)

_leap(year) if {
	year % 4 == 0
	year % 100 != 0
}

_leap(year) if year % 400 == 0
