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
	substring(value, 8, 2) <= _last_day(substring(value, 0, 7))
}

# METADATA
# description: the instant that lies a duration (PnM or PnD) after an anchor; undefined where either is not one
# scope: document
add(anchor, duration) := concat("", [month, substring(anchor, 7, -1)]) if {
	# Every month has 28 days.
	is_string(anchor)
	regex.match(`^(2[01]\d\d|2200)-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$`, anchor)
	month := _month_after(substring(anchor, 0, 7), duration)
} else := concat("", [month, "-", day, substring(anchor, 10, -1)]) if {
	# Months are added to the anchor's date and clamped to the month's last day, never chained.
	is_instant(anchor)
	month := _month_after(substring(anchor, 0, 7), duration)
	day := min({substring(anchor, 8, 2), _last_day(month)})
} else := _add_days(anchor, to_number(trim(duration, "PD"))) if {
	is_string(duration)
	regex.match(`^P[1-9]\d{0,3}D$`, duration)
	is_instant(anchor)
}

# METADATA
# description: the instant that lies a number of days (PnD) before an anchor
subtract(anchor, days) := _add_days(anchor, 0 - to_number(trim(days, "PD")))

# The month (YYYY-MM) that lies a duration (PnM) after another.
_month_after(month, duration) := sprintf("%04d-%02d", [(months - rest) / 12, rest + 1]) if {
	is_string(duration)
	regex.match(`^P[1-9]\d{0,3}M$`, duration)
	before := (to_number(substring(month, 0, 4)) * 12) + (to_number(substring(month, 5, 2)) - 1)
	months := before + to_number(trim(duration, "PM"))
	rest := months % 12
}

# A day has 86,400 s.
_add_days(anchor, days) := sprintf("%04d-%02d-%02d%s", [year, month, day, substring(anchor, 10, -1)]) if {
	[year, month, day] := time.date(time.parse_rfc3339_ns(anchor) + (((days * 86400) * 1000) * 1000000))
}

# The last day (DD) of a month (YYYY-MM).
_last_day(month) := "30" if substring(month, 5, 2) in {"04", "06", "09", "11"}

_last_day(month) := "31" if substring(month, 5, 2) in {"01", "03", "05", "07", "08", "10", "12"}

_last_day(month) := "29" if {
	substring(month, 5, 2) == "02"
	_leap(to_number(substring(month, 0, 4)))
}

_last_day(month) := "28" if {
	substring(month, 5, 2) == "02"
	not _leap(to_number(substring(month, 0, 4)))
}

_leap(year) if {
	year % 4 == 0
	year % 100 != 0
}

_leap(year) if year % 400 == 0
