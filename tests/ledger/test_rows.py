"""Statements of many rows write and find what statements of one row would."""

from __future__ import annotations

import os
import threading

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import chance, entry, merkle
from ledger.sqlite import rows, schema

_COUNTS = [0, 1, 2, 4, 5, 16, 17, 63, 64, 65, 255, 256, 257, 600]
_NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), unique=True, max_size=20)


def _tables() -> apsw.Connection:
    db = apsw.Connection(":memory:")
    db.execute(schema.tables())
    return db


@pytest.mark.parametrize("count", _COUNTS)
def test_as_many_rows_are_written_as_were_added(count: int) -> None:
    """In their order, none of what fills a statement up, and nulls where they belong."""
    db = _tables()
    payloads = rows.Table("payloads", "tenant", "idx", "salt", "payload", "about_type", "about_id")
    added = [("t", number, b"s", b"p", None, None if number % 2 else "x") for number in range(count)]
    payloads.write(db, [value for row in added for value in row])
    statement = "SELECT tenant, idx, salt, payload, about_type, about_id FROM payloads ORDER BY rowid"
    assert db.execute(statement).fetchall() == added


@pytest.mark.parametrize("count", _COUNTS)
def test_those_that_are_there_are_found(count: int) -> None:
    """Of any number of objects and people, every second one exists."""
    db, names = _tables(), [f"n{number}" for number in range(count)]
    for number, name in enumerate(names[::2]):
        db.execute("INSERT INTO objects VALUES ('t', ?, ?, x'00')", (name, number))
        db.execute("INSERT INTO people VALUES ('t', 'user', ?, ?, x'00ff')", (name, f"ref {number}"))
    assert rows.versions(db, "t", names) == {name: number for number, name in enumerate(names[::2])}
    assert rows.people(db, "t", "user", names) == {
        name: (f"ref {number}", b"\x00\xff") for number, name in enumerate(names[::2])
    }
    assert rows.people(db, "t", "system", names) == {}


@given(names=_NAMES)
def test_any_name_is_found_again(names: list[str]) -> None:
    """Whatever is in a name (nulls, quotes, signs beyond the BMP) comes back as it was."""
    db = _tables()
    for number, name in enumerate(names):
        db.execute("INSERT INTO objects VALUES ('t', ?, ?, x'00')", (name, number))
        db.execute("INSERT INTO people VALUES ('t', 'user', ?, ?, x'00')", (name, str(number)))
    assert rows.versions(db, "t", names) == {name: number for number, name in enumerate(names)}
    assert rows.people(db, "t", "user", names) == {name: (str(number), b"\0") for number, name in enumerate(names)}


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 70), max_size=8))
def test_a_frontier_takes_leaves_together_as_one_by_one(sizes: list[int]) -> None:
    """The same roots, frontier and completed subtrees, however the leaves are cut."""
    single, together = merkle.Frontier(), merkle.Frontier()
    number = 0
    for size in sizes:
        leaves = [merkle.leaf_hash((number + offset).to_bytes(4)) for offset in range(size)]
        number += size
        expected = [done for leaf in leaves for done in single.append(leaf)]
        completed = together.extend(leaves)
        assert sorted(completed, key=lambda done: (done.level, done.index)) == completed
        assert {(done.level, done.index, done.hash) for done in completed} == {
            (done.level, done.index, done.hash) for done in expected
        }
        assert (together.size, together.to_bytes(), together.root()) == (single.size, single.to_bytes(), single.root())


@given(
    tenant=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True),
    kind=st.sampled_from(["decision", "clock.adjusted", "log.key"]),
    tag=st.none() | st.binary(min_size=16, max_size=16).map(bytes.hex),
    commitment=st.binary(min_size=32, max_size=32).map(bytes.hex),
)
def test_a_header_written_quickly_is_canonical(tenant: str, kind: str, tag: str | None, commitment: str) -> None:
    """For every value that an append may have, its bytes are those of the encoder, and are read back."""
    entry_id, at = "01a20880-0000-7000-8000-000000000000", "2026-11-23T12:00:00.000Z"
    header = entry.Header(id=entry_id, at=at, kind=kind, tenant=tenant, tag=tag, commitment=commitment)
    quick = entry.header_bytes(id_text=entry_id, at=at, kind=kind, tenant=tenant, tag=tag, commitment=commitment)
    assert quick == header.to_bytes()
    assert entry.parse_header(quick) == header


def test_no_two_get_the_same_chance() -> None:
    """Threads that draw at once, and a process that is forked in between, share no piece."""
    drawn: list[bytes] = [chance.sixteen()]

    def draw() -> None:
        drawn.extend([chance.sixteen() for _ in range(2_000)])

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(drawn)) == len(drawn) == 8_001
    assert {len(piece) for piece in drawn} == {16}
    chance.sixteen()
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writable, b"".join(chance.sixteen() for _ in range(50)))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(readable, 800)
    os.close(readable)
    os.close(writable)
    assert len(theirs) == 800
    ours = {chance.sixteen() for _ in range(256)}
    assert not ours & {theirs[start : start + 16] for start in range(0, 800, 16)}
