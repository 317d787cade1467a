"""A log whose owner gave two entries one ID: each archive of it says so, whichever of the two it shows."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from ledger import merkle, note
from ledger.verifier import archive as verifier
from tests.reports.large import ORIGIN, Log, archive, log


@pytest.fixture
def forged(tmp_path: Path) -> Log:
    """A log with a hundred people and three results, of whom the third has the ID of the first; signed as it is."""
    found = log(tmp_path / "ledger.db", 3)
    db = apsw.Connection(str(found.path))
    db.execute("DROP INDEX entries_id; CREATE INDEX entries_id ON entries (tenant, id)")
    rows = db.execute("SELECT idx, id, header FROM entries ORDER BY idx").fetchall()
    (_, taken, _), _, (index, before, header) = rows[-3:]
    assert isinstance(header, bytes)
    header = header.replace(str(before).encode(), str(taken).encode())
    leaf = merkle.leaf_hash(header)
    db.execute("UPDATE entries SET id = ?, header = ?, leaf = ? WHERE idx = ?", (taken, header, leaf, index))
    leaves = [bytes(each) for (each,) in db.execute("SELECT leaf FROM entries ORDER BY idx")]
    text = note.checkpoint_text(ORIGIN, len(leaves), merkle.root_of(leaves))
    db.execute("UPDATE checkpoints SET note = ?", (note.signed(text, ORIGIN, found.signer),))
    db.close()
    return found


@pytest.mark.parametrize(
    ("asked", "counted"),
    [
        pytest.param({}, {"entries": 4, "headers": 0}, id="both are shown"),
        pytest.param({"subjects": ("person-0",)}, {"entries": 3, "headers": 105}, id="of one the header alone"),
    ],
)
def test_two_entries_of_one_id_are_named(
    forged: Log, tmp_path: Path, asked: dict[str, tuple[str, ...]], counted: dict[str, int]
) -> None:
    """The root, the proofs and the signature are right: nothing else could tell."""
    written = archive(forged, tmp_path / "archive", **asked)
    assert {name: written.counts[name] for name in counted} == counted
    found = verifier.check(tmp_path / "archive", forged.vkey)
    last = 2 + 100 + 3 - 1
    assert ("id", last, f"entry {last - 2} has the same ID") in {(f.check, f.index, f.detail) for f in found}
    others = [f for f in found if f.check != "id"]
    assert {f.check for f in others} <= {"tag", "about"}, others
