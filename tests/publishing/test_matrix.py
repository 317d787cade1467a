"""The matrix: every table, file and key of a real home, changed in every way, and what `muster ledger verify` says.

A cell names the check that has to find it. Where the database alone cannot know, the cell says with what it is known:
the checkpoint that is kept beside it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import pytest

from engine.publishing.keys import key_from
from ledger import merkle, note
from ledger.model import Person
from ledger.verifier.finding import Report
from ledger.verify import Trust, verify
from tests.service.leased import leasing
from tests.service.rewrite import rewrite
from tests.service.running import Service, export

TENANT = "default"


@dataclass(frozen=True, slots=True)
class Kept:
    """A home that was stopped, its database as it was some entries earlier, and the checkpoint that is beside it."""

    home: Path
    earlier: Path
    checkpoint: Path


@pytest.fixture(scope="module")
def kept(new_service: Callable[[], Service], tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """People, approvals, an erasure, three checkpoints, two blocks of the tree, and a hand-over of the key."""
    service = new_service().start()
    for user in ("ann", "bob", "eve", "boss"):
        service.person(user)
    for user in ("ann", "eve"):
        service.train(user)
    asked = export("ann", customer="globex")
    approval = service.call("user:bob", "POST", "/v1/approvals", asked)["approval_id"]
    asked["context"]["approvals"] = [approval]
    service.call("gateway", "POST", "/v1/decisions", asked)
    service.muster("ledger", "checkpoint")
    for _ in range(260):
        service.decide("bob")
    service.muster("ledger", "rotate-key", "--reason", "the year is over")
    service.stop()
    earlier = tmp_path_factory.mktemp("earlier") / "ledger.db"
    shutil.copy(service.home / "ledger.db", earlier)
    with leasing(service.home) as leaser:
        newest = leaser.reader.about(TENANT, Person("user", "bob"), ("decision",), 2**53, 1)
        leaser.lease(newest[0].id)
    service.start()
    service.decide("eve")
    service.muster("ledger", "erase", "eve", "--reason", "gone", "--approved-by", "boss")
    service.call("admin", "PUT", "/v1/subjects/ann", {"persona": "engineers", "customer": "globex"})
    service.muster("ledger", "checkpoint")
    service.stop()
    return Kept(service.home, earlier, service.home / "checkpoints" / "default.checkpoint")


@pytest.fixture
def database(kept: Kept, tmp_path: Path) -> Path:
    """A copy of the database, to be changed."""
    path = tmp_path / "ledger.db"
    shutil.copy(kept.home / "ledger.db", path)
    return path


def _report(database: Path, kept: Kept, *, beside: bool = True) -> Report:
    known = (("the kept checkpoint", kept.checkpoint.read_bytes()),) if beside else ()
    return verify(database, TENANT, Trust(known=known))


def _checks(report: Report) -> set[str]:
    return {finding.check for finding in report.findings}


def test_the_home_is_whole_as_it_is(database: Path, kept: Kept) -> None:
    """Nothing is found in what nobody has changed, with everything in it that a cell changes."""
    report = _report(database, kept)
    assert report.ok, report.findings[:5]
    assert report.checkpoints >= 3
    assert report.erased > 3
    db = apsw.Connection(str(database))
    for table in ("heads", "entries", "payloads", "people", "objects", "idempotency", "nodes", "checkpoints"):
        assert db.execute(f"SELECT count(*) FROM {table}").get >= 1, table  # noqa: S608 - names of our own
    db.close()


_FLIPS = [
    ("heads", "frontier", "size > 0", {"root", "head"}),
    ("entries", "header", "idx = 3", {"leaf"}),
    ("entries", "leaf", "idx = 3", {"leaf"}),
    ("payloads", "payload", "idx = 3", {"commitment"}),
    ("payloads", "salt", "idx = 3", {"commitment"}),
    ("people", "k", "id = 'ann'", {"key"}),
    ("objects", "state", "name LIKE 'approval/%'", {"objects"}),
    ("nodes", "hash", "level = 2 AND idx = 0", {"nodes"}),
]


@pytest.mark.parametrize(
    ("table", "column", "where", "expected"), _FLIPS, ids=[f"{t}.{c} {w}" for t, c, w, _ in _FLIPS]
)
def test_a_flipped_bit(database: Path, kept: Kept, table: str, column: str, where: str, expected: set[str]) -> None:
    """Wherever it is, in the first byte or in the last."""
    for byte in (0, -1):
        db = apsw.Connection(str(database))
        data = db.execute(f"SELECT {column} FROM {table} WHERE {where}").get  # noqa: S608 - names of our own
        changed = bytearray(data)
        changed[byte] ^= 1
        db.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (bytes(changed),))  # noqa: S608
        db.close()
        assert expected & _checks(_report(database, kept))
        db = apsw.Connection(str(database))
        db.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (data,))  # noqa: S608
        db.close()
    assert _report(database, kept).ok


_LEASE = """CREATE TEMP VIEW lease AS
SELECT idx, json_extract(CAST(payload AS TEXT), '$.leans_on') AS first FROM payloads WHERE first IS NOT NULL LIMIT 1"""
_CELLS: dict[str, tuple[str, set[str]]] = {
    "heads: delete": ("DELETE FROM heads", {"head"}),
    "heads: smaller": ("UPDATE heads SET size = size - 1", {"index", "root"}),
    "heads: size of an earlier one": ("UPDATE heads SET size = 40", {"checkpoint"}),
    "entries: delete": ("DELETE FROM entries WHERE idx = 3", {"index"}),
    "entries: delete the newest": ("DELETE FROM entries WHERE idx = (SELECT max(idx) FROM entries)", {"index"}),
    "entries: double": (
        "INSERT INTO entries SELECT tenant, idx + 100000, id || 'x', header, leaf FROM entries WHERE idx = 3",
        {"index"},
    ),
    "entries: swap headers": (
        "UPDATE entries SET (header, leaf) = (SELECT o.header, o.leaf FROM entries AS o WHERE o.idx = 5 - entries.idx)"
        " WHERE idx IN (2, 3)",
        {"header"},
    ),
    "entries: reorder": (
        "UPDATE entries SET idx = -1 WHERE idx = 3; UPDATE entries SET idx = 3 WHERE idx = 2;"
        " UPDATE entries SET idx = 2 WHERE idx = -1",
        {"root", "commitment"},
    ),
    "payloads: delete": (
        "DELETE FROM payloads WHERE idx = (SELECT max(idx) FROM payloads WHERE about_id = 'bob')",
        {"commitment"},
    ),
    "payloads: delete all of a person": ("DELETE FROM payloads WHERE about_id = 'bob'", {"commitment"}),
    "payloads: double": (
        "INSERT INTO payloads SELECT tenant, idx + 100000, salt, payload, about_type, about_id FROM payloads"
        " WHERE idx = 3",
        {"payload"},
    ),
    "payloads: of another entry, with its salt": (
        "UPDATE payloads SET (payload, salt) = (SELECT o.payload, o.salt FROM payloads AS o WHERE o.idx = 2)"
        " WHERE idx = 3",
        {"commitment"},
    ),
    "payloads: swap": (
        "UPDATE payloads SET (payload, salt) = (SELECT o.payload, o.salt FROM payloads AS o"
        " WHERE o.idx = 5 - payloads.idx) WHERE idx IN (2, 3)",
        {"commitment"},
    ),
    "payloads: salt of 15 bytes": ("UPDATE payloads SET salt = substr(salt, 1, 15) WHERE idx = 3", {"commitment"}),
    "payloads: salt of 17 bytes": (
        "UPDATE payloads SET salt = CAST(salt || substr(payload, 1, 1) AS BLOB), payload = substr(payload, 2)"
        " WHERE idx = 3",
        {"commitment"},
    ),
    "payloads: about another": ("UPDATE payloads SET about_id = 'ann' WHERE about_id = 'bob'", {"about"}),
    "payloads: an erased one is back": (
        "INSERT INTO payloads SELECT tenant, (SELECT min(idx) FROM entries AS e WHERE NOT EXISTS (SELECT 1 FROM"
        " payloads AS p WHERE p.idx = e.idx)), salt, payload, about_type, about_id FROM payloads WHERE idx = 2",
        {"commitment", "erasure"},
    ),
    "payloads: delete what a lease leans on": (
        "DELETE FROM payloads WHERE idx = (SELECT e.idx FROM entries AS e JOIN lease ON e.id = lease.first)",
        {"lease"},
    ),
    "payloads: of what a lease leans on, with its salt": (
        "UPDATE payloads SET (payload, salt) = (SELECT p.payload, p.salt FROM payloads AS p JOIN entries AS e"
        " USING (tenant, idx) JOIN lease ON e.id = lease.first) WHERE idx = (SELECT idx FROM lease)",
        {"commitment"},
    ),
    "payloads: a lease about another": (
        "UPDATE payloads SET about_id = 'ann' WHERE idx = (SELECT idx FROM lease)",
        {"lease"},
    ),
    "entries: another ID for what a lease leans on": (
        "UPDATE entries SET id = 'f' || substr(id, 2) WHERE id = (SELECT first FROM lease)",
        {"lease"},
    ),
    "people: delete": ("DELETE FROM people WHERE id = 'ann'", {"key", "people"}),
    "people: double": ("INSERT INTO people SELECT tenant, type, 'ann2', ref || 'x', k FROM people LIMIT 1", {"people"}),
    "people: swap keys": (
        "UPDATE people SET k = (SELECT o.k FROM people AS o WHERE o.id = CASE people.id WHEN 'ann' THEN 'bob'"
        " ELSE 'ann' END) WHERE id IN ('ann', 'bob')",
        {"key", "tag"},
    ),
    "people: another ref": ("UPDATE people SET ref = '0' || substr(ref, 2) || 'f' WHERE id = 'ann'", {"people"}),
    "objects: delete": ("DELETE FROM objects WHERE name LIKE 'approval/%'", {"objects"}),
    "objects: double": (
        "INSERT INTO objects SELECT tenant, name || 'x', version, state FROM objects LIMIT 1",
        {"objects"},
    ),
    "objects: swap": (
        "UPDATE objects SET state = (SELECT o.state FROM objects AS o WHERE o.name LIKE 'token/%'"
        " ORDER BY o.name LIMIT 1) WHERE name LIKE 'token/%'",
        {"objects"},
    ),
    "objects: an older version": ("UPDATE objects SET version = version - 1 WHERE name LIKE 'person/%'", {"objects"}),
    "idempotency: delete": ("DELETE FROM idempotency", {"idempotency"}),
    "idempotency: double": (
        "INSERT INTO idempotency SELECT tenant, 'f' || substr(key, 2) || '0', request, entry_id FROM idempotency"
        " LIMIT 1",
        {"idempotency"},
    ),
    "idempotency: another request": ("UPDATE idempotency SET request = 'x' || substr(request, 2)", {"idempotency"}),
    "nodes: delete": ("DELETE FROM nodes", {"nodes"}),
    "nodes: double": ("INSERT INTO nodes SELECT tenant, level, idx + 1000, hash FROM nodes", {"nodes"}),
    "checkpoints: delete the newest": (
        "DELETE FROM checkpoints WHERE size = (SELECT max(size) FROM checkpoints)",
        {"checkpoint"},
    ),
    "checkpoints: double": (
        "INSERT INTO checkpoints SELECT tenant, size - 1, at, note FROM checkpoints ORDER BY size DESC LIMIT 1",
        {"checkpoint"},
    ),
    "checkpoints: swap": (
        "UPDATE checkpoints SET note = (SELECT o.note FROM checkpoints AS o"
        " ORDER BY abs(o.size - checkpoints.size) DESC LIMIT 1)",
        {"checkpoint"},
    ),
    "checkpoints: flip in the signature": (
        "UPDATE checkpoints SET note = substr(note, 1, length(note) - 9) || CASE substr(note, length(note) - 8, 1)"
        " WHEN 'A' THEN 'B' ELSE 'A' END || substr(note, length(note) - 7)",
        {"checkpoint"},
    ),
    "checkpoints: flip in the name": (
        "UPDATE checkpoints SET note = replace(note, '/tlog/', '/tlag/')",
        {"checkpoint"},
    ),
    "cosignatures: without a checkpoint": ("INSERT INTO cosignatures VALUES ('default', 3, 'x')", {"checkpoint"}),
    "cosignatures: no line": (
        "INSERT INTO cosignatures SELECT tenant, size, 'no signature' FROM checkpoints",
        {"checkpoint"},
    ),
}


@pytest.mark.parametrize("cell", sorted(_CELLS))
def test_a_changed_table(database: Path, kept: Kept, cell: str) -> None:
    """Each cell has its finding, and nothing was repaired in silence: a second look finds the same."""
    statements, expected = _CELLS[cell]
    db = apsw.Connection(str(database))
    db.execute(_LEASE)
    for statement in statements.split(";"):
        db.execute(statement)
        assert db.changes() >= 1
    db.close()
    report = _report(database, kept)
    assert expected & _checks(report), report.findings[:5]
    assert _report(database, kept).findings == report.findings


@pytest.mark.parametrize("table", ["heads", "entries", "payloads", "people", "objects", "idempotency", "checkpoints"])
def test_a_stale_copy_of_a_table(database: Path, kept: Kept, table: str) -> None:
    """One table as it was some entries earlier does not fit the others."""
    db = apsw.Connection(str(database))
    db.execute("ATTACH ? AS earlier", (str(kept.earlier),))
    with db:
        db.execute(f"DELETE FROM main.{table}")  # noqa: S608 - names of our own
        db.execute(f"INSERT INTO main.{table} SELECT * FROM earlier.{table}")  # noqa: S608
    db.close()
    assert not _report(database, kept).ok


def test_a_stale_copy_of_the_whole_is_revealed_by_the_kept_checkpoint_only(kept: Kept) -> None:
    """A database that was rolled back is a whole log, only an older one."""
    assert _report(kept.earlier, kept, beside=False).ok
    report = _report(kept.earlier, kept)
    assert "rolled back" in report.findings[0].detail
    assert _checks(report) == {"checkpoint"}


def test_a_rewrite_that_was_signed_again_is_revealed_by_the_kept_checkpoint_only(database: Path, kept: Kept) -> None:
    """Whoever has every key makes a log that is consistent with itself; not with what somebody kept."""

    def change(payload: dict[str, Any]) -> bool:
        if "resource" not in str(payload.get("input", "")) or payload.get("request_id") == "other":
            return False
        payload["request_id"] = "other"
        return True

    rewrite(database, change)
    _sign_again(database, kept)
    assert _report(database, kept, beside=False).ok
    assert _checks(_report(database, kept)) == {"checkpoint"}
    assert "forked" in str(_report(database, kept).findings[0])


def test_the_wrong_key_is_named(database: Path, kept: Kept, tmp_path: Path) -> None:
    """Checkpoints that another key signed are not the log's, and a trusted key that is not the log's is told."""
    _sign_again(database, kept, stranger=tmp_path / "other.pem")
    assert "checkpoint" in _checks(_report(database, kept, beside=False))
    shutil.copy(kept.home / "ledger.db", database)
    report = verify(database, TENANT, Trust(key="log.example/x+00000000+AAAA"))
    assert _checks(report) == {"key"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda home: (home / "keys" / "log.pem").unlink(), "log.pem"),
        (lambda home: (home / "keys" / "log.pem").write_text("nonsense"), "log.pem"),
        (lambda home: (home / "keys" / "log.pem").chmod(0o644), "chmod 600"),
        (lambda home: shutil.copy(home / "keys" / "badge.pem", home / "keys" / "log.pem"), "not the one that the log"),
        (lambda home: (home / "checkpoints" / "default.checkpoint").write_text("nonsense"), "not a checkpoint"),
        (lambda home: shutil.copy(home / "earlier.db", home / "ledger.db"), "rolled back"),
    ],
)
def test_a_start_on_a_changed_home_is_refused(
    kept: Kept, new_service: Callable[[], Service], change: Callable[[Path], object], words: str
) -> None:
    """Key, kept checkpoint, a database that was rolled back: one sentence, exit code 2, and nothing is changed."""
    service = new_service()
    shutil.rmtree(service.home)
    shutil.copytree(kept.home, service.home)
    shutil.copy(kept.earlier, service.home / "earlier.db")
    change(service.home)
    before = (service.home / "ledger.db").read_bytes()
    done = service.muster("serve", want=None)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert (service.home / "ledger.db").read_bytes() == before
    found = json.loads(service.muster("ledger", "verify", "--json", want=None).stdout or "{}")
    assert found.get("ok") in (True, False, None)  # what is still there stays readable, whatever the start says


def test_a_kept_checkpoint_that_is_gone_is_told(kept: Kept, new_service: Callable[[], Service]) -> None:
    """The database alone cannot miss it; so whoever starts the service reads that it is not there."""
    service = new_service()
    shutil.rmtree(service.home)
    shutil.copytree(kept.home, service.home)
    (service.home / "checkpoints" / "default.checkpoint").unlink()
    service.start()
    service.stop()
    assert "default.checkpoint is not there" in (service.home.parent / f"{service.home.name}.log").read_text()


def _sign_again(database: Path, kept: Kept, stranger: Path | None = None) -> None:
    """Make nodes and checkpoints anew, each signed by the key that the log names for it."""
    if stranger is not None:
        from engine.home import make_private_key

        make_private_key(stranger)
    signer = key_from(stranger or kept.home / "keys" / "log.pem")
    db = apsw.Connection(str(database))
    leaves = [bytes(leaf) for (leaf,) in db.execute("SELECT leaf FROM entries ORDER BY idx")]
    frontier = merkle.Frontier()
    kept_nodes = [node for leaf in leaves for node in frontier.append(leaf)]
    with db:
        for node in kept_nodes:
            db.execute("UPDATE nodes SET hash = ? WHERE level = ? AND idx = ?", (node.hash, node.level, node.index))
        rows = db.execute("SELECT size, note FROM checkpoints ORDER BY size").fetchall()
        for size, text in rows:
            assert isinstance(size, int)
            assert isinstance(text, str)
            origin = text.split("\n")[0]
            body = note.checkpoint_text(origin, size, merkle.root_of(leaves[:size]))
            db.execute("UPDATE checkpoints SET note = ? WHERE size = ?", (note.signed(body, origin, signer), size))
        # What the old key signed nobody can sign again: it handed over and was destroyed.
        if stranger is None:
            db.execute("DELETE FROM checkpoints WHERE size < (SELECT max(size) FROM checkpoints)")
    db.close()
