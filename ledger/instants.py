"""Instants: exactly `YYYY-MM-DDTHH:MM:SS.mmmZ`, UTC, years 2000 to 2200.

Fixed width makes `<` on the text right, so an instant stays text; only distances are counted, in
milliseconds. Owns no time zone and no calendar: months are counted in Rego alone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NewType

from ledger.errors import MalformedInstant

Instant = NewType("Instant", str)

_SHAPE: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{3})Z", re.ASCII)
_NUMBERS: Final = re.compile(r"\d+", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MS: Final = 946_684_800_000  # 2000-01-01T00:00:00.000Z
_AFTER_MS: Final = 7_289_654_400_000  # 2201-01-01T00:00:00.000Z


@lru_cache(maxsize=1024)  # one instant is looked at many times over by the writer
def parse(text: str) -> int:
    """Milliseconds since 1970; raises MalformedInstant."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise MalformedInstant(f"not an instant: {text[:40]!r}")
    return _second_ms(match[1]) + int(match[2])


@lru_cache(maxsize=64)  # a busy service meets a hundred instants of one second
def _second_ms(text: str) -> int:
    try:
        moment = datetime(*map(int, _NUMBERS.findall(text)), tzinfo=UTC)  # type: ignore[misc, arg-type]  # six of them
    except ValueError as exc:
        raise MalformedInstant(f"not an instant: {text!r}: {exc}") from exc
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    if not _FIRST_MS <= milliseconds < _AFTER_MS:
        raise MalformedInstant(f"not an instant of the years 2000 to 2200: {text}")
    return milliseconds


def is_instant(text: object) -> bool:
    """Whether `text` is an instant, without an error to catch."""
    if not isinstance(text, str):
        return False
    try:
        parse(text)
    except MalformedInstant:
        return False
    return True


def from_ms(milliseconds: int) -> Instant:
    """The instant so many milliseconds after 1970; raises MalformedInstant outside 2000 to 2200."""
    if not _FIRST_MS <= milliseconds < _AFTER_MS:
        raise MalformedInstant(f"{milliseconds} ms is not an instant of the years 2000 to 2200")
    seconds, milli = divmod(milliseconds, 1000)
    return Instant(f"{_second(seconds)}.{milli:03d}Z")


def now_from(nanoseconds: int) -> Instant:
    """The instant of a `time.time_ns()`, cut to the millisecond."""
    return from_ms(nanoseconds // 1_000_000)


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
