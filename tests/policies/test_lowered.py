"""What a reviewed regrade lowered counts until its day and no longer, at every gate, and leases end with it."""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.instants import from_ms, parse
from tests.policies.drawn import Drawn, build, drawings, fields, without
from tests.policies.world import Object, Served

_ENDS: Final = (-86_400_000, -1, 0, 1, 2, 1000, 10 * 86_400_000, 100 * 86_400_000)

_lowered = st.tuples(drawings, st.lists(st.tuples(st.integers(0, 8), st.sampled_from(_ENDS)), min_size=1, max_size=4))


def _spoilt(drawn: Drawn, cuts: list[tuple[int, int]], metadata: Object) -> Object:
    """A drawn input, some of whose passes and certifications a regrade has lowered."""
    question = build(drawn, metadata)
    facts = [
        fact
        for path, fact in fields(question.get("facts", {}))
        if isinstance(fact, dict) and ({"passed_at", "issued_at"} & fact.keys()) and path[0] in {"modules", "scopes"}
    ]
    for which, ends in cuts:
        if facts:
            facts[which % len(facts)].update(until=from_ms(drawn.now + ends), lowered="e-regrade")
    return question


def _output(decision: Any) -> str:
    return json.dumps({key: value for key, value in decision.items() if key != "valid_until"})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_lowered, min_size=8, max_size=24))
def test_a_lease_ends_with_what_was_lowered(served: Served, batch: list[tuple[Drawn, list[tuple[int, int]]]]) -> None:
    """Up to `valid_until` the output is the same, whatever ends before it, and at that instant it is another."""
    questions = [_spoilt(drawn, cuts, served.metadata) for drawn, cuts in batch]
    later, expected = [], []
    for question, (drawn, cuts), decision in zip(questions, batch, served.decide(questions), strict=True):
        until = decision["valid_until"]
        ends = {drawn.now + end + step for _, end in cuts for step in (-1, 0, 1)}
        last = parse(until) if until is not None else max(ends) + 1
        for instant in sorted(t for t in {*ends, last - 1} if drawn.now <= t < last):
            later.append({**question, "now": from_ms(instant)})
            expected.append((_output(decision), True))
        if until is not None:
            later.append({**question, "now": until})
            expected.append((_output(decision), False))
    for question, answer, (output, same) in zip(later, served.decide(later), expected, strict=True):
        assert (_output(answer) == output) == same, question


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_lowered, min_size=4, max_size=12))
def test_no_field_of_a_regrade_can_be_left_out(
    served: Served, batch: list[tuple[Drawn, list[tuple[int, int]]]]
) -> None:
    """A fact that was lowered and says no day counts for nothing."""
    questions = [_spoilt(drawn, cuts, served.metadata) for drawn, cuts in batch]
    worse = []
    for question, decision in zip(questions, served.decide(questions), strict=True):
        if decision["verdict"] == "deny":
            worse += [without(question, path) for path, _ in fields(question) if path[-1] in {"until", "lowered"}]
    for question, decision in zip(worse, served.decide(worse), strict=True):
        assert decision["verdict"] == "deny", question
