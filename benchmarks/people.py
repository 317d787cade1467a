"""Many people in the ledger of a home, fast: two real ones, one trained and one not, are written again under new names.

The rows are those that the writer would write, without its checks and syncs; `verify` takes them (the tests see to it).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import apsw
import orjson

from benchmarks.logs import Member
from ledger import canonical, entry, instants, merkle
from ledger.model import Entry, Person
from ledger.sqlite import SqliteReader, schema

TENANT: Final = "default"
_TOGETHER: Final = 2_000
"""People a transaction; their entries have one `at`."""

_ENTRY: Final = "INSERT INTO entries (tenant, idx, id, header, leaf) VALUES (?, ?, ?, ?, ?)"
_PAYLOAD: Final = "INSERT INTO payloads (tenant, idx, salt, payload, about_type, about_id) VALUES (?, ?, ?, ?, ?, ?)"
_PERSON: Final = "INSERT INTO people (tenant, type, id, ref, k) VALUES (?, ?, ?, ?, ?)"
_OBJECT: Final = "INSERT INTO objects (tenant, name, version, state) VALUES (?, ?, ?, ?)"
_HEAD: Final = "UPDATE heads SET size = ?, frontier = ?, newest_at = ? WHERE tenant = ?"


@dataclass(frozen=True, slots=True)
class Template:
    """A person's entries and state with holes: `id`, `ref`, `commitment`, `now`, `e0`, `i0`, ... (IDs, indices)."""

    entries: tuple[tuple[str, bytes], ...]
    state: bytes


def template(home: Path, user: str) -> Template:
    """What the ledger of a home that is not in use holds about a person, decisions left out."""
    reader = SqliteReader(home / "ledger.db")
    try:
        person = Person("user", user)
        ref = reader.person(TENANT, person)
        assert ref is not None
        about = [
            found
            for found in reader.entries(TENANT, 0, reader.head(TENANT).size)
            if found.about == person and found.kind != "decision"
        ]
        _, state = reader.objects(TENANT, [f"person/{ref}"])[f"person/{ref}"]
    finally:
        reader.close()
    holes = _holes(user, ref, about)
    return Template(
        tuple((found.kind, _with_holes(_without_key(found), holes)) for found in about),
        _with_holes(canonical.encode(state), holes),
    )


def _holes(user: str, ref: str, about: list[Entry]) -> list[tuple[str, str]]:
    """What is replaced by which hole; longer texts first, where one holds the other."""
    indices = [(f'person/{ref}",{found.index}]', f'person/%(ref)b",%(i{n})b]') for n, found in enumerate(about)]
    return [
        *indices,
        *((found.id, f"%(e{n})b") for n, found in enumerate(about)),
        *((str(now), "%(now)b") for found in about if (now := _now(found)) is not None),
        (str(about[0].value["key_commitment"]), "%(commitment)b"),
        (ref, "%(ref)b"),
        (f'"{user}"', '"%(id)b"'),
    ]


def _now(found: Entry) -> str | None:
    question = found.value.get("input")
    return str(question["now"]) if isinstance(question, dict) else None


def _without_key(found: Entry) -> bytes:
    """A payload without its idempotency key, which is one person's alone."""
    return canonical.encode({key: value for key, value in found.value.items() if key != "idempotency"})


def _with_holes(data: bytes, holes: list[tuple[str, str]]) -> bytes:
    data = data.replace(b"%", b"%%")
    for text, hole in holes:
        data = data.replace(text.encode(), hole.encode())
    return data


def add(
    home: Path,
    names: list[str],
    template_of: Callable[[int], Template],
    told: Callable[[int], None] = lambda _: None,
) -> list[Member]:
    """Add people to the ledger of a home that is not in use, the n-th by the template of n; syncs it once, at the end.

    Answers all of them where there are at most 100,000, the first 100,000 else.
    """
    members: list[Member] = []
    db = schema.open_writer(home / "ledger.db", synchronous="OFF", create=False)
    try:
        db.pragma("cache_size", -(512 << 10))
        data = cast(bytes, db.execute("SELECT frontier FROM heads WHERE tenant = ?", (TENANT,)).get)
        frontier = merkle.Frontier.from_bytes(data)
        told(0)
        for start in range(0, len(names), _TOGETHER):
            some = range(start, min(start + _TOGETHER, len(names)))
            _commit(db, frontier, [(names[n], template_of(n)) for n in some], members)
            told(some.stop)
    finally:
        db.close()
    descriptor = os.open(home / "ledger.db", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return members


def _commit(
    db: apsw.Connection, frontier: merkle.Frontier, people: list[tuple[str, Template]], members: list[Member]
) -> None:
    at = instants.now_from(time.time_ns())
    entries: list[tuple[object, ...]] = []
    payloads: list[tuple[object, ...]] = []
    nodes: list[tuple[object, ...]] = []
    known: list[tuple[object, ...]] = []
    objects: list[tuple[str, str, int, bytes]] = []
    for name, kind in people:
        ref, key = os.urandom(16).hex(), os.urandom(32)
        ids = list(_ids(len(kind.entries)))
        filled: dict[bytes, bytes] = {
            b"id": name.encode(),
            b"ref": ref.encode(),
            b"now": at.encode(),
            b"commitment": entry.key_commitment(key).encode(),
        }
        for number, entry_id in enumerate(ids):
            filled[f"e{number}".encode()] = entry_id.encode()
            filled[f"i{number}".encode()] = b"%d" % (frontier.size + number)
        for entry_id, (what, holes) in zip(ids, kind.entries, strict=True):
            payload, salt = holes % filled, os.urandom(entry.SALT_BYTES)
            header = entry.Header(
                id=entry_id,
                at=at,
                kind=what,
                tenant=TENANT,
                tag=entry.tag(key, entry_id),
                commitment=entry.commitment(salt, payload),
            ).to_bytes()
            leaf, index = merkle.leaf_hash(header), frontier.size
            entries.append((TENANT, index, entry_id, header, leaf))
            payloads.append((TENANT, index, salt, payload, "user", name))
            nodes += [(TENANT, done.level, done.index, done.hash) for done in frontier.append(leaf)]
        known.append((TENANT, "user", name, ref, key))
        objects.append((TENANT, f"person/{ref}", frontier.size - 1, kind.state % filled))
        if len(members) < 100_000:
            members.append(Member(Person("user", name), ref, key, frontier.size - 1))
    db.execute("BEGIN")
    db.executemany(_ENTRY, entries)
    db.executemany(_PAYLOAD, payloads)
    db.executemany(schema.ADD_NODE, nodes)
    db.executemany(_PERSON, known)
    db.executemany(_OBJECT, sorted(objects))
    db.execute(_HEAD, (frontier.size, frontier.to_bytes(), at, TENANT))
    db.execute("COMMIT")


def _ids(count: int) -> Iterator[str]:
    """UUIDv7s of now."""
    stamp = f"{time.time_ns() // 1_000_000:012x}"
    for _ in range(count):
        drawn = os.urandom(10).hex()
        yield f"{stamp[:8]}-{stamp[8:]}-7{drawn[:3]}-8{drawn[3:6]}-{drawn[6:18]}"


def recorded_inputs(home: Path, since: int) -> dict[str, tuple[bytes, bool]]:
    """The canonical input of each person's recorded decision from an index on, and whether it was an allow."""
    found: dict[str, tuple[bytes, bool]] = {}
    reader = SqliteReader(home / "ledger.db")
    try:
        size = reader.head(TENANT).size
        for start in range(since, size, _TOGETHER):
            for each in reader.entries(TENANT, start, min(start + _TOGETHER, size)):
                if each.kind == "decision" and each.payload is not None:
                    value = orjson.loads(each.payload)
                    if isinstance(value.get("result"), dict):
                        asked = value["input"]
                        found[asked["subject"]["id"]] = canonical.encode(asked), value["result"]["allow"]
    finally:
        reader.close()
    return found
