"""A damaged home is named as damaged: whatever was done to its files, `verify` ends, says where, and calls it whole
only where no row differs."""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import apsw
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import note
from ledger.canonical import JSON
from ledger.errors import LedgerError, NotReady
from ledger.model import Append, Cosigned, Person, Published
from ledger.sqlite import SqliteLedger, SqliteReader, schema
from ledger.store import Part, Row
from ledger.verifier.note import COSIGNATURE, Key
from ledger.verify import Report, Trust, verify
from tests.ledger.builders import (
    ANN,
    BOB,
    BY,
    TENANT,
    FakeClock,
    Store,
    certification,
    decision,
    draft,
    joins,
    name_of,
    one,
    result,
)
from tests.service.running import Service

_ORIGIN: Final = "log.example/tlog/default"
_SIGNER: Final = note.FileSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
_WITNESS: Final = note.FileSigner(Ed25519PrivateKey.from_private_bytes(b"w" * 32))
_WITNESS_KEY: Final = Key("witness.example", COSIGNATURE, _WITNESS.public)
_POLICY: Final = f"witness w {_WITNESS_KEY.vkey()}\nquorum w\n".encode()
_TRUST: Final = Trust(offline=True, service=True, quorum=_POLICY)
_STRIDE: Final = 5
_SECONDS: Final = 10
_TABLES: Final = (
    "heads", "entries", "payloads", "people", "objects", "idempotency", "nodes", "checkpoints", "cosignatures"
)  # fmt: skip


def _publish(store: Store) -> Published:
    head = store.reader.head(TENANT)
    text = note.checkpoint_text(_ORIGIN, head.size, head.root)
    at = store.ledger.now(TENANT)
    return Published(tenant=TENANT, size=head.size, root=head.root, at=at, note=note.signed(text, _ORIGIN, _SIGNER))


def _cosign(published: Published, name: str = _WITNESS_KEY.name) -> str:
    text, when = published.note.partition("\n\n")[0] + "\n", 1_700_000_000
    body = _WITNESS_KEY.id + when.to_bytes(8) + _WITNESS.sign(f"cosignature/v1\ntime {when}\n{text}".encode())
    return f"\u2014 {name} {base64.b64encode(body).decode()}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a small ledger with rows in every table, signed and cosigned."""
    clock, path = FakeClock(), tmp_path_factory.mktemp("whole") / "ledger.db"
    ledger = SqliteLedger(path, clock=clock)
    store = Store(ledger, ledger.reader(), clock, lambda: (ledger, ledger.reader()))
    store.begin()
    vkey = note.vkey(_ORIGIN, _SIGNER.public)
    store.append(one(draft("log.key", {"event": "first", "origin": _ORIGIN, "vkey": vkey, "previous": None})))
    store.append(joins(ANN, {"active": True}))
    store.append(joins(BOB))
    ledger.keep(_publish(store)).result(timeout=20)
    for number in range(5):
        clock.run(1)
        passed = result(ANN)
        passed.payload["idempotency"] = {"key": str(number) * 64, "request": "2" * 64}  # type: ignore[index]
        version = store.reader.objects(TENANT, [name_of(ANN)])[name_of(ANN)][0]
        now = store.ledger.now(TENANT)
        store.append(one(passed, certification(ANN, of=passed, reads=[[name_of(ANN), version]], now=now)))
    for person in (ANN, BOB) * 3:
        store.append(decision(person, now=store.ledger.now(TENANT)))
    published = _publish(store)
    ledger.keep(published).result(timeout=20)
    ledger.keep(Cosigned(tenant=TENANT, size=published.size, lines=(_cosign(published),))).result(timeout=20)
    store.close()
    assert not path.with_name("ledger.db-wal").exists()
    data, report = path.read_bytes(), verify(path, TENANT, _TRUST)
    assert report.ok, report.findings
    return data


@pytest.fixture
def path(whole: bytes, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    path = tmp_path / "ledger.db"
    path.write_bytes(whole)
    return path


@contextmanager
def _deadline(what: str) -> Iterator[None]:
    def late(_signal: int, _frame: FrameType | None) -> None:
        pytest.fail(f"not within {_SECONDS} s: {what}")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _dump(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, as bytes; without the instant of a checkpoint, which nothing is held against."""
    db = apsw.Connection(f"{path.absolute().as_uri()}?mode=ro", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    try:
        rows: dict[str, list[tuple[object, ...]]] = {}
        for table in _TABLES:
            columns = [str(name) for (name,) in db.execute(f"SELECT name FROM pragma_table_info('{table}')")]  # noqa: S608
            kept = [name for name in columns if (table, name) != ("checkpoints", "at")]
            # A value's type and its bytes: what is no UTF-8 any more cannot be had as text.
            shown = ", ".join(f"typeof({name}), CAST({name} AS BLOB)" for name in kept)
            rows[table] = db.execute(f"SELECT {shown} FROM {table} NOT INDEXED").fetchall()  # noqa: S608
        return rows
    finally:
        db.close()


def _change(path: Path, *statements: str) -> None:
    db = apsw.Connection(str(path))
    for statement in statements:
        db.execute(statement)
    db.close()


def _found(report: Report) -> set[tuple[int | None, str]]:
    return {(finding.index, finding.check) for finding in report.findings}


def _details(report: Report, check: str) -> str:
    return "; ".join(finding.detail for finding in report.findings if finding.check == check)


def test_a_flipped_bit_is_found_or_changes_no_row(path: Path, whole: bytes) -> None:
    """Each bit of bytes all over the file: a finding, a refusal in a sentence, or every row is as it was."""
    before = _dump(path)
    used = [place for place, byte in enumerate(whole) if byte][::_STRIDE]
    wrong: list[tuple[int, int]] = []
    for count, place in enumerate(used):
        bit = 7 if count % 3 == 0 else count % 8
        data = bytearray(whole)
        data[place] ^= 1 << bit
        path.write_bytes(data)
        with _deadline(f"bit {bit} of byte {place}"):
            try:
                same = not (report := verify(path, TENANT, _TRUST)).ok or bool(report.told[1:]) or _dump(path) == before
            except LedgerError:
                continue
        if not same:
            wrong.append((place, bit))
    assert len(used) > 1000
    assert not wrong


def test_a_flipped_bit_beside_a_service_ends_in_a_report(path: Path, whole: bytes) -> None:
    """Without the read of every page too: nothing hangs, and nothing is raised but a refusal in a sentence."""
    for place in [place for place, byte in enumerate(whole) if byte][:: 4 * _STRIDE]:
        data = bytearray(whole)
        data[place] ^= 0x80
        path.write_bytes(data)
        with _deadline(f"byte {place}"):
            try:
                verify(path, TENANT)
            except LedgerError as exc:
                assert str(path) in str(exc)  # noqa: PT017 - most flips raise nothing


@pytest.mark.parametrize(
    ("statements", "expected", "said"),
    [
        (("DROP TABLE idempotency", "CREATE VIEW idempotency AS SELECT * FROM people"), "storage", "table idempotency"),
        (("CREATE TABLE more (a)",), "storage", "table more"),
        (("CREATE VIEW more AS SELECT 1",), "storage", "view more"),
        (("CREATE TRIGGER more AFTER INSERT ON nodes BEGIN SELECT 1; END",), "storage", "trigger more"),
        (("DROP INDEX entries_id",), "storage", "index entries_id"),
        (("DELETE FROM heads",), "head", "no head"),
        (("UPDATE objects SET tenant = 'defaumt' WHERE name > 'p'",), "storage", "'defaumt'"),
        (("UPDATE checkpoints SET tenant = 'defaumt'",), "storage", "checkpoints"),
        (("INSERT INTO nodes VALUES ('default', -1, 0, x'00')",), "nodes", "level -1"),
        (("INSERT INTO nodes VALUES ('default', 16, 0, x'00')",), "nodes", "level 16"),
        (("INSERT INTO nodes VALUES ('default', 1, -1, x'00')",), "nodes", "number -1"),
        (("UPDATE checkpoints SET at = 'x' WHERE size < 9",), "checkpoint", "its instant is none"),
        (("UPDATE checkpoints SET at = '2027-01-01T00:00:00.000Z' WHERE size < 9",), "checkpoint", "made before that"),
        (("UPDATE cosignatures SET line = 'x'",), "checkpoint", "a cosignature: "),
        (("DELETE FROM cosignatures", "DELETE FROM checkpoints"), "checkpoint", "no checkpoint at all"),
    ],
)
def test_what_does_not_belong_is_named(path: Path, statements: tuple[str, ...], expected: str, said: str) -> None:
    """Tables that are not the format's, rows of nobody, and what only a checkpoint's row says."""
    _change(path, *statements)
    report = verify(path, TENANT, _TRUST)
    assert said in _details(report, expected), report.findings


def test_an_endless_view_is_not_read(path: Path) -> None:
    """What is not defined as the format has it is refused before the first row of it."""
    numbers = "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)"
    view = f"CREATE VIEW idempotency AS {numbers} SELECT '{TENANT}' AS tenant, 'k' || n AS key, '' AS request FROM r"  # noqa: S608
    _change(path, "DROP TABLE idempotency", view)
    with _deadline("an endless view"):
        report = verify(path, TENANT)
    assert _found(report) == {(None, "storage")}


class _Odd(SqliteReader):
    """A reader whose statements answer the same page for ever."""

    def _rows(self, statement: str, *more: object) -> list[Row]:
        rows = super()._rows(statement, *more)  # type: ignore[arg-type]
        if "FROM objects" in statement and "ORDER BY" in statement:
            return [("person/x", 1, b"{}")] * 128
        return rows


def test_a_page_whose_keys_do_not_grow_ends_the_reading(path: Path) -> None:
    """A damaged index that leads back to where one was would be read for ever."""
    reader = _Odd(path)
    with _deadline("an index that does not grow"):
        report = verify(reader, TENANT)
    assert "objects holds keys that do not grow" in _details(report, "storage")
    reader.close()


@pytest.mark.parametrize(
    ("table", "column", "index"),
    [
        ("entries", "id", 5),
        ("payloads", "about_id", 5),
        ("people", "id", None),
        ("people", "ref", None),
        ("objects", "name", None),
        ("idempotency", "request", None),
        ("checkpoints", "note", None),
        ("checkpoints", "at", None),
        ("heads", "newest_at", None),
    ],
)
def test_text_that_is_not_utf_8_is_named(path: Path, table: str, column: str, index: int | None) -> None:
    """With its table, and the entry where there is one; whoever else reads it is told so too."""
    where = "" if index is None else f" WHERE idx = {index}"
    value = f"CAST(x'c3' || CAST(substr({column}, 2) AS BLOB) AS TEXT)"
    _change(path, f"UPDATE {table} SET {column} = {value}{where}")  # noqa: S608
    report = verify(path, TENANT, _TRUST)
    said = [f.detail for f in report.findings if f.check in ("storage", "head") and f.index == index]
    assert any(table in detail and "not UTF-8" in detail for detail in said), report.findings


def test_a_value_of_another_type_is_named(path: Path) -> None:
    """A header that is stored as text: its entry is named, and a reader says so in a sentence."""
    _change(
        path,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, 'STRICT, ', '') WHERE name = 'entries'",
    )
    _change(path, "UPDATE entries SET header = CAST(header AS TEXT) WHERE idx = 5")
    _change(
        path,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, ') WITHOUT', ') STRICT, WITHOUT') WHERE name = 'entries'",
    )
    report = verify(path, TENANT)
    assert (5, "storage") in _found(report)
    reader = SqliteReader(path)
    with pytest.raises(NotReady, match="entries or payloads holds a row with a value of the wrong type"):
        reader.entry_at(TENANT, 5)
    reader.close()


def test_a_table_that_is_not_as_its_index_is_found_offline(path: Path) -> None:
    """SQLite's own check of every page, which takes one long read, is made where no service writes."""
    _change(path, "PRAGMA writable_schema = ON", "DELETE FROM sqlite_schema WHERE name = 'payloads_about'")
    [sql] = [sql for _, name, _, sql in schema.ours() if name == "payloads_about"]
    _change(path, sql.replace("WHERE about_id IS NOT NULL", "WHERE about_id = 'nobody'"))
    _change(
        path,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, '= ''nobody''', 'IS NOT NULL') WHERE name = 'payloads_about'",
    )
    assert verify(path, TENANT).ok
    assert "payloads_about" in _details(verify(path, TENANT, _TRUST), "storage")


def test_an_empty_checkpoint_does_not_make_the_others_forked(path: Path) -> None:
    """Each row is judged by itself."""
    text = note.signed(note.checkpoint_text(_ORIGIN, 0, bytes(32)), _ORIGIN, _SIGNER)
    db = apsw.Connection(str(path))
    db.execute("INSERT INTO checkpoints VALUES (?, 0, '2026-01-01T00:00:00.000Z', ?)", (TENANT, text))
    db.close()
    details = {finding.detail for finding in verify(path, TENANT, _TRUST).findings}
    assert details
    assert all(detail.startswith("the checkpoint of 0 entries: ") for detail in details), details


def test_a_line_of_an_unknown_witness_is_told(path: Path) -> None:
    """It is no finding: whoever is asked may cosign."""
    key = Key("other.example", COSIGNATURE, _WITNESS.public)
    line = f"\u2014 other.example {base64.b64encode(key.id + bytes(72)).decode()}"
    db = apsw.Connection(str(path))
    db.execute("INSERT INTO cosignatures SELECT tenant, max(size), ? FROM checkpoints", (line,))
    db.close()
    report = verify(path, TENANT, _TRUST)
    assert report.ok, report.findings
    assert any("unknown witness" in line and "other.example" in line for line in report.told)


def test_what_nobody_signed_and_nothing_from_elsewhere_are_told(path: Path) -> None:
    """The limits of the check are said each time."""
    _, newest = sorted(SqliteReader(path).checkpoints(TENANT, 1000, 2), key=lambda each: each.size)
    [elsewhere] = verify(path, TENANT).told
    assert elsewhere.startswith("no checkpoint from elsewhere was given")
    _change(
        path,
        "DELETE FROM cosignatures",
        "DELETE FROM checkpoints WHERE size = (SELECT max(size) FROM checkpoints)",
    )
    report = verify(path, TENANT, Trust(known=(("kept", newest.note.encode()),)))
    assert report.told == (f"signed up to entry 3; {newest.size - 4} entries behind it are signed by nobody yet",)


class _Erasing(SqliteReader):
    """A reader beside which somebody is erased, once, when the projection is first read."""

    erase: Callable[[], object] | None = None

    def projected(self, tenant: str, part: Part, after: Row | None) -> tuple[int, list[Row]]:
        """See Reader."""
        if self.erase is not None:
            self.erase()
            self.erase = None
        return super().projected(tenant, part, after)


@pytest.mark.parametrize("damaged", [False, True])
def test_an_erasure_meanwhile_is_no_alarm(path: Path, damaged: bool) -> None:
    """Rows that go while they are compared are looked at again; what is wrong besides is still found."""
    if damaged:
        _change(path, "UPDATE payloads SET salt = zeroblob(16) WHERE idx = 3")
    clock = FakeClock()
    clock.run(60)
    ledger = SqliteLedger(path, clock=clock)
    reader = _Erasing(path)
    reader.erase = lambda: ledger.submit(_erasure(reader, ANN)).result(timeout=20)
    report = verify(reader, TENANT)
    assert reader.erase is None
    assert report.erased > 0
    assert _found(report) == ({(3, "commitment")} if damaged else set())
    reader.close()
    ledger.close()


def _erasure(reader: SqliteReader, person: Person) -> Append:
    indices = reader.indices_about(TENANT, person)
    payload: dict[str, JSON] = {"indices": list[JSON](indices), "reason": "asked", "approved_by": [], "by": BY}
    return Append(tenant=TENANT, drafts=(draft("erasure", payload),), erases=person)


# the command


@pytest.fixture(scope="module")
def stopped(new_service: Callable[[], Service]) -> Service:
    """A home that a service has signed, with the service stopped."""
    service = new_service().start()
    service.muster("ledger", "checkpoint")
    service.stop()
    return service


def _home(service: Service, folder: Path) -> Service:
    home = folder / "home"
    os.system(f"cp -r {service.home} {home}")  # noqa: S605
    return Service(home=home, env={**service.env, "MUSTER_HOME": str(home)})


def test_a_pipe_in_the_place_of_the_checkpoint_file_is_a_finding(stopped: Service, tmp_path: Path) -> None:
    """It is not waited for."""
    service = _home(stopped, tmp_path)
    kept = service.home / "checkpoints" / f"{TENANT}.checkpoint"
    kept.unlink()
    os.mkfifo(kept)
    with _deadline("a pipe"):
        done = service.muster("ledger", "verify", want=1)
    assert "checkpoint: " in done.stderr
    assert "is not a file" in done.stderr


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (("DELETE FROM heads",), "head: the log has no head"),
        (("UPDATE objects SET name = CAST(x'c3' || CAST(substr(name, 2) AS BLOB) AS TEXT)",), "storage: "),
        (("UPDATE heads SET newest_at = CAST(x'c3' AS TEXT)",), "head: "),
        (("DROP TABLE objects", "CREATE VIEW objects AS SELECT * FROM people"), "storage: table objects"),
    ],
)
def test_the_command_says_what_is_damaged(
    stopped: Service, tmp_path: Path, statements: tuple[str, ...], said: str
) -> None:
    """Exit code 1, a finding, and no talk of arguments or of a tenant that is not there."""
    service = _home(stopped, tmp_path)
    _change(service.home / "ledger.db", *statements)
    with _deadline("a damaged home"):
        done = service.muster("ledger", "verify", want=1)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
