"""What the SQLite store does when disks, commits and processes fail."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from ledger import errors
from ledger.model import Append, Person, Receipt
from ledger.sqlite import SqliteLedger, SqliteReader, schema
from ledger.sqlite.owning import Room
from ledger.sqlite.transaction import Transaction
from ledger.verify import verify
from tests.ledger.builders import (
    ANN,
    TENANT,
    FakeClock,
    activation,
    decision,
    draft,
    joins,
    one,
    result,
)
from tests.ledger.faults import FaultyVFS, size_of

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def ledger(tmp_path: Path, vfs: FaultyVFS) -> Iterator[SqliteLedger]:
    """A ledger that knows Ann, on the faulty VFS."""
    assert vfs.syncs == 0
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.submit(one(activation())).result(timeout=20)
    ledger.submit(joins(ANN)).result(timeout=20)
    yield ledger
    ledger.close()


@pytest.fixture
def path(tmp_path: Path, ledger: SqliteLedger) -> Path:
    """Where that ledger's database is."""
    assert ledger
    return tmp_path / "ledger.db"


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_unknown_commit_is_resolved_by_id(
    ledger: SqliteLedger, path: Path, vfs: FaultyVFS, how: str, times: int
) -> None:
    """After failed syncs of the log the append is in it, once, and the caller hears of no failure."""
    before = vfs.database_syncs
    vfs.failing[how] = times
    append = one(result(ANN))
    [receipt] = ledger.submit(append).result(timeout=20)
    vfs.failing[how] = 0
    # The log's sync is not believed after it failed once: the database's own comes before the answer.
    assert vfs.database_syncs > before
    assert receipt.index == 2
    assert size_of(path) == 3
    assert ledger.submit(append).result(timeout=20)[0].index == 2
    assert ledger.submit(one(result(ANN))).result(timeout=20)[0].index == 3
    assert size_of(path) == 4


def test_a_commit_that_stays_unknown_is_said_to_be(ledger: SqliteLedger, path: Path, vfs: FaultyVFS) -> None:
    """After a few attempts the answer is Unknown, and the same append can be sent again."""
    append = one(result(ANN))
    vfs.failing["before"] = 1_000
    with pytest.raises(errors.Unknown):
        ledger.submit(append).result(timeout=20)
    vfs.failing["before"] = 0
    assert ledger.submit(append).result(timeout=20)[0].index == 2
    assert size_of(path) == 3


def test_what_was_never_attempted_is_not_unknown(ledger: SqliteLedger, path: Path, vfs: FaultyVFS) -> None:
    """Where the database cannot even be opened again, a later append is NotReady."""
    vfs.failing |= {"before": 1, "open": 1_000}
    with pytest.raises(errors.Unknown):
        ledger.submit(one(result(ANN))).result(timeout=20)
    with pytest.raises(errors.NotReady):
        ledger.submit(one(result(ANN))).result(timeout=20)
    vfs.failing["open"] = 0
    size = size_of(path)
    assert ledger.submit(one(result(ANN))).result(timeout=20)[0].index == size


def test_a_full_disk_writes_nothing(ledger: SqliteLedger, path: Path, vfs: FaultyVFS) -> None:
    """SQLITE_FULL means that the commit did not happen; with space again the writer goes on."""
    vfs.failing["full"] = 1
    append = one(result(ANN))
    with pytest.raises(errors.Full):
        ledger.submit(append).result(timeout=20)
    assert size_of(path) == 2
    [receipt] = ledger.submit(append).result(timeout=20)
    assert (receipt.index, receipt.duplicate) == (2, False)


def test_below_the_floor_nothing_is_appended(tmp_path: Path) -> None:
    """The floor leaves room for erasure and checkpoints; reading goes on."""
    free = [1 << 30]
    ledger = SqliteLedger(tmp_path / "ledger.db", free_bytes=lambda _path: free[0])
    ledger.submit(one(activation())).result(timeout=20)
    free[0] = 1 << 20
    with pytest.raises(errors.Full):
        ledger.submit(joins(ANN)).result(timeout=20)
    free[0] = 1 << 30
    assert ledger.submit(joins(ANN)).result(timeout=20)[0].index == 1
    ledger.close()


def test_a_large_group_needs_no_journal(ledger: SqliteLedger, vfs: FaultyVFS, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pages the rows of a group go into, SQLite opens no file for the case that it has to undo them."""
    crowd = [Person("user", f"{name:0200}") for name in range(256)]

    def appended() -> None:
        now = ledger.now(TENANT)
        with ledger._entering:
            futures = [ledger.submit(decision(person, now=now)) for person in crowd]
        for future in futures:
            future.result(timeout=20)

    for _ in range(4):
        appended()
    opened: list[object] = []
    real = FaultyVFS.xOpen
    monkeypatch.setattr(FaultyVFS, "xOpen", lambda self, *given: opened.append(given) or real(self, *given))  # type: ignore[func-returns-value]
    appended()
    assert opened == []
    assert vfs.syncs > 0


def test_room_is_asked_for_every_20_ms(tmp_path: Path) -> None:
    """Between two looks at the disk the last one holds, for 20 ms and no longer."""
    now, looked = [5.0], list[Path]()
    room = Room(lambda path: looked.append(path) or len(looked), lambda: now[0])  # type: ignore[func-returns-value]
    found = []
    for seconds in (0, 0.019, 0.002, 0.019, 0.1, 0):
        now[0] += seconds
        found.append(room(tmp_path))
    assert found == [1, 1, 2, 2, 3, 3]
    assert looked == [tmp_path] * 3


def test_a_ledger_by_itself_asks_the_disk(tmp_path: Path) -> None:
    """Without anything that stands in for the disk, a disk that is full to the floor is seen."""
    ledger = SqliteLedger(tmp_path / "ledger.db", free_floor=1 << 60)
    with pytest.raises(errors.Full):
        ledger.submit(one(activation())).result(timeout=20)
    ledger.close()
    ledger = SqliteLedger(tmp_path / "ledger.db", free_floor=1)
    assert ledger.submit(one(activation())).result(timeout=20)[0].index == 0
    ledger.close()


def test_many_waiting_appends_share_few_commits(ledger: SqliteLedger, path: Path, vfs: FaultyVFS) -> None:
    """A thousand appends that wait together take far fewer syncs of the log than a thousand."""
    now = ledger.now(TENANT)
    before = vfs.syncs
    futures = [ledger.submit(decision(ANN, now=now)) for _ in range(1000)]
    assert [future.result(timeout=20)[0].index for future in futures] == list(range(2, 1002))
    # A checkpoint syncs the log once more; both together stay far below one each.
    assert vfs.syncs - before < 200
    assert size_of(path) == 1002


def test_every_answer_comes_after_a_sync(ledger: SqliteLedger, vfs: FaultyVFS) -> None:
    """Appends that come one by one take a sync each, before their futures are resolved."""
    for _ in range(20):
        before = vfs.syncs
        ledger.submit(decision(ANN, now=ledger.now(TENANT))).result(timeout=20)
        assert vfs.syncs > before


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_without_full_answers_come_before_a_sync(
    tmp_path: Path, vfs: FaultyVFS, synchronous: schema.Synchronous
) -> None:
    """The same count fails under another `synchronous`: it is the one place that matters."""
    ledger = SqliteLedger(tmp_path / "ledger.db", synchronous=synchronous)
    ledger.submit(one(activation())).result(timeout=20)
    before = vfs.syncs
    for _ in range(20):
        ledger.submit(decision(ANN, now=ledger.now(TENANT))).result(timeout=20)
    assert vfs.syncs - before < 20
    ledger.close()


@pytest.mark.parametrize("pages", [1_000, 10])
def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path, pages: int) -> None:
    """Four times `kill -9` under load: every printed receipt is in the log, and the log is whole. With 10 pages nearly
    every commit has the log of writes copied beside the next ones."""
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    ledger.submit(one(activation())).result(timeout=20)
    ledger.submit(joins(ANN)).result(timeout=20)
    ledger.close()
    for enough in (20, 50, 100, 200):
        receipts = _killed_after(path, enough, pages)
        assert len(receipts) >= enough
        reader = SqliteReader(path)
        for entry_id, index in receipts.items():
            assert reader.index_of(TENANT, entry_id) == index
        report = verify(reader, TENANT)
        assert report.ok, report.findings[:3]
        reader.close()


def _killed_after(path: Path, enough: int, pages: int) -> dict[str, int]:
    command = [sys.executable, "-m", "tests.ledger.appender", str(path), str(pages)]
    receipts: dict[str, int] = {}
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            entry_id, _, index = line.partition(" ")
            if not index.endswith("\n"):
                break  # the kill cut this line
            receipts[entry_id] = int(index)
            if len(receipts) == enough:
                child.send_signal(signal.SIGKILL)
    return receipts


def test_a_ledger_has_one_owner(tmp_path: Path) -> None:
    """A second one is refused with a sentence, until the first is closed."""
    first = SqliteLedger(tmp_path / "ledger.db")
    with pytest.raises(errors.HomeLocked):
        SqliteLedger(tmp_path / "ledger.db")
    first.close()
    SqliteLedger(tmp_path / "ledger.db").close()


def test_files_are_the_owners_alone(ledger: SqliteLedger, path: Path) -> None:
    """Database, write-ahead log, its index and the lock are 0600, whatever the umask."""
    assert ledger.now(TENANT)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == dict.fromkeys(["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.owner"], 0o600)


def test_a_scrub_does_not_wait_for_a_reader(ledger: SqliteLedger, path: Path) -> None:
    """While somebody reads on, it is refused at once, and what is behind it goes in; afterwards it is done."""
    reading = apsw.Connection(f"{path.as_uri()}?mode=ro", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    reading.execute("BEGIN")
    assert reading.execute("SELECT count(*) FROM entries").get == 2
    scrubs = [ledger.submit(one(result(ANN))), ledger.scrub(rewrite=False), ledger.submit(one(result(ANN)))]
    assert scrubs[0].result(20)
    assert isinstance(scrubs[1].exception(20), errors.NotReady)
    assert scrubs[2].result(20)[0].index == 3
    reading.execute("COMMIT")
    reading.close()
    assert ledger.scrub(rewrite=True).result(20) == ()


def test_a_start_waits_for_a_reader_and_then_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the log of writes has to be copied before anything is answered, and nobody can while they read on."""
    monkeypatch.setattr(schema, "BUSY_MS", 100)
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    ledger.submit(one(activation())).result(timeout=20)
    reading = schema.open_reader(path)
    reading.execute("BEGIN")
    assert reading.execute("SELECT count(*) FROM entries").get == 1
    ledger.close()
    with pytest.raises(errors.NotReady, match="while somebody reads it without a break"):
        SqliteLedger(path)
    reading.close()
    SqliteLedger(path).close()


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    """No file, text, and somebody else's database are said, not repaired."""
    with pytest.raises(errors.NotReady):
        SqliteReader(tmp_path / "none.db")
    text = tmp_path / "text.db"
    text.write_text("not a database, " * 1000)
    other = tmp_path / "other.db"
    db = apsw.Connection(str(other))
    db.execute("CREATE TABLE theirs (x)")
    db.close()
    for path in (text, other):
        with pytest.raises(errors.NotReady):
            SqliteReader(path)
        with pytest.raises(errors.NotReady):
            SqliteLedger(path)


def test_a_reader_cannot_write(path: Path) -> None:
    """Its connection is read-only, also to SQLite."""
    db = schema.open_reader(path)
    with pytest.raises(apsw.ReadOnlyError):
        db.execute("DELETE FROM entries")
    db.close()


def test_an_erased_payload_answers_erased(ledger: SqliteLedger, path: Path) -> None:
    """A duplicate of an entry whose payload is gone cannot be compared, and says so."""
    append = one(result(ANN))
    ledger.submit(append).result(timeout=20)
    ledger.close()
    db = apsw.Connection(str(path))
    db.execute("DELETE FROM payloads WHERE idx = 2")
    db.close()
    again = SqliteLedger(path)
    with pytest.raises(errors.Erased):
        again.submit(append).result(timeout=20)
    reader = again.reader()
    found = reader.entry(TENANT, append.drafts[0].id)
    assert found is not None
    with pytest.raises(errors.Erased):
        _ = found.value
    reader.close()
    again.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_a_writer_that_died(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours that ends the thread resolves what waited with Unknown, and refuses the rest."""

    def broken(_self: Transaction, _append: Append) -> tuple[Receipt, ...]:
        raise ZeroDivisionError

    monkeypatch.setattr(Transaction, "append", broken)
    with pytest.raises(errors.Unknown):
        ledger.submit(one(result(ANN))).result(timeout=20)
    with pytest.raises(errors.NotReady):
        ledger.submit(one(result(ANN))).result(timeout=20)


def test_secure_delete_and_bounds_are_set(tmp_path: Path) -> None:
    """The writer's connection has the settings that the design measured."""
    db = schema.open_writer(tmp_path / "ledger.db", synchronous="FULL", create=True)
    found = {
        name: db.pragma(name)
        for name in ("secure_delete", "journal_mode", "synchronous", "wal_autocheckpoint", "journal_size_limit")
    }
    assert found == {
        "secure_delete": 1,
        "journal_mode": "wal",
        "synchronous": 2,
        "wal_autocheckpoint": 1000,
        "journal_size_limit": 64 << 20,
    }
    db.close()


def test_what_waits_behind_a_clock_adjustment_is_taken_with_it(tmp_path: Path) -> None:
    """In one transaction the adjustment holds for the appends behind it, and not for those before."""
    clock = FakeClock()
    ledger = SqliteLedger(tmp_path / "ledger.db", clock=clock)
    ledger.submit(one(activation())).result(timeout=20)
    clock.set_by(60)
    adjusted = draft("clock.adjusted", {"reason": "x", "by": [], "from": "", "to": ""})
    with ledger._entering:  # the writer takes nothing until all three wait
        before, with_it, behind = (ledger.submit(append) for append in (joins(ANN), one(adjusted), joins(ANN)))
    with pytest.raises(errors.NotReady):
        before.result(timeout=20)
    assert [future.result(timeout=20)[0].index for future in (with_it, behind)] == [1, 2]
    ledger.close()


def test_too_many_waiting_are_refused(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is bounded: what does not fit is NotReady, and what fits commits."""
    monkeypatch.setattr("ledger.sqlite.writer._MOST_WAITING", 0)
    with pytest.raises(errors.NotReady):
        ledger.submit(joins(Person("user", "carl"))).result(timeout=20)
    monkeypatch.undo()
    assert ledger.submit(joins(Person("user", "carl"))).result(timeout=20)[0].index == 2
