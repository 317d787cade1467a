"""The verifier names what was changed, at the entry where it was changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw
import orjson
import pytest

from ledger import canonical, entry, errors, merkle
from ledger.canonical import JSON
from ledger.ids import uuid7
from ledger.model import unknown_object
from ledger.sqlite import SqliteLedger, SqliteReader, schema
from ledger.verify import Report, verify
from tests.ledger.builders import (
    ANN,
    BOB,
    REVISION,
    TENANT,
    FakeClock,
    Store,
    activation,
    certification,
    decision,
    draft,
    joins,
    key_of,
    name_of,
    one,
    result,
)

# The log that every test here starts from: index -> what it is.
_ANN, _UNKNOWN, _RESULT, _CERTIFICATION, _APPROVAL, _DECISION, _SECOND, _LATER, _SIZE = 1, 2, 3, 4, 5, 6, 7, 8, 9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed ledger with an entry of every kind that the verifier looks into."""
    clock = FakeClock()
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path, clock=clock)
    store = Store(ledger, ledger.reader(), clock, lambda: (ledger, ledger.reader()))
    store.begin()
    store.append(joins(ANN, {"active": True}))
    now = store.ledger.now(TENANT)
    store.append(decision(BOB, now=now, reads=((unknown_object(BOB), -1),)))
    clock.run(1)
    passed = result(ANN)
    passed.payload["idempotency"] = {"key": "1" * 64, "request": "2" * 64}  # type: ignore[index]
    now = store.ledger.now(TENANT)
    store.append(one(passed, certification(ANN, of=passed, reads=[[name_of(ANN), 1]], now=now)))
    approval: dict[str, JSON] = {"ref": "0" * 32, "request_digest": "d" * 64, "expires_at": now}
    store.append(one(draft("approval", approval, about=ANN)))
    clock.run(1)
    store.append(decision(ANN, now=store.ledger.now(TENANT), reads=((name_of(ANN), 4),)))
    store.append(one(activation("b" * 64)))
    store.append(decision(ANN, now=store.ledger.now(TENANT), revision="b" * 64))
    store.close()
    assert verify(path, TENANT).ok
    return path


def _change(path: Path, statement: str, *bindings: str | int | bytes | None) -> None:
    db = apsw.Connection(str(path))
    db.execute(statement, bindings)
    assert db.changes() >= 1
    db.close()


def _found(report: Report) -> set[tuple[int | None, str]]:
    return {(finding.index, finding.check) for finding in report.findings}


def _flip(path: Path, table: str, column: str, index: int, byte: int) -> None:
    db = apsw.Connection(str(path))
    data = bytearray(db.execute(f"SELECT {column} FROM {table} WHERE idx = ?", (index,)).get)  # noqa: S608
    data[byte] ^= 1
    db.execute(f"UPDATE {table} SET {column} = ? WHERE idx = ?", (bytes(data), index))  # noqa: S608
    db.close()


def _rewrite(path: Path, index: int, change: Callable[[dict[str, JSON], dict[str, JSON]], None]) -> None:
    """Change payload and header as an operator would who knows the format, and everything that follows."""
    db = apsw.Connection(str(path))
    header, salt, payload = db.execute(
        "SELECT header, salt, payload FROM entries JOIN payloads USING (tenant, idx) WHERE idx = ?", (index,)
    ).get
    fields, value = orjson.loads(header), orjson.loads(payload)
    change(fields, value)
    payload = canonical.encode(value)
    fields["commitment"] = entry.commitment(salt, payload)
    header = canonical.encode(fields)
    db.execute("UPDATE payloads SET payload = ? WHERE idx = ?", (payload, index))
    db.execute("UPDATE entries SET header = ?, leaf = ? WHERE idx = ?", (header, merkle.leaf_hash(header), index))
    frontier = merkle.Frontier()
    for (leaf,) in db.execute("SELECT leaf FROM entries ORDER BY idx"):
        assert isinstance(leaf, bytes)
        frontier.append(leaf)
    db.execute("UPDATE heads SET frontier = ?", (frontier.to_bytes(),))
    db.close()


@pytest.mark.parametrize("index", range(_SIZE))
@pytest.mark.parametrize("byte", [0, 5, 20, 50, 120, 200, -2])
def test_a_changed_byte_of_a_header_is_named(path: Path, index: int, byte: int) -> None:
    """Wherever the byte is, the entry is named, it comes first, and the root is wrong."""
    _flip(path, "entries", "header", index, byte)
    report = verify(path, TENANT)
    assert {(index, "leaf"), (None, "root")} <= _found(report)
    assert report.findings[0].index == index


@pytest.mark.parametrize("index", range(_SIZE))
@pytest.mark.parametrize(("column", "byte"), [("salt", 0), ("payload", 2), ("payload", -1), ("payload", 60)])
def test_a_changed_byte_of_a_payload_or_salt_is_named(path: Path, index: int, column: str, byte: int) -> None:
    """The commitment does not open any more."""
    if index in (0, _SECOND) and byte == 60:
        byte = 10
    _flip(path, "payloads", column, index, byte)
    report = verify(path, TENANT)
    assert (index, "commitment") in _found(report)
    assert report.findings[0].index == index


@pytest.mark.parametrize(
    ("statement", "bindings", "expected"),
    [
        ("UPDATE entries SET leaf = zeroblob(32) WHERE idx = ?", (4,), (4, "leaf")),
        ("UPDATE entries SET id = ? WHERE idx = 4", (uuid7(),), (4, "header")),
        ("DELETE FROM entries WHERE idx = 4", (), (4, "index")),
        ("DELETE FROM entries WHERE idx = 8", (), (8, "index")),
        ("DELETE FROM payloads WHERE idx = 4", (), (4, "commitment")),
        ("UPDATE payloads SET salt = x'00' WHERE idx = 4", (), (4, "commitment")),
        ("UPDATE payloads SET about_id = 'eve' WHERE idx = 4", (), (4, "about")),
        ("UPDATE payloads SET about_type = NULL, about_id = NULL WHERE idx = 4", (), (4, "tag")),
        ("UPDATE people SET k = zeroblob(32)", (), (1, "key")),
        ("UPDATE people SET ref = '0'", (), (1, "people")),
        ("UPDATE people SET id = 'eve'", (), (1, "people")),
        ("INSERT INTO people VALUES ('default', 'user', 'x', 'x', x'00')", (), (None, "people")),
        ("UPDATE objects SET state = '{}' WHERE name >= ?", ("person",), (4, "objects")),
        ("UPDATE objects SET version = 3 WHERE name >= ?", ("person",), (4, "objects")),
        ("DELETE FROM objects WHERE name >= ?", ("person",), (4, "objects")),
        ("DELETE FROM objects WHERE name < ?", ("person",), (5, "objects")),
        ("INSERT INTO objects VALUES ('default', 'token/x', 1, '{}')", (), (None, "objects")),
        ("UPDATE idempotency SET request = ?", ("0" * 64,), (3, "idempotency")),
        ("UPDATE idempotency SET entry_id = ?", (uuid7(),), (None, "idempotency")),
        ("DELETE FROM idempotency", (), (3, "idempotency")),
        ("UPDATE heads SET size = 8", (), (8, "index")),
        ("UPDATE heads SET size = ?", (2**50,), (9, "index")),
        ("UPDATE heads SET frontier = x'00'", (), (None, "head")),
        ("UPDATE heads SET newest_at = '2026-11-23T12:00:00.000Z'", (), (None, "head")),
        ("UPDATE heads SET active_revision = ?", (REVISION,), (None, "head")),
        ("DELETE FROM heads", (), (None, "head")),
    ],
)
def test_a_changed_row_is_named(
    path: Path, statement: str, bindings: tuple[str | int, ...], expected: tuple[int | None, str]
) -> None:
    """Log, people, projection and head: each row has something that it must agree with."""
    if "state = '{}'" in statement or "'{}')" in statement:
        statement = statement.replace("'{}'", "CAST('{}' AS BLOB)")
    _change(path, statement, *bindings)
    assert expected in _found(verify(path, TENANT))


def test_a_salt_of_another_length_is_named(path: Path) -> None:
    """Moving a byte from payload to salt leaves the hash as it was, and is found all the same."""
    _change(
        path,
        "UPDATE payloads SET salt = CAST(salt || substr(payload, 1, 1) AS BLOB), payload = substr(payload, 2)"
        " WHERE idx = ?",
        _DECISION,
    )
    assert (_DECISION, "commitment") in _found(verify(path, TENANT))


def test_every_wrong_entry_is_named(path: Path) -> None:
    """Not the first one only, and in the order of the log."""
    for index in (_DECISION, _UNKNOWN):
        _flip(path, "payloads", "payload", index, 5)
    indexes = [finding.index for finding in verify(path, TENANT).findings if finding.check == "commitment"]
    assert indexes == [_UNKNOWN, _DECISION]


@pytest.mark.parametrize(
    ("index", "field", "value", "check"),
    [
        (_DECISION, "reads", [[name_of(ANN), 3]], "reads"),
        (_DECISION, "reads", [[name_of(BOB), 2]], "reads"),
        (_DECISION, "reads", [[unknown_object(ANN), -1]], "reads"),
        (_DECISION, "reads", "none", "reads"),
        (_DECISION, "revision", "b" * 64, "revision"),
        (_DECISION, "input", {"now": "2026-11-23T11:59:59.999Z"}, "now"),
        (_DECISION, "input", {"now": "2026-11-23T12:00:02.001Z"}, "now"),
        (_DECISION, "input", {}, "now"),
        (_DECISION, "input", {"subject": {"type": "user", "id": "bob"}}, "about"),
        (_LATER, "revision", REVISION, "revision"),
        (_CERTIFICATION, "reads", [[name_of(ANN), 3]], "reads"),
        (_CERTIFICATION, "for", "0194fdc2-fa2f-7cc0-81d3-ff12045b73c8", "for"),
        (_CERTIFICATION, "revision", "b" * 64, "revision"),
        (_CERTIFICATION, "expires_at", None, "reduction"),
        (_RESULT, "idempotency", {"key": "3" * 64, "request": "2" * 64}, "idempotency"),
        (_DECISION, "reads", [[name_of(ANN), _APPROVAL]], "reads"),
    ],
)
def test_an_invented_record_is_named(path: Path, index: int, field: str, value: JSON, check: str) -> None:
    """Also where payload, header, leaves and head were made to agree."""
    _rewrite(path, index, lambda _header, payload: payload.update({field: value}))
    assert (index, check) in _found(verify(path, TENANT))


@pytest.mark.parametrize(
    ("index", "field", "value", "named", "check"),
    [
        (_UNKNOWN, "at", "2026-11-23T12:00:01.500Z", _RESULT, "at"),
        (_SECOND, "at", "2026-11-23T12:00:01.500Z", _SECOND, "at"),
        (_DECISION, "tag", "0" * 32, _DECISION, "tag"),
        (_UNKNOWN, "tag", entry.tag(key_of(ANN), "x"), _UNKNOWN, "tag"),
        (_DECISION, "tag", None, _DECISION, "tag"),
        (_DECISION, "kind", "gossip", _DECISION, "header"),
        (_DECISION, "v", 2, _DECISION, "header"),
        (_DECISION, "tenant", "other", _DECISION, "header"),
    ],
)
def test_an_invented_header_is_named(path: Path, index: int, field: str, value: JSON, named: int, check: str) -> None:
    """Also where leaves and head were made to agree."""
    _rewrite(path, index, lambda header, _payload: header.update({field: value}))
    assert (named, check) in _found(verify(path, TENANT))


@pytest.mark.parametrize("hidden", [None, _DECISION, _SECOND])
def test_two_entries_of_one_id_are_named(path: Path, hidden: int | None) -> None:
    """Beside a service, too, where SQLite is not asked whether its index is sound; whether it leads to one or both."""
    [sql] = [sql for _, name, _, sql in schema.ours() if name == "entries_id"]
    reader = SqliteReader(path)
    entry_id = reader.rows(TENANT, _DECISION, _SECOND)[0][1]
    reader.close()
    _rewrite(path, _SECOND, lambda header, _: header.update(id=entry_id))
    db = apsw.Connection(str(path))
    only = "" if hidden is None else f" WHERE idx <> {hidden}"
    db.execute("DROP INDEX entries_id")
    db.execute("UPDATE entries SET id = ? WHERE idx = ?", (entry_id, _SECOND))
    db.execute(sql.replace("UNIQUE ", "") + only)
    db.execute("PRAGMA writable_schema = ON")
    db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'entries_id'", (sql,))
    db.close()
    assert _found(verify(path, TENANT)) & {(_DECISION, "id"), (_SECOND, "id")}


def test_at_may_decrease_at_a_clock_adjustment_only(path: Path) -> None:
    """The same decrease is a finding once the entry is called something else."""
    clock = FakeClock()
    clock.set_by(-3600)
    ledger = SqliteLedger(path, clock=clock)
    adjusted = draft("clock.adjusted", {"reason": "x", "by": [], "from": "", "to": ""})
    ledger.submit(one(adjusted)).result(timeout=20)
    ledger.close()
    assert verify(path, TENANT).ok
    _rewrite(path, _SIZE, lambda header, _payload: header.update({"kind": "change_window"}))
    assert (_SIZE, "at") in _found(verify(path, TENANT))


def test_a_damaged_file_is_a_finding_or_a_sentence(path: Path) -> None:
    """Bytes that SQLite itself cannot read end in a finding `storage`, or in NotReady."""
    data = bytearray(path.read_bytes())
    for start in range(4096, len(data), 4096):
        data[start : start + 16] = bytes(16)
    path.write_bytes(data)
    try:
        report = verify(path, TENANT)
    except errors.NotReady:
        return
    assert not report.ok


def test_verifying_beside_a_live_writer_finds_nothing(tmp_path: Path) -> None:
    """While entries come in, the projection moves and the log grows, the report is clean."""
    ledger = SqliteLedger(tmp_path / "ledger.db")
    reader = SqliteReader(tmp_path / "ledger.db")
    ledger.submit(one(activation())).result(timeout=20)
    ledger.submit(joins(ANN)).result(timeout=20)
    sizes = []
    for _ in range(5):
        futures = [ledger.submit(one(result(ANN), draft("approval", _approval()))) for _ in range(300)]
        report = verify(reader, TENANT)
        assert report.ok, report.findings[:3]
        sizes.append(report.size)
        for future in futures:
            future.result(timeout=20)
    assert sizes[-1] > sizes[0]
    reader.close()
    ledger.close()


def _approval() -> dict[str, JSON]:
    return {"ref": "0" * 32, "request_digest": "d" * 64, "expires_at": "2026-11-23T12:00:00.000Z"}
