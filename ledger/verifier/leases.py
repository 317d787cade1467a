"""Leased decisions: answered without an evaluation, because an earlier decision had answered the same question.

The payload of one names the earlier decision, its *first*, and the key of the question; all else stands in the first.
Here the two are joined again, and it is tested whether the one may lean on the other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, TypeAlias

from . import canonical, entries
from .errors import Invalid

FIELDS: Final = frozenset({"leans_on", "lease", "now", "caller", "request_id", "dropped"})
_VIA: Final = "via"
"""The one field that only some have: those that a gateway asked for."""
_GATE: Final = "muster/gate/decision"
_KEPT: Final = 1024

Row: TypeAlias = tuple[int, str, bytes, bytes, bytes | None, bytes | None, str | None, str | None]
"""index, ID, header, leaf, payload, salt, type and ID of whom it is about: as a store has it, nothing believed."""


@dataclass(frozen=True, slots=True)
class First:
    """What a leased decision needs of the one that it leans on; `fault` says why nothing can lean on that."""

    index: int
    about: tuple[str, str] | None
    """Whom it is about by its payload."""
    fault: str | None = None
    revision: Any = None
    reads: Any = None
    now: Any = None
    until: Any = None
    key: str | None = None


def is_leased(kind: str, value: dict[str, Any]) -> bool:
    """Whether an entry is a leased decision."""
    return kind == "decision" and "leans_on" in value


def key(revision: Any, asked: dict[str, Any]) -> str | None:
    """SHA-256 (hex) of a revision and the canonical input but for its instant; None where they have none."""
    try:
        question = canonical.encode({name: part for name, part in asked.items() if name != "now"})
    except Invalid:
        return None
    return sha256(revision.encode() + question).hexdigest() if isinstance(revision, str) else None


def first(index: int, kind: str, value: dict[str, Any] | None) -> First:
    """An entry that is leaned on; `value` is its payload, None where that is not there."""
    if value is None:
        return First(index, None, "has no payload any more")
    if kind != "decision":
        return First(index, None, f"is no decision but of kind {kind}")
    if is_leased(kind, value):
        return First(index, None, "leans on another itself")
    about = entries.named(kind, value)
    asked, result = value.get("input"), value.get("result")
    if not isinstance(asked, dict) or not isinstance(result, dict) or value.get("undecided") is not None:
        return First(index, about, "could not decide")
    subject = asked.get("subject")
    if value.get("entrypoint") != _GATE:
        return First(index, about, "is not the answer of a gate")
    if not isinstance(subject, dict) or subject.get("known") is not True:
        return First(index, about, "is about somebody who was not in the directory")
    revision = value.get("revision")
    return First(
        index,
        about,
        revision=revision,
        reads=value.get("reads"),
        now=asked.get("now"),
        until=result.get("valid_until"),
        key=key(revision, asked),
    )


def wrong(index: int, value: dict[str, Any], found: First | None) -> Iterator[str]:
    """Why the leased decision at an index may not lean on this one; whom they are about is the caller's to compare."""
    if value.keys() - {_VIA} != FIELDS:
        yield "it has other fields than a leased decision"
    if found is None:
        yield f"it leans on {value['leans_on']}, which is not here"
    elif found.index >= index:
        yield f"it leans on entry {found.index}, which is not before it"
    elif found.fault is not None:
        yield f"it leans on entry {found.index}, which {found.fault}"
    else:
        if found.key is None or value.get("lease") != found.key:
            yield f"its key is not that of the question of entry {found.index}"
        yield from _lifetime(value.get("now"), found)


def _lifetime(now: Any, found: First) -> Iterator[str]:
    if not isinstance(now, str) or not entries.is_instant(now):
        yield "its instant is none"
    elif not isinstance(found.now, str) or now < found.now:
        yield f"leased for {now}, before the answer was given, at {found.now}"
    elif found.until is not None and not (isinstance(found.until, str) and now < found.until):
        yield f"leased for {now}, when the answer had ended, at {found.until}"


def joined(value: dict[str, Any], first_value: dict[str, Any] | None) -> dict[str, Any]:
    """The payload as it would be without the lease; without a first it has an instant and an author, and no more."""
    record = {name: part for name, part in (first_value or {}).items() if name != _VIA}
    asked = record.get("input")
    record["input"] = (dict(asked) if isinstance(asked, dict) else {}) | {"now": value.get("now")}
    record |= {name: value.get(name) for name in ("caller", "request_id", "dropped", "leans_on", "lease")}
    return record | ({_VIA: value[_VIA]} if _VIA in value else {})


class Firsts:
    """The entries that leased decisions of a log lean on: those of late are kept, without their input and answer.

    `row_of` answers the stored row of an ID. It is believed only where the row's header is of that ID, and payload and
    salt are what it commits to; that the header is in the log is seen when the log is gone through.
    """

    def __init__(self, tenant: str, row_of: Callable[[str], Row | None]) -> None:
        self._tenant = tenant
        self._row_of = row_of
        self._kept: OrderedDict[str, First | None] = OrderedDict()

    def of(self, entry_id: str) -> First | None:
        """The entry of an ID as one to be leaned on; None where there is none."""
        if entry_id not in self._kept:
            row = self._row_of(entry_id)
            self._kept[entry_id] = None if row is None else self._read(entry_id, row)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(entry_id)
        return self._kept[entry_id]

    def _read(self, entry_id: str, row: Row) -> First | None:
        header = entries.header(row[2])
        if header is None or (header.id, header.tenant) != (entry_id, self._tenant):
            return None
        opens = entries.opens(header.commitment, row[5], row[4])
        return first(row[0], header.kind, entries.payload(row[4]) if opens else None)
