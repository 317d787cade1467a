"""The benches' own arithmetic: what they tell is what was measured."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree

import pytest

from benchmarks import chart, page, profile, scale, soak
from benchmarks.load import Found
from benchmarks.machine import Refused
from benchmarks.table import Goal, Measured, p99
from benchmarks.workload import Zipf


def test_p99() -> None:
    """99 of 100 values are at most the p99, and the largest is not."""
    assert p99([float(value) for value in range(1, 102)]) == pytest.approx(100)


@pytest.mark.parametrize(
    ("goal", "values", "verdict"),
    [
        (Goal(4, at_least=True), (3.0, 4.0, 9.0), "at least 4.00: met"),
        (Goal(4, at_least=True), (3.0, 3.9, 9.0), "at least 4.00: MISSED"),
        (Goal(1, at_least=False), (0.5, 1.0, 9.0), "at most 1.00: met"),
        (Goal(1, at_least=False), (0.5, 1.1, 9.0), "at most 1.00: MISSED"),
    ],
)
def test_a_goal_is_held_against_the_median(goal: Goal, values: tuple[float, ...], verdict: str) -> None:
    """One good round does not meet it, one bad round does not miss it."""
    assert Measured("ratio", "times", values, goal).cells()[-1] == verdict


def test_zipf() -> None:
    """The n-th is drawn in proportion to 1 / n ** exponent."""
    zipf = Zipf(1_000, 1.1, seed=7)
    drawn = Counter(zipf.draw() for _ in range(50_000))
    assert drawn[0] / drawn[9] == pytest.approx(10**1.1, rel=0.2)
    assert max(drawn) < 1_000


def test_growth() -> None:
    """What lies on a line grows by its slope; noise around a level grows by nothing."""
    times = [float(time) for time in range(0, 100, 10)]
    assert soak.growth(times, [5 + 0.5 * time for time in times]) == pytest.approx(45)
    assert soak.growth(times, [5.0, 6.0, 6.0, 5.0, 5.0, 5.0, 5.0, 6.0, 6.0, 5.0]) == pytest.approx(0)


def test_sizes_that_fit() -> None:
    """Sizes are left out from the largest on until the rest fits, and the smallest stays."""
    sizes = [10_000, 1_000_000, 10_000_000]
    assert scale.fitting(sizes, 0, scale.room(sizes, 0)) == sizes
    assert scale.fitting(sizes, 0, scale.room(sizes, 0) - 1) == sizes[:2]
    assert scale.fitting(sizes, 0, 0) == sizes[:1]


EXPOSITION = """
# TYPE muster_decision_stage_seconds histogram
muster_decision_stage_seconds_bucket{stage="opa",le="+Inf"} 4
muster_decision_stage_seconds_count{stage="opa"} 4
muster_decision_stage_seconds_sum{stage="opa"} 0.5
muster_decision_stage_seconds_count{stage="commit"} 4
muster_decision_stage_seconds_sum{stage="commit"} 0.25
"""


def test_stages() -> None:
    """A stage's share is what its sum grew by, in microseconds a decision, in the order of a decision."""
    before = profile.sums(EXPOSITION)
    assert before == {"opa": 0.5, "commit": 0.25}
    spent = profile.difference(before, {"commit": 0.35, "opa": 0.7, "new": 0.1}, 1_000)
    assert list(spent) == ["opa", "commit", "new"]
    assert spent == pytest.approx({"opa": 200, "commit": 100, "new": 100})


def test_what_no_stage_accounts_for() -> None:
    """It is what the caller waited, less the stages."""
    assert profile.Spent({"opa": 200.0, "commit": 100.0}, {}, 450.0).rest == 150.0


def test_a_page_keeps_what_is_outside_of_its_block() -> None:
    """Only the text between the markers is another, and the markers stay."""
    whole = "# Words\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nmore <!-- x: begin -->y<!-- x: end -->\n"
    once = page.replaced(whole, "bench", "new")
    assert once == whole.replace("\nold\n", "\n\nnew\n\n")
    assert page.replaced(once, "bench", "new") == once


def test_a_page_without_the_block() -> None:
    """It is refused: nothing that was measured goes nowhere."""
    with pytest.raises(Refused, match="no block `bench`"):
        page.replaced("<!-- bench: begin -->", "bench", "new")


def test_a_table_in_markdown() -> None:
    """A cell may hold a bar, and an indented name stays indented."""
    rows = page.table(("", "median"), [("a|b", "1"), ("  p99", "2")])
    assert rows.splitlines() == ["|  | median |", "|---|---|", "| a\\|b | 1 |", "| &nbsp;&nbsp;p99 | 2 |"]


def test_a_chart() -> None:
    """Bars are as long as their values, names are text, and nothing is drawn outside of the picture."""
    bars = [chart.Bar("one <&>", 50, 40, 100, ours=True), chart.Bar("two", 25, 25, 25, ours=False)]
    root = ElementTree.fromstring(chart.svg("A & B", bars))  # noqa: S314 - our own text
    space = "{http://www.w3.org/2000/svg}"
    one, two = root.findall(f"{space}rect")
    assert float(one.get("width", "")) == 2 * float(two.get("width", ""))
    assert [text.text for text in root.findall(f"{space}text")][:2] == ["A & B", "one <&>"]
    end = max(float(rect.get("x", "")) + float(rect.get("width", "")) for rect in (one, two))
    assert end < float(root.get("width", ""))


def test_what_was_refused() -> None:
    """503 is told as refused, and is none of the requests that were answered."""
    told = Found(
        requests=10, seconds=1, rate=10, mean=1, p50=1, p99=1, p999=1, worst=1, served_p50=1, served_p99=1,
        refused_p50=1, refused_p99=1, statuses={"200": 10, "503": 3}, failed=0, unsent=0, late_ms=0, first_failure="",
    )  # fmt: skip
    assert told.refused == 3
