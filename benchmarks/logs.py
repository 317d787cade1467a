"""Logs to measure on: a beginning of 1,000 people by the real writer, decisions as the gates make them, and a filler.

The filler writes the rows that the writer writes, without its checks and its syncs; that `verify` takes them, and that
the writer goes on behind them, is checked in every run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, cast

from ledger import canonical, entry, instants, merkle
from ledger.canonical import JSON
from ledger.errors import LedgerError
from ledger.ids import uuid7
from ledger.model import Append, Draft, Person
from ledger.sqlite import SqliteLedger, schema
from tests.ledger import builders

TENANT: Final = builders.TENANT
PEOPLE: Final = 1_000
_TOGETHER: Final = 128
"""Entries with one `at`: what a commit of the writer takes under load."""
_CHUNK: Final = 160 * _TOGETHER

_HEAD: Final = "SELECT frontier FROM heads WHERE tenant = ?"
_ENTRIES: Final = "INSERT INTO entries (tenant, idx, id, header, leaf) VALUES (?, ?, ?, ?, ?)"
_PAYLOADS: Final = "INSERT INTO payloads (tenant, idx, salt, payload, about_type, about_id) VALUES (?, ?, ?, ?, ?, ?)"
_SET_HEAD: Final = "UPDATE heads SET size = ?, frontier = ?, newest_at = ? WHERE tenant = ?"

_GATEWAY: Final[JSON] = {
    "role": "service",
    "token": "01936d2e-7c1f-7a01-9f3e-5d0c8a7b1e42",
    "principal": {"type": "system", "id": "gateway"},
}
_NEVER: Final = "2199-01-01T00:00:00.000Z"
_DIGEST: Final = "d" * 64


@dataclass(frozen=True, slots=True)
class Member:
    """A person of the log, and the version of their object."""

    person: Person
    ref: str
    key: bytes
    version: int

    @property
    def read(self) -> tuple[str, int]:
        """What a decision about them reads."""
        return f"person/{self.ref}", self.version


def begin(path: Path) -> list[Member]:
    """A new log: a revision, and the people."""
    people = [Person("user", f"person-{number:04}") for number in range(PEOPLE)]
    ledger = SqliteLedger(path)
    try:
        ledger.submit(builders.one(builders.activation())).result()
        joined = [ledger.submit(builders.joins(person, {"active": True, "customer": "acme"})) for person in people]
        return [
            Member(person, builders.ref_of(person), builders.key_of(person), future.result()[0].index)
            for person, future in zip(people, joined, strict=True)
        ]
    finally:
        ledger.close()


def decision(member: Member, now: str) -> Append:
    """A data export that was allowed, with all that a real record of it holds."""
    payload = _decided(member, now)
    draft = Draft(id=uuid7(), kind="decision", payload=payload, about=member.person)
    return Append(
        tenant=TENANT, drafts=(draft,), reads=(member.read,), revision=builders.REVISION, now=now, valid_until=_NEVER
    )


def sizes(member: Member) -> tuple[int, int]:
    """The bytes of a decision's payload, and of a filled one's."""
    return len(canonical.encode(_decided(member, builders.START))), len(canonical.encode(_leased(member)))


class Filler:
    """Makes a log longer, fast. Nothing is durable, and no other connection may be open, until it is done."""

    def __init__(self, path: Path, members: list[Member]) -> None:
        self._path = path
        self._people = [(member, _template(member)) for member in members]
        self._random = Random(7)  # noqa: S311 - whom an entry is about; nothing secret

    def fill(self, size: int, told: Callable[[int], None] = lambda _: None) -> None:
        """Fill the log up to so many entries, and sync it; `told` hears how many there are."""
        db = schema.open_writer(self._path, synchronous="OFF", create=False)
        try:
            db.pragma("journal_mode", "OFF")
            db.pragma("cache_size", -(512 << 10))
            [[data]] = db.execute(_HEAD, (TENANT,)).fetchall()
            frontier = merkle.Frontier.from_bytes(cast(bytes, data))
            told(frontier.size)
            while frontier.size < size:
                entries, payloads, nodes, at = self._rows(frontier, min(_CHUNK, size - frontier.size))
                db.execute("BEGIN")
                db.executemany(_ENTRIES, entries)
                db.executemany(_PAYLOADS, payloads)
                db.executemany(schema.ADD_NODE, nodes)
                db.execute(_SET_HEAD, (frontier.size, frontier.to_bytes(), at, TENANT))
                db.execute("COMMIT")
                told(frontier.size)
        finally:
            db.close()
        _sync(self._path)

    def _rows(
        self, frontier: merkle.Frontier, count: int
    ) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]], list[tuple[object, ...]], str]:
        """The rows of so many entries, as the writer would write them, and the newest `at`."""
        entries: list[tuple[object, ...]] = []
        payloads: list[tuple[object, ...]] = []
        nodes: list[tuple[object, ...]] = []
        members = self._random.choices(self._people, k=count)
        chance, digest, at, stamp = os.urandom(26 * count), _DIGEST, "", ""
        for number, (member, template) in enumerate(members):
            if number % _TOGETHER == 0:
                nanoseconds = time.time_ns()
                at, stamp = instants.now_from(nanoseconds), f"{nanoseconds // 1_000_000:012x}"
            salt, drawn = chance[26 * number : 26 * number + 16], chance[26 * number + 16 : 26 * number + 26].hex()
            entry_id = f"{stamp[:8]}-{stamp[8:]}-7{drawn[:3]}-8{drawn[3:6]}-{drawn[6:18]}"
            payload = template % (at.encode(), digest.encode())
            header = (
                f'{{"at":"{at}","commitment":"{entry.commitment(salt, payload)}","id":"{entry_id}","kind":"decision",'
                f'"tag":"{entry.tag(member.key, entry_id)}","tenant":"{TENANT}","v":1}}'
            ).encode()
            leaf, index = merkle.leaf_hash(header), frontier.size
            digest = leaf.hex()
            entries.append((TENANT, index, entry_id, header, leaf))
            payloads.append((TENANT, index, salt, payload, member.person.type, member.person.id))
            nodes += [(TENANT, done.level, done.index, done.hash) for done in frontier.append(leaf)]
        return entries, payloads, nodes, at


def goes_on(path: Path, members: list[Member], count: int) -> None:
    """Let the real writer append to a log; raises what it refuses with."""
    ledger = SqliteLedger(path)
    try:
        futures = [ledger.submit(decision(member, ledger.now(TENANT))) for member in members[:count]]
        for future in futures:
            if future.result()[0].duplicate:
                raise LedgerError("a new entry is in the log already")
    finally:
        ledger.close()


def _template(member: Member) -> bytes:
    """The canonical payload of a decision with two holes: its instant, and the digest of its request."""
    now, digest = builders.START, _DIGEST
    data = canonical.encode(_leased(member)).replace(b"%", b"%%")
    return data.replace(now.encode(), b"%b").replace(digest.encode(), b"%b")


def _leased(member: Member) -> dict[str, JSON]:
    """A decision of a leased one's size: the least that `verify` takes for a whole one, and who asked what."""
    return {
        "caller": _GATEWAY,
        "input": {"now": builders.START},
        "reads": [list(member.read)],
        "request_digest": _DIGEST,
        "revision": builders.REVISION,
    }


def _decided(member: Member, now: str) -> dict[str, JSON]:
    evidence = "01936d2e-7c1f-7a01-9f3e-5d0c8a7b1e44"
    person, action = member.person, "data-export"
    held: JSON = {
        "proficient": {
            "issued_at": "2026-02-28T10:00:00.000Z",
            "expires_at": "2027-06-30T00:00:00.000Z",
            "evidence": evidence,
            "parts": {"secure-data-export": "2.0.0", "export-scenario": "2.0.0"},
        }
    }
    subject: JSON = {"type": person.type, "id": person.id, "known": True, "ref": member.ref, "active": True}
    facts: JSON = {
        "modules": {},
        "scopes": {action: {"standing": "good", "tiers": held}},
        "waivers": {},
        "approvals": {},
        "change_windows": {},
        "request_digest": _DIGEST,
        "request": {"cited": False},
    }
    return {
        "input": {
            "subject": subject,
            "action": {"name": action},
            "resource": {"type": "dataset", "id": "customers", "properties": {"customer": "acme"}},
            "context": {"destination": "warehouse://analytics", "ticket": "REQ-1234", "columns": ["customer_id"]},
            "facts": facts,
            "now": now,
        },
        "reads": [list(member.read)],
        "revision": builders.REVISION,
        "entrypoint": "muster/gate/decision",
        "strict": True,
        "opa": {"version": "1.10.1", "sha256": "e" * 64},
        "capabilities": "c" * 64,
        "reducer": 2,
        "result": {
            "allow": True,
            "denials": [],
            "evidence": [evidence],
            "gate": action,
            "mode": "enforce",
            "obligations": [{"id": "RB-EXPORT-RECALL", "type": "runbook"}],
            "policy_id": "POL-DA-003",
            "runbook_id": "RB-EXPORT-RECALL",
            "valid_until": "2027-02-28T10:00:00.000Z",
            "verdict": "allow",
        },
        "caller": _GATEWAY,
        "request_id": "01936d2e-7c1f-7a01-9f3e-5d0c8a7b1e45",
        "dropped": [],
        "mode": "enforce",
        "evidence": [evidence],
        "evaluator": "own",
        "undecided": None,
    }


def _sync(path: Path) -> None:
    """Make what was written without syncs durable, so that nobody who is measured later pays for it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
