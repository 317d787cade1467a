"""Months and days are counted as an independent clamp counts them."""

from __future__ import annotations

import itertools
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.opa.binary import OpaBinary
from tests.policies.world import POLICIES

_DAYS = ["2024-01-31", "2024-02-28", "2024-02-29", "2023-02-28", "2026-08-31", "2026-12-31", "2027-01-01", "2000-02-29"]
_DAYS += ["2096-02-29", "2099-12-31", "2026-03-30", "2026-04-30", "2026-05-31", "2026-06-15"]


def _last_day(year: int, month: int) -> int:
    following = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return (following - timedelta(days=1)).day


def _clamped(anchor: str, months: int) -> str:
    """The reference: count months on a line, then take the day that exists."""
    year, month = divmod(int(anchor[:4]) * 12 + int(anchor[5:7]) - 1 + months, 12)
    return f"{year:04d}-{month + 1:02d}-{min(int(anchor[8:10]), _last_day(year, month + 1)):02d}{anchor[10:]}"


def _days_after(anchor: str, days: int) -> str:
    moved = datetime.fromisoformat(anchor[:10]).replace(tzinfo=UTC) + timedelta(days=days)
    return f"{moved:%Y-%m-%d}{anchor[10:]}"


def _added(opa: Path, questions: list[tuple[str, str]]) -> list[str]:
    """What `lib/calendar` answers, in one evaluation."""
    query = "[calendar.add(q[0], q[1]) | some q in input]"
    command = [str(opa), "eval", "--data", str(POLICIES / "muster" / "lib"), "--stdin-input", "--format", "raw"]
    command += ["--strict-builtin-errors", "--import", "data.muster.lib.calendar", query]
    done = subprocess.run(command, input=orjson.dumps(questions), check=True, capture_output=True)
    answers: list[str] = orjson.loads(done.stdout)
    return answers


def test_months_and_days_of_chosen_anchors(opa_binary: OpaBinary) -> None:
    """Leap days, ends of months and of years, by 1 to 120 months and by days."""
    times = ["T00:00:00.000Z", "T23:59:59.999Z"]
    anchors = [day + clock for day, clock in itertools.product(_DAYS, times)]
    months = [(anchor, n) for anchor in anchors for n in range(1, 121)]
    days = [(anchor, n) for anchor in anchors for n in (1, 28, 30, 31, 90, 365, 366)]
    questions = [(a, f"P{n}M") for a, n in months] + [(a, f"P{n}D") for a, n in days]
    expected = [_clamped(a, n) for a, n in months] + [_days_after(a, n) for a, n in days]
    assert _added(opa_binary.path, questions) == expected


_anchors = st.datetimes(datetime(2000, 1, 1), datetime(2190, 12, 31)).map(  # noqa: DTZ001 (UTC is written below)
    lambda d: f"{d:%Y-%m-%dT%H:%M:%S}.{d.microsecond // 1000:03d}Z"
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(_anchors, st.integers(1, 120)), min_size=1, max_size=40))
def test_months_of_any_anchor(opa_binary: OpaBinary, drawn: list[tuple[str, int]]) -> None:
    """Any anchor, 1 to 120 months later."""
    assert _added(opa_binary.path, [(a, f"P{n}M") for a, n in drawn]) == [_clamped(a, n) for a, n in drawn]
