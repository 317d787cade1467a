# METADATA
# description: instants and durations; the only place that counts months or touches time.*, and only in UTC
package muster.lib.calendar

# METADATA
# description: |
#   whether a value is an instant of fixed width that exists, so that comparing text compares time, and nothing that
#   reads it can err
# scope: document
is_instant(value) if {
	is_string(value)
	regex.match(`^(2[01]\d\d|2200)-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$`, value)
} else if {
	is_string(value)
	regex.match(`^(2[01]\d\d|2200)-(0[1-9]|1[0-2])-(29|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$`, value)
	[year, month, day] := split(substring(value, 0, 10), "-")
	to_number(day) <= _last_day(to_number(year), to_number(month))
}

# METADATA
# description: the instant that lies a duration (PnM or PnD) after an anchor; undefined where either is not one
# scope: document
add(anchor, duration) := instant if {
	is_string(duration)
	regex.match(`^P[1-9]\d{0,3}M$`, duration)
	is_instant(anchor)
	[year, month, day] := time.date(time.parse_rfc3339_ns(anchor))
	months := ((year * 12) + (month - 1)) + to_number(trim(duration, "PM"))
	instant := _in_month(anchor, (months - (months % 12)) / 12, (months % 12) + 1, day)
} else := _add_days(anchor, to_number(trim(duration, "PD"))) if {
	is_string(duration)
	regex.match(`^P[1-9]\d{0,3}D$`, duration)
	is_instant(anchor)
}

# METADATA
# description: the instant that lies a number of days (PnD) before an anchor
subtract(anchor, days) := _add_days(anchor, 0 - to_number(trim(days, "PD")))

# Months are added to the anchor's date and clamped to the month's last day, never chained. Every month has 28 days.
_in_month(anchor, year, month, day) := sprintf("%04d-%02d%s", [year, month, substring(anchor, 7, -1)]) if {
	day <= 28
} else := _at(year, month, min([day, _last_day(year, month)]), anchor)

# A day has 86,400 s.
_add_days(anchor, days) := _at(year, month, day, anchor) if {
	[year, month, day] := time.date(time.parse_rfc3339_ns(anchor) + (((days * 86400) * 1000) * 1000000))
}

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
