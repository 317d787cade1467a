"""What a worker asks of the ledger's process, as an item of a frame's head, and back.

An item is [number, what, ...]; the number comes back with the answer. A frame's head is the list of its items.

    [n, "append", tenant, drafts, reads, revision, now, valid_until, erases, erased], the payloads behind the head
        a draft is [ID, kind, bytes of payload, about, new person, idempotency]
    [n, "publish", tenant, size, root, at, note]      [n, "cosign", tenant, size, lines]
    [n, "scrub", rewrite]                             [n, "replace", ...] see `handover`

A worker has checked shapes before it sends (`ledger.prepared`). They are checked again, since a mistake must not write
nonsense into a log for ever: a decision, which changes no object, by types and sizes; everything else is prepared anew
and must come out the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from ledger import instants
from ledger.entry import MAX_PAYLOAD, is_hex64
from ledger.errors import LedgerError, Malformed
from ledger.ids import is_uuid7
from ledger.model import Append, Cosigned, Draft, NewPerson, Person, Published
from ledger.prepared import PreparedAppend, PreparedDraft, prepare
from ledger.remote.frames import BadFrame
from ledger.remote.handover import Handover
from ledger.sqlite.scrub import Scrub

_LONGEST_NAME: Final = 1024

Question = PreparedAppend | Published | Cosigned | Scrub | Handover


@dataclass(slots=True)
class Item:
    """An item as it is sent, with the payloads that go behind the head."""

    head: bytes
    payloads: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        return len(self.head) + sum(map(len, self.payloads))


def item(number: int, asked: Question) -> Item:
    """Write an item; raises Malformed for text that no JSON can hold."""
    payloads: tuple[bytes, ...] = ()
    told: tuple[Any, ...]
    if type(asked) is PreparedAppend:
        payloads = tuple([draft.payload for draft in asked.drafts])
        told = (
            number, "append", asked.tenant, [_draft(draft) for draft in asked.drafts], asked.reads, asked.revision,
            asked.now, asked.valid_until, _pair(asked.erases), asked.erased,
        )  # fmt: skip
    elif isinstance(asked, Published):
        told = (number, "publish", asked.tenant, asked.size, asked.root.hex(), asked.at, asked.note)
    elif isinstance(asked, Cosigned):
        told = (number, "cosign", asked.tenant, asked.size, asked.lines)
    elif isinstance(asked, Scrub):
        told = (number, "scrub", asked.rewrite)
    else:
        assert isinstance(asked, Handover)
        told = (number, "replace", asked.to_json())
    try:
        return Item(orjson.dumps(told), payloads)
    except orjson.JSONEncodeError as exc:
        raise Malformed(f"text that cannot be written: {exc}") from exc


def head(items: Sequence[Item]) -> bytes:
    """The head of a frame of these items."""
    return b"[" + b",".join([each.head for each in items]) + b"]"


def _draft(draft: PreparedDraft) -> tuple[Any, ...]:
    about, new = draft.about, draft.new_person
    return (
        draft.id,
        draft.kind,
        len(draft.payload),
        None if about is None else (about.type, about.id),
        None if new is None else (new.ref, new.key.hex()),
        draft.idempotency,
    )


def _pair(person: Person | None) -> tuple[str, str] | None:
    return None if person is None else (person.type, person.id)


def questions(told: Any, behind: bytes) -> list[tuple[int, Question | LedgerError]]:
    """Read a frame: each question by its number, or why it is refused. Raises BadFrame where the frame is not whole."""
    if type(told) is not list:
        raise BadFrame("a head that is no list")
    found: list[tuple[int, Question | LedgerError]] = []
    at = 0
    for one in told:
        if type(one) is not list or len(one) < 3 or type(one[0]) is not int:
            raise BadFrame("an item that is no [number, what, ...]")
        if one[1] != "append":
            found.append((one[0], _other(one)))
            continue
        payloads, at = _cut(one, behind, at)
        try:
            found.append((one[0], _append(one, payloads)))
        except LedgerError as refused:
            found.append((one[0], refused))
    if at != len(behind):
        raise BadFrame(f"{len(behind) - at} bytes behind the last payload")
    return found


def _cut(one: list[Any], behind: bytes, at: int) -> tuple[list[bytes], int]:
    """The payloads of one append."""
    if len(one) != 10 or type(one[3]) is not list:
        raise BadFrame("an append with other than ten parts")
    payloads = []
    for draft in one[3]:
        if type(draft) is not list or len(draft) != 6 or type(draft[2]) is not int:
            raise BadFrame("a draft with other than six parts")
        if not 0 <= draft[2] <= len(behind) - at:
            raise BadFrame("a payload that is longer than its frame")
        payloads.append(behind[at : at + draft[2]])
        at += draft[2]
    return payloads, at


def _append(one: list[Any], payloads: list[bytes]) -> PreparedAppend:
    _, _, tenant, drafts, reads, revision, now, valid_until, erases, erased = one
    if len(drafts) == 1:
        _, kind, _, about, new, idempotency = drafts[0]
        if kind == "decision" and new is None and idempotency is None and erases is None and not erased:
            return _decision(tenant, drafts[0][0], payloads[0], about, reads, revision, now, valid_until)
    asked = Append(
        tenant=_text(tenant),
        drafts=tuple(_given(draft, payload) for draft, payload in zip(drafts, payloads, strict=True)),
        reads=_reads(reads),
        revision=_revision(revision),
        now=None if now is None else _text(now),
        valid_until=None if valid_until is None else _text(valid_until),
        erases=_person(erases),
    )
    prepared = prepare(asked)
    if [draft.payload for draft in prepared.drafts] != payloads or list(prepared.erased) != erased:
        raise Malformed("an append that is not what it was made of")
    return prepared


def _decision(
    tenant: Any, entry_id: Any, payload: bytes, about: Any, reads: Any, revision: Any, now: Any, valid_until: Any
) -> PreparedAppend:
    """An append of one decision: most of all appends, so what is checked is written out."""
    if not is_uuid7(entry_id) or not 2 <= len(payload) <= MAX_PAYLOAD or payload[0] != 123 or payload[-1] != 125:
        raise Malformed("a decision with another ID than a UUIDv7, or whose payload is no object of at most 1 MiB")
    if type(tenant) is not str or (valid_until is not None and not instants.is_instant(valid_until)):
        raise Malformed("a tenant that is no text, or a `valid_until` that is no instant")
    draft = PreparedDraft(entry_id, "decision", payload, _person(about), None, None)
    now_ms = 0 if now is None else instants.parse(_text(now))
    return PreparedAppend(
        tenant, (draft,), _reads(reads), _revision(revision), now, now_ms, valid_until, erases=None, erased=()
    )


def _given(draft: list[Any], payload: bytes) -> Draft:
    entry_id, kind, _, about, new, _ = draft
    if len(payload) > MAX_PAYLOAD:
        raise Malformed(f"a payload of {len(payload)} bytes")
    try:
        value = orjson.loads(payload)
        brought = None if new is None else NewPerson(ref=_text(new[0]), key=bytes.fromhex(_text(new[1])))
    except (ValueError, TypeError, LookupError) as exc:
        raise Malformed(f"a draft that cannot be read: {exc}") from exc
    if type(value) is not dict:
        raise Malformed("a payload that is no object")
    return Draft(id=_text(entry_id), kind=_text(kind), payload=value, about=_person(about), new_person=brought)


def _text(value: Any) -> str:
    if type(value) is not str or len(value) > _LONGEST_NAME:
        raise Malformed("something other than a short text where one belongs")
    return value


def _person(value: Any) -> Person | None:
    if value is None:
        return None
    if type(value) is not list or len(value) != 2 or type(value[0]) is not str or type(value[1]) is not str:
        raise Malformed("a person who is no [type, ID]")
    return Person(value[0], value[1])


def _reads(value: Any) -> tuple[tuple[str, int], ...]:
    if type(value) is not list:
        raise Malformed("`reads` that are no list")
    found = []
    for read in value:
        if type(read) is not list or len(read) != 2 or type(read[0]) is not str or type(read[1]) is not int:
            raise Malformed("`reads` are [object, version]")
        found.append((read[0], read[1]))
    return tuple(found)


def _revision(value: Any) -> str | None:
    if value is None:
        return None
    if type(value) is not str or not _is_revision(value):
        raise Malformed("a revision that is not 64 hex")
    return value


@lru_cache(maxsize=64)
def _is_revision(text: str) -> bool:
    return is_hex64(text)


def _other(one: list[Any]) -> Question | LedgerError:
    """Whatever is no append; all of it is rare."""
    try:
        match one[1:]:
            case ["publish", str(tenant), int(size), str(root), str(at), str(note)]:
                return Published(tenant=tenant, size=size, root=bytes.fromhex(root), at=at, note=note)
            case ["cosign", str(tenant), int(size), [*lines]] if all(type(line) is str for line in lines):
                return Cosigned(tenant=tenant, size=size, lines=tuple(lines))
            case ["scrub", bool(rewrite)]:
                return Scrub(rewrite)
            case ["replace", dict(told)]:
                return Handover.from_json(told)
    except ValueError as exc:
        return Malformed(f"a question that cannot be read: {exc}")
    except LedgerError as refused:
        return refused
    return Malformed(f"no question is called {one[1]!r:.40} and made so")
