"""The next training is what the award asks for: whoever passes it has what is required, and no less of it would do.

The award and the ledger's own reduction are asked again and again, as if each module had been passed.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest

from engine.opa.binary import OpaBinary
from ledger.instants import from_ms, parse
from ledger.reduce import reduce
from tests.policies.tables import answers, bundle, source
from tests.policies.world import Object

_AWARDS: Final = "{k: a | some k, q in input; a := data.muster.certification.award with input as q}"
_NEXT: Final = "{k: a | some k, q in input; a := data.muster.training.next with input as q}"
_ENDS: Final = "{k: h.ends | some k, q in input; h := data.muster.certification.holding(q.required, q.facts)}"
_DAY: Final = 86_400_000
_NOWS: Final = tuple(map(parse, ("2027-03-01T00:00:00.000Z", "2027-02-10T08:00:00.000Z", "2028-02-29T12:00:00.000Z")))
_AGES: Final = (0, 1, 5, 20, 29, 30, 31, 45, 60, 61, 80, 89, 90, 91, 150, 170, 200, 250, 274, 300, 345, 360, 366, 400)

Passes = tuple[tuple[int, str, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """Somebody before a gate: what was passed (when, what, at which tier, in which version), and what came of it."""

    action: str
    now: int
    passes: Passes
    known: bool = True
    revoked: int | None = None
    lowered: tuple[int, int] | None = None
    state: Object = field(default_factory=lambda: {"modules": {}, "scopes": {}, "waivers": {}})


def _gates() -> Object:
    """A gate for each requirement that a learner may stand before."""
    required: list[Object] = []
    for scope, rule in source()["scopes"].items():
        within = "P12M" if rule["renewal"] == "completion" else "P18M"
        required += [{"scope": scope, "tier": t, "within": within} for t in ("completed", "proficient", "certified")]
    required += [{"scope": "tracks", "tier": "certified", "within": w} for w in ("P60D", "P2M")]
    required += [{"track": f"ops/{level}", "tier": "proficient", "within": "P9M"} for level in ("core", "advanced")]
    required += [{"module": m, "tier": "completed", "within": w} for m in ("v", "y") for w in ("P45D", "P6M")]
    return {
        f"act-{i}": {"requirements": [{"code": "x", "title": "X", "requires": asked}]}
        for i, asked in enumerate(required)
    }


GATES: Final = _gates()


def _required(learner: Learner) -> Object:
    required: Object = GATES[learner.action]["requirements"][0]["requires"]
    return required


def _modules(required: Object, data: Object) -> list[str]:
    if "module" in required:
        return [required["module"]]
    if "track" in required:
        return [part["module"] for part in data["tracks"][required["track"]]["modules"]]
    return next(a["modules"] for a in data["awards"].values() if a["scopes"] == [required["scope"]])


def _drawn(chance: random.Random, data: Object) -> Learner:
    """A learner whose passes lie around the instants at which something turns."""
    action, now = chance.choice(sorted(GATES)), chance.choice(_NOWS)
    together = chance.choice((None, None, 10, 40, 80, 170, 250, 340))
    passes = []
    for module in _modules(GATES[action]["requirements"][0]["requires"], data):
        for tier in ("completed", "proficient")[: 1 + (data["modules"][module]["tier"] == "proficient")]:
            if chance.random() < 0.15:
                continue
            age = chance.choice(_AGES) if together is None else together + chance.choice((0, 1, 5, 20, 29, 30, 31))
            at = now - age * _DAY - chance.choice((0, 0, 1, 3_600_000))
            passes.append((at, module, tier, chance.choice(("1.0.0", "2.0.0", "2.0.0"))))
    return Learner(
        action=action,
        now=now,
        passes=tuple(sorted(passes)),
        known=chance.random() < 0.7,
        revoked=now - chance.choice((0, 3, 25)) * _DAY if chance.random() < 0.1 else None,
        lowered=(chance.randrange(8), now + chance.choice((-1, 1, 20, 40)) * _DAY) if chance.random() < 0.25 else None,
    )


def _learned(state: Object, at: int, module: str, tier: str, version: str, number: str) -> Object:
    payload = {"module": module, "tier": tier, "occurred_at": from_ms(at), "version": version, "digest": None}
    return _reduced(state, "result", {**payload, "source": "quiz"}, number, at)


def _reduced(state: Object, kind: str, payload: Object, number: str, at: int) -> Object:
    return reduce("person/x", state, kind=kind, payload=payload, entry_id=number, at=from_ms(at))


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules in a bundle, asked about many learners at once."""

    opa: Path
    packed: Path

    def passed(self, learners: Sequence[Learner], lists: Sequence[Passes]) -> list[Learner]:
        """The learners after their passes: each result is reduced, and with it what the award made of it."""
        states = [learner.state for learner in learners]
        for turn in range(max((len(passes) for passes in lists), default=0)):
            going = [i for i, passes in enumerate(lists) if turn < len(passes)]
            questions = {}
            for i in going:
                at, module, tier, version = lists[i][turn]
                result = {"module": module, "tier": tier, "passed_at": from_ms(at), "version": version}
                facts = {part: states[i][part] for part in ("modules", "scopes")}
                questions[str(i)] = {
                    "result": {**result, "digest": None, "imported": False, "evidence": f"r-{turn:03d}"},
                    "facts": facts,
                    "now": from_ms(at),
                }
            awards = answers(self.opa, self.packed, _AWARDS, questions)
            for i in going:
                at, module, tier, version = lists[i][turn]
                state = _learned(states[i], at, module, tier, version, f"r-{turn:03d}")
                for n, certification in enumerate(awards[str(i)]["certifications"]):
                    state = _reduced(state, "certification", certification, f"c-{turn:03d}-{n}", at)
                states[i] = state
        return [replace(learner, state=state) for learner, state in zip(learners, states, strict=True)]

    def next(self, learners: Sequence[Learner]) -> list[Any]:
        """The next required training of each."""
        questions = {
            str(i): {"action": {"name": one.action}, "facts": one.state, "now": from_ms(one.now)}
            for i, one in enumerate(learners)
        }
        found = answers(self.opa, self.packed, _NEXT, questions)
        return [found[str(i)] for i in range(len(learners))]

    def ends(self, learners: Sequence[Learner]) -> list[str]:
        """When what each holds for the requirement ends, and empty where that is not after now."""
        questions = {str(i): {"required": _required(one), "facts": one.state} for i, one in enumerate(learners)}
        found = answers(self.opa, self.packed, _ENDS, questions)
        ends = [found.get(str(i), "") for i in range(len(learners))]
        return [end if end > from_ms(one.now) else "" for one, end in zip(learners, ends, strict=True)]


@pytest.fixture(scope="module")
def rules(opa_binary: OpaBinary, tmp_path_factory: pytest.TempPathFactory) -> Rules:
    """The rules with the tables' source and the gates of this file."""
    return Rules(opa_binary.path, bundle(opa_binary.path, tmp_path_factory.mktemp("next") / "rules", gates=GATES))


def _lowered(learner: Learner) -> Learner:
    """After a regrade of one of the passes, which cuts it and every certification."""
    if learner.lowered is None or not learner.state["modules"]:
        return learner
    which, until = learner.lowered
    cut = {"until": from_ms(until), "lowered": "e-regrade"}
    state = json.loads(json.dumps(learner.state))
    passes = [fact for tiers in state["modules"].values() for fact in tiers.values()]
    passes[which % len(passes)].update(cut)
    for scope in state["scopes"].values():
        for tier in scope["tiers"].values():
            tier.update(cut)
    return replace(learner, state=state)


@pytest.fixture(scope="module")
def learners(rules: Rules) -> list[Learner]:
    """Many learners: with what their passes earned, or before a scope that came after them."""
    chance, data = random.Random(20_261_123), source()
    drawn = [_drawn(chance, data) for _ in range(900)]
    unknown = [replace(one, state=_unearned(one)) for one in drawn if not one.known]
    earned = [one for one in drawn if one.known]
    before = [tuple(p for p in one.passes if one.revoked is None or p[0] <= one.revoked) for one in earned]
    earned = [_revoked(one) for one in rules.passed(earned, before)]
    after = [one.passes[len(passes) :] for one, passes in zip(earned, before, strict=True)]
    return [_lowered(one) for one in (*unknown, *rules.passed(earned, after))]


def _unearned(learner: Learner) -> Object:
    state = learner.state
    for i, (at, module, tier, version) in enumerate(learner.passes):
        state = _learned(state, at, module, tier, version, f"r-{i:03d}")
    return state


def _revoked(learner: Learner) -> Learner:
    scope = _required(learner).get("scope")
    if learner.revoked is None or scope is None:
        return learner
    return replace(learner, state=_reduced(learner.state, "revocation", {"scope": scope}, "e-rev", learner.revoked))


def _taken(listed: Sequence[Object], now: int) -> Passes:
    return tuple((now, step["module"], step["tier_after"], step["version"]) for step in listed)


def _lesser(listed: Sequence[Object]) -> Iterator[tuple[Object, ...]]:
    """Every smaller part of a list, in order."""
    for size in range(len(listed)):
        yield from itertools.combinations(listed, size)


def test_whoever_passes_it_has_what_is_required_and_no_less_would_do(rules: Rules, learners: list[Learner]) -> None:
    """What is missing is never empty, is enough, and is not more than enough."""
    found, ends = rules.next(learners), rules.ends(learners)
    missing = [(one, answer["required"]) for one, answer, end in zip(learners, found, ends, strict=True) if not end]
    assert len(missing) > 300
    assert all(listed and {s["why"] for s in listed} == {"missing"} for _, listed in missing)
    # At the very instant of a revocation nothing that is passed counts for the scope.
    missing = [(one, listed) for one, listed in missing if one.revoked != one.now]
    after = rules.passed([one for one, _ in missing], [_taken(listed, one.now) for one, listed in missing])
    for (one, listed), end in zip(missing, rules.ends(after), strict=True):
        assert end, (one, listed)
    parts = [(one, part) for one, listed in missing for part in _lesser(listed) if len(listed) <= 4 and part]
    assert len(parts) > 300
    less = rules.passed([one for one, _ in parts], [_taken(part, one.now) for one, part in parts])
    for (one, part), end in zip(parts, rules.ends(less), strict=True):
        assert not end, (one, part)


def test_what_is_renewed_lasts_longer(rules: Rules, learners: list[Learner]) -> None:
    """What is expiring or in grace lists only what makes it last longer, by the day on which it ends."""
    found, ends = rules.next(learners), rules.ends(learners)
    met = [(one, answer["required"], end) for one, answer, end in zip(learners, found, ends, strict=True) if end]
    reasons = Counter(why for _, listed, _ in met for why in {step["why"] for step in listed})
    assert min(reasons["expiring"], reasons["grace"]) > 30
    assert reasons.keys() == {"expiring", "grace"}
    assert sum(not listed for _, listed, _ in met) > 50
    renewing = [(one, listed, end) for one, listed, end in met if listed]
    assert all(step["by"] == end for _, listed, end in renewing for step in listed)
    after = rules.passed([one for one, _, _ in renewing], [_taken(listed, one.now) for one, listed, _ in renewing])
    for (one, listed, end), later in zip(renewing, rules.ends(after), strict=True):
        assert later > end, (one, listed)

    # A part that was passed recently enough is there only where nothing would be issued without it.
    recent = [
        (one, tuple(s for s in listed if s is not step), end)
        for one, listed, end in renewing
        for step in listed
        if step["why"] == "expiring" and "scope" in _required(one) and _recent(one, step["module"])
    ]
    assert len(recent) > 5
    less = rules.passed([one for one, _, _ in recent], [_taken(part, one.now) for one, part, _ in recent])
    for (one, part, end), later in zip(recent, rules.ends(less), strict=True):
        assert later == end, (one, part)


def _recent(learner: Learner, module: str) -> bool:
    days = int(source()["scopes"][_required(learner)["scope"]]["within_parts"][1:-1])
    oldest = from_ms(learner.now - days * _DAY)
    return all(
        fact["passed_at"] >= oldest for fact in learner.state["modules"].get(module, {"": {"passed_at": ""}}).values()
    )


def test_minutes_are_those_of_the_path(rules: Rules, learners: list[Learner]) -> None:
    """The sum is told, and no module is listed twice."""
    for answer in rules.next(learners):
        assert answer["minutes"] == sum(step["minutes"] for step in answer["required"])
        assert len({step["module"] for step in answer["required"]}) == len(answer["required"])
