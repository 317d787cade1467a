"""What holds for every gate and any input: leases are exact, and nothing that is missing or odd opens a gate."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.instants import from_ms, is_instant, parse
from tests.policies.drawn import Drawn, boundaries, build, drawings, fields, replaced, without
from tests.policies.golden import bases
from tests.policies.world import Served

_KEYS: Final = {
    "verdict",
    "allow",
    "mode",
    "gate",
    "policy_id",
    "runbook_id",
    "denials",
    "evidence",
    "obligations",
    "valid_until",
}
_FAR: Final = parse("2199-12-31T23:59:59.999Z")
_ODD: Final[tuple[Any, ...]] = (None, True, False, 0, 1.5, -1, [], {}, ["zzzz"], {"a": 1})
_ODD_TEXT: Final = ("", "zzzz", "2031-02-30T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "2031-01-01T00:00:00Z")


def _sampled(drawn: Drawn, until: int | None) -> list[int]:
    """Instants in [now, until): both ends, the middle, and some that are within a millisecond of a fact's end."""
    last = _FAR if until is None else until - 1
    near = sorted({b + step for b in boundaries(drawn) for step in (-1, 0, 1)})
    near = [t for t in near if drawn.now <= t <= last]
    return sorted({drawn.now, last, (drawn.now + last) // 2, *near[:: max(1, len(near) // 3)]})


def _plain(value: Any) -> bool:
    """Whether a value is made of text, booleans, null, safe integers, arrays and objects only."""
    match value:
        case dict():
            return all(isinstance(k, str) and _plain(v) for k, v in value.items())
        case list():
            return all(_plain(v) for v in value)
        case bool() | str() | None:
            return True
        case int():
            return abs(value) < 2**53
    return False


def _but_valid_until(decision: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in decision.items() if key != "valid_until"}


def test_valid_until_is_exact(served: Served) -> None:
    """Until `valid_until` the whole output is the same, and at that very instant it is another."""
    finite: Counter[tuple[str, str]] = Counter()

    @settings(max_examples=90, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(drawings, min_size=8, max_size=24))
    def hold(batch: list[Drawn]) -> None:
        questions = [build(drawn, served.metadata) for drawn in batch]
        later, expected = [], []
        for drawn, question, decision in zip(batch, questions, served.decide(questions), strict=True):
            assert decision.keys() == _KEYS
            assert _plain(decision)
            assert (decision["verdict"] == "allow") == (decision["denials"] == []) == decision["allow"]
            until = decision["valid_until"]
            for instant in _sampled(drawn, None if until is None else parse(until)):
                later.append({**question, "now": from_ms(instant)})
                expected.append((json.dumps(decision), True))
            if until is not None:
                assert until > question["now"]
                later.append({**question, "now": until})
                expected.append((json.dumps(_but_valid_until(decision)), False))
                finite[drawn.gate, decision["verdict"]] += 1
        for question, answer, (text, same) in zip(later, served.decide(later), expected, strict=True):
            found = json.dumps(answer) if same else json.dumps(_but_valid_until(answer))
            assert (found == text) == same, question

    hold()
    assert sum(n for (_, verdict), n in finite.items() if verdict == "allow") >= 500, finite
    assert {gate for gate, verdict in finite if verdict == "allow"} == set(bases()), finite
    assert {gate for gate, verdict in finite if verdict == "deny"} == set(bases()), finite


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(drawings, min_size=1, max_size=6))
def test_nothing_missing_and_nothing_odd_opens_a_gate(served: Served, batch: list[Drawn]) -> None:
    """A denied input stays denied without any one of its fields, and with a field of another type."""
    questions = [build(drawn, served.metadata) for drawn in batch]
    worse = []
    for question, decision in zip(questions, served.decide(questions), strict=True):
        if decision["verdict"] == "deny":
            paths = [path for path, _ in fields(question)]
            worse += [without(question, path) for path in paths]
            worse += [replaced(question, path, _ODD[i % len(_ODD)]) for i, path in enumerate(paths)]
    for question, decision in zip(worse, served.decide(worse), strict=True):
        assert decision["verdict"] == "deny", question


def test_what_an_allow_needs_cannot_be_odd(served: Served) -> None:
    """Where an allow needs a field, nothing of another type does instead, and no text that is no instant."""
    for base in bases().values():
        paths = [(path, value) for path, value in fields(base)]
        lesser = served.decide([without(base, path) for path, _ in paths])
        needed = [found for found, decision in zip(paths, lesser, strict=True) if decision["verdict"] == "deny"]
        assert ("now",) in [path for path, _ in needed]
        odd = []
        for path, value in needed:
            odd += [replaced(base, path, o) for o in _ODD if type(o) is not type(value)]
            odd += [replaced(base, path, o) for o in _ODD_TEXT if is_instant(value)]
        for question, decision in zip(odd, served.decide(odd), strict=True):
            assert decision["verdict"] == "deny", question
            assert decision["allow"] is False


def test_an_action_alone_is_denied_everything(served: Served) -> None:
    """With nothing else known, every requirement of a gate is a denial, and so is that of every gate."""
    for name, gate in served.metadata["gates"].items():
        decision = served.ask("muster/gate/decision", {"action": {"name": name}})
        codes = [denial["code"] for denial in decision["denials"]]
        assert codes == ["subject-active", "unknown-request", *(r["code"] for r in gate["requirements"])]
        assert (decision["verdict"], decision["valid_until"], decision["evidence"]) == ("deny", None, [])


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(drawings, min_size=1, max_size=8))
def test_a_batch_is_each_alone(served: Served, batch: list[Drawn]) -> None:
    """Whoever else is asked about, and in whatever order, changes no decision."""
    questions: list[Any] = [*(build(drawn, served.metadata) for drawn in batch), {}]
    alone = [served.ask("muster/gate/decision", question) for question in questions]
    assert served.decide(questions) == alone
    assert served.decide(questions[::-1]) == alone[::-1]
