"""Inputs drawn around the instants at which decisions change, for every gate, from its golden base.

A drawing is a handful of small numbers, so that hypothesis can shrink it; `build` makes an input of it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

from ledger.instants import from_ms, is_instant, parse
from tests.policies.golden import bases
from tests.policies.world import Object

Path = tuple[str, ...]

_DAY: Final = 86_400_000
_OFFSETS: Final = (1, 2, 3, 1000, _DAY, 10 * _DAY, 29 * _DAY, 45 * _DAY, 200 * _DAY, 0, -1, -40 * _DAY)
"""How far from `now` a fact ends; what makes it end before stands last and is drawn less often."""

_NOWS: Final = tuple(
    parse(text)
    for text in (
        "2028-02-29T00:00:00.000Z",
        "2028-02-28T23:59:59.999Z",
        "2027-02-28T12:00:00.000Z",
        "2027-12-31T23:59:59.999Z",
        "2028-08-31T08:00:00.000Z",
        "2030-11-30T08:00:00.000Z",
        "2031-02-28T23:59:59.999Z",
        "2031-03-01T00:00:00.000Z",
        "2031-02-20T00:00:00.000Z",
    )
)
_BASES: Final = bases()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What was drawn: a gate, an instant, where facts end, who is waived, what was stored, and what is spoilt."""

    gate: str
    now: int
    offsets: tuple[int, ...]
    waived: int
    old: bool
    stored: bool
    spoilt: int


_offset = st.one_of(st.integers(0, 8), st.integers(0, 8), st.integers(0, 8), st.integers(0, len(_OFFSETS) - 1))
drawings = st.builds(
    Drawn,
    gate=st.sampled_from(sorted(_BASES)),
    now=st.one_of(st.sampled_from(_NOWS), st.integers(parse("2026-01-01T00:00:00.000Z"), _NOWS[-1])),
    offsets=st.tuples(*[_offset] * 6),
    waived=st.sampled_from((0, 0, 0, 1, 2, 3)),
    old=st.sampled_from((False, False, False, True)),
    stored=st.booleans(),
    spoilt=st.one_of(st.just(0), st.just(0), st.just(0), st.integers(0, 200)),
)


def build(drawn: Drawn, metadata: Object) -> Object:
    """The input of a drawing."""
    question = copy.deepcopy(_BASES[drawn.gate])
    requirements = [r["requires"] for r in metadata["gates"][drawn.gate]["requirements"] if "requires" in r]
    months = sorted({int(r["within"][1:-1]) for r in requirements if r["within"].endswith("M")})
    question["now"] = from_ms(drawn.now)
    facts = question["facts"]
    if drawn.stored:
        facts["request"] = _stored(question)
    places = [path for path, value in fields(facts) if is_instant(value)]
    for i, path in enumerate(places):
        ends = drawn.now + _OFFSETS[drawn.offsets[i % len(drawn.offsets)]]
        if path[-1] in {"passed_at", "issued_at"}:
            _put(facts, path, _months_before(from_ms(ends), months[i % len(months)]))
        elif path[-1] == "starts_at":
            _put(facts, path, from_ms(2 * drawn.now - ends))
        else:
            _put(facts, path, from_ms(ends))
    for i, required in enumerate(requirements):
        if drawn.waived >> i & 1:
            kind = next(k for k in ("scope", "track", "module") if k in required)
            ends = drawn.now + _OFFSETS[drawn.offsets[-1 - i]]
            facts["waivers"][f"{kind}:{required[kind]}"] = {"until": from_ms(ends), "evidence": f"wa-{i}"}
    if drawn.old:
        for path, value in fields(question):
            if value == "2.0.0":
                _put(question, path, "1.0.0")
    if drawn.spoilt:
        places = [path for path, _ in fields(question) if path[0] in {"facts", "context", "resource"}]
        drop(question, places[drawn.spoilt % len(places)])
    return question


def _stored(question: Object) -> Object:
    """A request as it was stored beforehand, and is asked for now."""
    said = [
        ("action", "name"),
        ("resource", "type"),
        ("resource", "id"),
        *(("context", n) for n in question["context"]),
    ]
    return {
        "cited": True,
        "id": "rq-1",
        "ref": question["subject"]["ref"],
        "stored_by": {"type": "system", "id": "host"},
        "expires_at": question["now"],
        "withdrawn": False,
        "evidence": "rq-1",
        "given": [{"path": [part, name], "value": question[part][name]} for part, name in said],
    }


def boundaries(drawn: Drawn) -> list[int]:
    """Where the facts of a drawing end, in milliseconds."""
    return sorted({drawn.now + _OFFSETS[o] for o in drawn.offsets})


def fields(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every object field within a value, as (path, what it holds), the outer ones first."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield (*path, key), child
            yield from fields(child, (*path, key))


def drop(value: Object, path: Path) -> None:
    """Take a field out."""
    for part in path[:-1]:
        value = value[part]
    del value[path[-1]]


def replaced(value: Object, path: Path, new: Any) -> Object:
    """A copy in which a field holds something else."""
    copied = copy.deepcopy(value)
    _put(copied, path, new)
    return copied


def without(value: Object, path: Path) -> Object:
    """A copy in which a field is not there."""
    copied = copy.deepcopy(value)
    drop(copied, path)
    return copied


def _put(value: Object, path: Path, new: Any) -> None:
    for part in path[:-1]:
        value = value[part]
    value[path[-1]] = new


def _months_before(instant: str, months: int) -> str:
    """An anchor whose months end near an instant; the rules, not this, say when exactly."""
    year, month = divmod(int(instant[:4]) * 12 + int(instant[5:7]) - 1 - months, 12)
    return f"{year:04d}-{month + 1:02d}-{min(int(instant[8:10]), 28 if month == 1 else 30):02d}{instant[10:]}"
