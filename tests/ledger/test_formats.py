"""A ledger's file of another format: a newer one is refused, an older one is read, and brought up by who writes."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from ledger import errors
from ledger.sqlite import SqliteLedger, SqliteReader, schema
from ledger.verify import verify
from tests.ledger.builders import TENANT, activation, draft, one, window


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """Neither side opens it, and the sentence names both versions."""
    path = tmp_path / "ledger.db"
    SqliteLedger(path).close()
    db = apsw.Connection(str(path))
    db.execute(f"PRAGMA user_version = {schema.FORMAT + 1}")
    db.close()
    with pytest.raises(errors.FormatTooNew, match=rf"format {schema.FORMAT + 1}.*up to {schema.FORMAT}"):
        SqliteLedger(path)
    with pytest.raises(errors.FormatTooNew):
        SqliteReader(path)


def test_the_first_format_is_brought_up(tmp_path: Path) -> None:
    """A database of format 1 gets the tree's nodes from its leaves; a reader alone says so."""
    path = _of_format_2(tmp_path)
    before = SqliteReader(path).hashes(TENANT, 1, 0, 9)
    assert len(before) == 9
    db = apsw.Connection(str(path))
    for table in ("nodes", "checkpoints", "cosignatures"):
        db.execute(f"DROP TABLE {table}")
    db.execute("PRAGMA user_version = 1")
    db.close()
    with pytest.raises(errors.NotReady, match="format 1"):
        SqliteReader(path)
    SqliteLedger(path).close()
    assert SqliteReader(path).hashes(TENANT, 1, 0, 9) == before
    assert SqliteReader(path).faults(whole=True) == (True, [])
    assert _sizes_of(path) == 301


def test_the_second_format_is_read_and_brought_up(tmp_path: Path) -> None:
    """States move to a table with row IDs, whole or not at all; whoever only reads takes them from where they are."""
    path = _of_format_2(tmp_path)
    before = _states(path)
    assert len(before) == 300
    assert SqliteReader(path).faults(whole=True) == (True, [])
    assert _sizes_of(path) == 301

    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE objects_before (it)")  # in the way
    db.close()
    with pytest.raises(errors.NotReady, match="objects_before"):
        SqliteLedger(path)
    db = apsw.Connection(str(path))
    assert db.pragma("user_version") == 2
    db.execute("DROP TABLE objects_before")
    db.close()
    assert _states(path) == before

    SqliteLedger(path).close()
    db = apsw.Connection(str(path))
    assert schema.definitions(db) == schema.ours()
    db.close()
    assert _states(path) == before
    assert _sizes_of(path) == 301


def test_what_is_brought_up_while_it_is_looked_at_is_told_by_one_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that has begun to look at format 2 sees no definition of it as a fault of format 3."""
    path = _of_format_2(tmp_path)
    reader, definitions = SqliteReader(path), schema.definitions

    def meanwhile(db: apsw.Connection) -> set[schema.Definition]:
        found = definitions(db)
        monkeypatch.setattr(schema, "definitions", definitions)
        writer = apsw.Connection(str(path))
        writer.execute("PRAGMA user_version = 3")
        writer.close()
        return found

    monkeypatch.setattr(schema, "definitions", meanwhile)
    assert reader.faults(whole=False) == (True, [])
    reader.close()


def test_what_became_a_newer_format_since_it_was_opened_is_refused(tmp_path: Path) -> None:
    """By the sentence that whoever opens it is told."""
    path = tmp_path / "ledger.db"
    SqliteLedger(path).close()
    reader, db = SqliteReader(path), apsw.Connection(str(path))
    db.execute(f"PRAGMA user_version = {schema.FORMAT + 1}")
    db.close()
    with pytest.raises(errors.FormatTooNew, match=rf"format {schema.FORMAT + 1}.*up to {schema.FORMAT}"):
        reader.faults(whole=False)
    reader.close()


def _states(path: Path) -> list[tuple[object, ...]]:
    db = schema.open_reader(path)
    found = db.execute("SELECT tenant, name, version, state FROM objects ORDER BY tenant, name").fetchall()
    db.close()
    return found


def _of_format_2(folder: Path) -> Path:
    """A ledger of 301 entries and 300 states, as Muster wrote it before format 3."""
    path = folder / "ledger.db"
    made = apsw.Connection(str(path))
    made.execute(schema.tables(2))
    made.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    made.execute("PRAGMA user_version = 2")
    made.execute("PRAGMA journal_mode = WAL")
    made.close()
    of_now = SqliteLedger(folder / "of-now.db")
    of_now.submit(one(activation())).result(timeout=20)
    for _ in range(3):
        of_now.submit(one(*[draft("change_window", window()) for _ in range(100)])).result(timeout=20)
    of_now.close()
    db = apsw.Connection(str(path))
    db.execute("ATTACH ? AS now", (str(folder / "of-now.db"),))
    for (table,) in db.execute("SELECT name FROM now.sqlite_schema WHERE type = 'table'").fetchall():
        db.execute(f"INSERT INTO main.{table} SELECT * FROM now.{table}")  # noqa: S608  our own tables
    db.close()
    return path


def _sizes_of(path: Path) -> int:
    report = verify(path, TENANT)
    assert report.ok, report.findings[:3]
    return report.size
