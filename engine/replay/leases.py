"""What a leased decision has to fulfil besides the four checks: whom it leans on, by which key, and for how long.

The four checks are made of the record that it and its first give together, as if it had been evaluated itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from engine.decide import joined
from engine.decide.record import GATE, lease_key
from engine.replay.finding import Finding
from ledger import canonical, instants
from ledger.model import JSON, Entry


def whole(entry: Entry, first: Entry | None) -> Entry:
    """A leased entry with the payload that it and its first give together; without a first, its own fields alone."""
    value = first.value if first is not None and first.payload is not None else {}
    return replace(entry, payload=canonical.encode(joined.whole(entry.value, value)))


def unfit(entry: Entry, first: Entry | None, erasures: Mapping[int, int]) -> Iterator[Finding]:
    """Why this entry cannot be joined to the one that it leans on at all."""
    for detail in _unfit(entry, first, erasures):
        yield _finding(entry, detail)


def check(entry: Entry, first: Entry) -> Iterator[Finding]:
    """Whether a leased decision may lean on a whole one: the same person and question, and not outlived."""
    for detail in _wrong(entry, first):
        yield _finding(entry, detail)


def _finding(entry: Entry, detail: str) -> Finding:
    return Finding(index=entry.index, id=entry.id, check="lease", detail=detail)


def _unfit(entry: Entry, first: Entry | None, erasures: Mapping[int, int]) -> Iterator[str]:
    value = entry.value
    if value.keys() - {joined.VIA} != joined.FIELDS:
        yield f"it has other fields than a leased decision: {', '.join(sorted(value.keys() ^ joined.FIELDS))}"
    elif first is None:
        yield f"it leans on {value['leans_on']}, which is not in this log"
    elif first.index >= entry.index:
        yield f"it leans on entry {first.index}, which is not before it"
    elif first.kind != "decision":
        yield f"it leans on entry {first.index}, which is no decision but of kind {first.kind}"
    elif first.payload is None:
        if first.index in erasures:  # else it was erased while this was read, and so was this one
            yield f"it leans on entry {first.index}, which was erased; it was not erased with it"
    elif joined.is_leased(first.value):
        yield f"it leans on entry {first.index}, which leans on another itself"
    elif first.value.get("undecided") is not None or not isinstance(first.value.get("result"), dict):
        yield f"it leans on entry {first.index}, which could not decide"


def _wrong(entry: Entry, first: Entry) -> Iterator[str]:
    leased, record = entry.value, first.value
    asked, result = record["input"], record["result"]
    assert isinstance(asked, dict)
    assert isinstance(result, dict)
    subject = asked["subject"]
    if first.about != entry.about:
        yield f"it leans on entry {first.index}, which is about another person"
    if record["entrypoint"] != GATE:
        yield f"it leans on an answer of {record['entrypoint']}; only a gate's can be leased"
    if not isinstance(subject, dict) or subject.get("known") is not True:
        yield "it is about somebody who was not in the directory: about them nothing is leased"
    if leased["lease"] != lease_key(str(record["revision"]), asked):
        yield f"its key is not that of the question of entry {first.index}"
    now = leased["now"]
    if not isinstance(now, str) or not instants.is_instant(now):
        yield "its instant is none"
        return
    yield from _lifetime(now, str(asked["now"]), result.get("valid_until"))


def _lifetime(now: str, since: str, until: JSON) -> Iterator[str]:
    if now < since:
        yield f"leased for {now}, before the answer was given, at {since}"
    if isinstance(until, str) and not now < until:
        yield f"leased for {now}, when the answer had ended, at {until}"
