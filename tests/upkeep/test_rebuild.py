"""Every projection made again from entries: what differs is named row by row, and replaced only when told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from ledger import merkle
from ledger.rebuild import Rebuild, Report
from ledger.sqlite import SqliteLedger, SqliteReader
from ledger.sqlite.projection import Replace
from ledger.verifier.note import Checkpoint
from ledger.verify import verify
from tests.ledger.builders import (
    ANN,
    BOB,
    BY,
    TENANT,
    FakeClock,
    Store,
    draft,
    joins,
    name_of,
    one,
    ref_of,
    result,
    subject,
)
from tests.service.running import Service
from tests.upkeep.deciding import Deciding

_SIZE = 600
_NODES = sum(len(subtrees.append(b"")) for subtrees in [merkle.Frontier()] for _ in range(_SIZE))


def _approvals(store: Store, count: int) -> None:
    at = store.ledger.now(TENANT)
    for _ in range(count):
        payload = {"ref": ref_of(ANN), "request_digest": "d" * 64, "expires_at": at}
        store.append(one(draft("approval", dict(payload), about=ANN)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A log with all that a projection is made of."""
    clock = FakeClock()
    ledger = SqliteLedger(tmp_path / "ledger.db", clock=clock, synchronous="OFF")
    store = Store(ledger, ledger.reader(), clock, lambda: (ledger, ledger.reader()))
    store.begin()
    store.append(joins(ANN, {"active": True}))
    store.append(joins(BOB))
    passed = result(ANN)
    passed.payload["idempotency"] = {"key": "1" * 64, "request": "2" * 64}  # type: ignore[index]
    store.append(one(passed))
    store.append(one(result(BOB)))
    _approvals(store, _SIZE - store.reader.head(TENANT).size)
    yield store
    store.close()


def _execute(store: Store, statement: str, *bindings: str | int | bytes) -> None:
    db = apsw.Connection(str(store.reader._path))  # type: ignore[attr-defined]
    db.set_busy_timeout(5_000)
    db.execute(statement, bindings)
    assert db.changes() >= 1
    db.close()


class _Rebuilding:
    """A rebuild of a store's log."""

    def __init__(self, store: Store, folder: Path) -> None:
        folder.mkdir()
        self.store = store
        self.rebuild = Rebuild(store.reader._path, TENANT, folder)  # type: ignore[attr-defined]

    def __enter__(self) -> _Rebuilding:
        return self

    def __exit__(self, *_: object) -> None:
        self.rebuild.close()

    def run(self) -> Report:
        """Make and compare everything."""
        return self.rebuild.run()

    def found(self) -> list[str]:
        """What differs, in words."""
        return [str(difference) for difference in self.rebuild.differences()]

    def write(self) -> dict[str, Any]:
        """Replace what differs; answers how many rows the log says that it was."""

        def entry(rows: dict[str, int]) -> Any:
            from ledger.prepared import prepare

            return prepare(one(draft("rebuilt", {"rows": dict(rows), "reason": "test", "by": BY})))

        ledger = self.store.ledger
        assert isinstance(ledger, SqliteLedger)
        receipts = ledger.replace(Replace(self.rebuild.made, entry)).result(20)
        if not receipts:
            return {}
        entry_made = self.store.reader.entry(TENANT, receipts[0].id)
        assert entry_made is not None
        return dict(entry_made.value["rows"])  # type: ignore[arg-type]


def _mended(store: Store, tmp_path: Path) -> bool:
    with _Rebuilding(store, tmp_path / "again") as again:
        return again.run().equal and verify(store.reader, TENANT).ok


def test_a_whole_log_is_equal(store: Store, tmp_path: Path) -> None:
    """Every table is made again, as many rows as there are."""
    with _Rebuilding(store, tmp_path / "first") as making:
        report = making.run()
    assert report.equal
    assert report.rows == {
        "entries": _SIZE, "nodes": _NODES, "objects": 2 + _SIZE - 5, "idempotency": 1, "people": 2, "heads": 1,
    }  # fmt: skip


_PERSON, _APPROVAL = name_of(ANN), "approval/00000000-0000-7000-8000-000000000000"
DAMAGE = {
    "an object's state": (
        "UPDATE objects SET state = x'7b7d' WHERE name = ?",
        (_PERSON,),
        f"objects {_PERSON} is not as",
    ),
    "an object's version": ("UPDATE objects SET version = 3 WHERE name = ?", (name_of(BOB),), "is not as its entries"),
    "an object gone": ("DELETE FROM objects WHERE name = ?", (_PERSON,), f"objects {_PERSON} is not there"),
    "an object too many": (
        "INSERT INTO objects VALUES ('default', ?, 1, x'7b7d')",
        (_APPROVAL,),
        f"{_APPROVAL} has no",
    ),
    "a key's request": ("UPDATE idempotency SET request = ?", ("0" * 64,), f"idempotency {'1' * 64} is not as"),
    "a key's entry": ("UPDATE idempotency SET entry_id = ?", ("0" * 64,), f"idempotency {'1' * 64} is not as"),
    "a key gone": ("DELETE FROM idempotency", (), f"idempotency {'1' * 64} is not there"),
    "a key too many": ("INSERT INTO idempotency VALUES ('default', 'k', 'r', 'e')", (), "idempotency k has no entry"),
    "a node": (
        "UPDATE nodes SET hash = zeroblob(32) WHERE level = 1 AND idx = 1",
        (),
        "nodes 1 1 is not as its entries say",
    ),
    "a node gone": ("DELETE FROM nodes WHERE level = 1 AND idx = 0", (), "nodes 1 0 is not there"),
    "a node too many": ("INSERT INTO nodes VALUES ('default', 6, 0, zeroblob(32))", (), "nodes 6 0 has no entry"),
    "a leaf": ("UPDATE entries SET leaf = zeroblob(32) WHERE idx = 300", (), "leaf of entry 300 is not as"),
    "a person's ref": ("UPDATE people SET ref = ? WHERE id = 'ann'", ("0" * 32,), "people user ann is not as"),
    "the head's instant": ("UPDATE heads SET newest_at = '2026-11-23T11:00:00.000Z'", (), "head is not as"),
    "the head's revision": ("UPDATE heads SET active_revision = ?", ("c" * 64,), "head is not as"),
    "the head's size": ("UPDATE heads SET size = 7", (), "head is not as"),
    "the head's root": ("UPDATE heads SET frontier = zeroblob(40)", (), "head is not as"),
    "the head gone": ("DELETE FROM heads", (), "head is not there"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_each_kind_of_damage_is_named_and_mended(what: str, store: Store, tmp_path: Path) -> None:
    """One row in each table, changed, gone or too many: only that one is told of and replaced, and the log says so."""
    statement, bindings, words = DAMAGE[what]
    _execute(store, statement, *bindings)
    with _Rebuilding(store, tmp_path / "first") as making:
        report = making.run()
        assert (report.differing, report.wrong) == (1, ())
        [found] = making.found()
        assert words in found
        assert making.run().differing == 1, "nothing was replaced"
        rows = making.write()
    assert list(rows.values()) == [1]
    assert _mended(store, tmp_path)


@pytest.mark.parametrize("table", ["heads", "nodes", "objects", "idempotency"])
def test_a_table_that_was_emptied_is_made_again(table: str, store: Store, tmp_path: Path) -> None:
    """All of its rows come back."""
    _execute(store, f"DELETE FROM {table}")  # noqa: S608 - a constant
    with _Rebuilding(store, tmp_path / "first") as making:
        report = making.run()
        assert report.differing == report.rows[table]
        assert making.write() == {table: report.rows[table]}
    assert _mended(store, tmp_path)


def test_all_tables_emptied_are_made_again(store: Store, tmp_path: Path) -> None:
    """Entries, payloads and keys are enough."""
    for table in ("heads", "nodes", "objects", "idempotency"):
        _execute(store, f"DELETE FROM {table}")  # noqa: S608 - a constant
    with _Rebuilding(store, tmp_path / "first") as making:
        making.run()
        assert making.write().keys() == {"heads", "nodes", "objects", "idempotency"}
    assert _mended(store, tmp_path)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE payloads SET payload = x'7b7d' WHERE idx = 3", "entry 3: its payload is not the one"),
        ("DELETE FROM payloads WHERE idx = 3", "entry 3: its payload is not there, and no erasure lists it"),
        ("DELETE FROM entries WHERE idx = 9", "entry 9 is not there"),
        (
            "UPDATE entries SET header = CAST(replace(header, 'approval', 'activation') AS BLOB) WHERE idx = 9",
            "entry 9",
        ),
    ],
)
def test_a_log_that_is_not_whole_makes_nothing(statement: str, words: str, store: Store, tmp_path: Path) -> None:
    """What is made of damaged entries would put the damage into the projection."""
    _execute(store, statement)
    with _Rebuilding(store, tmp_path / "first") as making:
        report = making.run()
    assert words in report.wrong[0]


def test_a_changed_header_is_not_made_good(store: Store, tmp_path: Path) -> None:
    """Another header, in its form, for which nothing vouches: the leaf beside it is not replaced by its hash."""
    _execute(store, "UPDATE entries SET header = CAST(replace(header, '12:00', '11:00') AS BLOB) WHERE idx = 500")
    with _Rebuilding(store, tmp_path / "first") as making:
        assert "entry 500: its leaf is not its header's" in making.run().wrong[0]


def test_a_checkpoint_that_is_contradicted_stops_it(store: Store, tmp_path: Path) -> None:
    """Entries that are not those of a checkpoint, or fewer, make nothing."""
    for size, words in ((300, "the first 300 entries are not those"), (_SIZE + 1, "is behind a checkpoint of 601")):
        folder = tmp_path / str(size)
        folder.mkdir()
        rebuild = Rebuild(store.reader._path, TENANT, folder, [Checkpoint("x", size, b"0" * 32)])  # type: ignore[attr-defined]
        assert words in rebuild.run().wrong[0]
        rebuild.close()


def test_what_no_entry_holds_is_told_of_and_left(store: Store, tmp_path: Path) -> None:
    """A person's key cannot be made: a wrong one stays, while all else is mended."""
    _execute(store, "UPDATE people SET k = zeroblob(32) WHERE id = 'ann'")
    _execute(store, "DELETE FROM nodes")
    with _Rebuilding(store, tmp_path / "first") as making:
        making.run()
        assert making.write() == {"nodes": _NODES}
        assert "its key is in no entry" in making.found()[-1]


def test_entries_that_come_before_the_write_are_taken_in(store: Store, tmp_path: Path) -> None:
    """What is replaced is as it is at the moment of the writing, not as it was found."""
    _execute(store, "UPDATE objects SET state = x'7b7d' WHERE name = ?", name_of(BOB))
    with _Rebuilding(store, tmp_path / "first") as making:
        making.run()
        store.append(one(subject(BOB, {"team": "blue"}, first=False)))
        _approvals(store, 20)
        assert making.write() == {"objects": 1}
    assert _mended(store, tmp_path)


def test_erasure_is_made_again_too(store: Store, tmp_path: Path) -> None:
    """Before, during and after a rebuild: what is erased is in no projection."""
    from ledger.model import Append

    def erase(reader: SqliteReader) -> None:
        indices = reader.indices_about(TENANT, BOB)
        entry = draft("erasure", {"indices": list(indices), "reason": "test", "approved_by": [], "by": BY})
        store.append(Append(tenant=TENANT, drafts=(entry,), erases=BOB))

    assert isinstance(store.reader, SqliteReader)
    with _Rebuilding(store, tmp_path / "first") as making:
        making.rebuild.catch_up()
        erase(store.reader)
        assert making.run().equal
    assert _mended(store, tmp_path)
    store.append(joins(BOB))
    with _Rebuilding(store, tmp_path / "last") as making:
        assert making.run().equal


# Through a real service.


@pytest.fixture
def service(new_service: Callable[[], Service]) -> Iterator[Service]:
    """A service of its own, with a person who may export."""
    service = new_service().start()
    service.person("ann")
    service.train("ann")
    yield service
    service.stop()


def _damage(service: Service, statement: str) -> None:
    db = apsw.Connection(str(service.home / "ledger.db"))
    db.set_busy_timeout(5_000)
    db.execute(statement)
    assert db.changes() >= 1
    db.close()


def test_beside_a_service_that_decides(service: Service) -> None:
    """No decision waits for a rebuild; without --write nothing is replaced, with it the log says what and why."""
    with Deciding(service, "ann").throughout("rebuild"):
        assert "equal: " in service.muster("ledger", "rebuild").stdout
        _damage(service, "UPDATE objects SET state = x'7b7d' WHERE name LIKE 'token/%' AND version = 1")
        _damage(service, "INSERT INTO nodes VALUES ('default', 6, 0, zeroblob(32))")
        for _ in range(2):
            told = service.muster("ledger", "rebuild", want=1)
            assert "objects token/" in told.stderr
            assert "nodes 6 0 has no entry" in told.stderr
            assert "--write" in told.stdout
        done = service.muster("ledger", "rebuild", "--write", "--reason", "a bad disk")
        assert "replaced: 1 of nodes, 1 of objects" in done.stdout
        service.muster("ledger", "rebuild")
    entries = service.call("auditor", "GET", "/v1/ledger/entries?limit=1000&start=0")["entries"]
    rebuilt = [json.loads(e["payload"]) for e in _all(service) if e["kind"] == "rebuilt"]
    assert entries
    assert [(r["rows"], r["reason"], r["by"]["principal"]["id"]) for r in rebuilt] == [
        ({"nodes": 1, "objects": 1}, "a bad disk", "operator")
    ]
    service.muster("ledger", "verify")


def _all(service: Service) -> Iterator[dict[str, Any]]:
    start: int | None = 0
    while start is not None:
        page = service.call("auditor", "GET", f"/v1/ledger/entries?limit=1000&start={start}")
        for entry in page["entries"]:
            yield entry | {"kind": json.loads(entry["header"])["kind"]}
        start = page["next"]


def test_only_admins_rebuild(service: Service) -> None:
    """An auditor is refused."""
    service.call("auditor", "POST", "/v1/ledger/rebuilds", {"reason": "mine"}, want=403)
    assert service.call("admin", "POST", "/v1/ledger/rebuilds", {"reason": "to see"})["entry"] is None


@pytest.mark.parametrize("tables", [["heads"], ["objects"], ["heads", "objects"]])
def test_a_home_that_cannot_start_is_mended(tables: list[str], service: Service) -> None:
    """With its projection emptied no service decides; after the rebuild the next one does."""
    service.stop()
    for table in tables:
        _damage(service, f"DELETE FROM {table}")  # noqa: S608 - a constant
    service.muster("ledger", "rebuild", want=1)
    service.muster("ledger", "rebuild", "--write", MUSTER_OPA_BIN="/nowhere")
    service.muster("ledger", "verify")
    service.start()
    assert service.decide("ann")["allow"]
    service.muster("ledger", "rebuild")


def test_nothing_is_left_in_the_home(service: Service) -> None:
    """The working state, which is as private as the ledger, is gone."""
    service.muster("ledger", "rebuild")
    assert [path for path in service.home.iterdir() if path.name.startswith(".")] == []
