"""Notes of revisions that were checked: what they spare, and everything that makes one worth nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.bundling import archive, rules
from engine.bundling.build import _pack
from engine.bundling.checked import Checked
from engine.bundling.store import StoredBundle
from engine.opa.binary import OpaBinary
from tests.bundling.example import POLICIES

REVISION = "a" * 64
GOOD, BAD = b"package muster.lib.x\n\nz := 1\n", b"package muster.lib.y\n\nz := 1\n"


def stored(folder: Path, rule: bytes) -> StoredBundle:
    """A revision of one rule, in the store."""
    path = folder / f"{REVISION}.tar.gz"
    path.write_bytes(_pack({"muster/lib/x/x.rego": rule}))
    text = (POLICIES / "capabilities.json").read_text("utf-8")
    return StoredBundle(path=path, revision=REVISION, data={}, capabilities="", capabilities_text=text)


@pytest.fixture
def notes(tmp_path: Path) -> Checked:
    """The notes of a home that has none yet."""
    return Checked(tmp_path / "checked", lambda: b"secret")


@pytest.fixture
def away(opa_binary: OpaBinary, tmp_path: Path) -> OpaBinary:
    """The same OPA, which cannot be run: whoever checks finds that out."""
    return replace(opa_binary, path=tmp_path / "nowhere")


def test_what_was_checked_is_not_checked_again(
    notes: Checked, opa_binary: OpaBinary, away: OpaBinary, tmp_path: Path
) -> None:
    """With its note a revision is taken as it is; where it is to be checked anew, it is checked."""
    revision = stored(tmp_path, GOOD)
    assert notes.findings(revision, opa_binary, anew=False) == []
    assert notes.findings(revision, away, anew=False) == []
    with pytest.raises(FileNotFoundError):
        notes.findings(revision, away, anew=True)


def test_what_has_mistakes_gets_no_note(notes: Checked, opa_binary: OpaBinary, tmp_path: Path) -> None:
    """A revision that may not decide is refused each time."""
    revision = stored(tmp_path, BAD)
    for _ in range(2):
        assert [f.message for f in notes.findings(revision, opa_binary, anew=False)] == [
            "its package is not its folder, muster/lib/x"
        ]
    assert not notes.folder.exists()


@pytest.mark.parametrize("other", ["archive", "allowlist", "opa", "key", "checks", "note"])
def test_a_note_is_for_exactly_what_was_checked(
    other: str,
    notes: Checked,
    opa_binary: OpaBinary,
    away: OpaBinary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another archive, allowlist, OPA, key or text of the checks, or a note that was written over: it is checked."""
    revision = stored(tmp_path, GOOD)
    assert notes.findings(revision, opa_binary, anew=False) == []
    if other == "archive":
        revision = stored(tmp_path, GOOD + b"\n")
    elif other == "allowlist":
        revision = replace(revision, capabilities_text=revision.capabilities_text + "\n")
    elif other == "opa":
        away = replace(away, sha256="0" * 64)
    elif other == "key":
        notes = Checked(notes.folder, lambda: b"another")
    elif other == "checks":
        text = tmp_path / "rules.py"
        text.write_bytes(b"another")
        monkeypatch.setattr(rules, "__file__", str(text))
    else:
        (notes.folder / REVISION).write_text("0" * 64)
    with pytest.raises(FileNotFoundError):
        notes.findings(revision, away, anew=False)
    assert archive.check_archive(revision.path.read_bytes(), revision.capabilities_text, opa_binary) == []


@pytest.mark.parametrize("odd", ["a file for the folder", "a folder for the note", "a link into nowhere"])
def test_a_note_that_cannot_be_written_stops_nothing(
    odd: str, notes: Checked, opa_binary: OpaBinary, tmp_path: Path
) -> None:
    """The check was passed: the revision decides, and is checked again the next time."""
    if odd == "a file for the folder":
        notes.folder.write_text("")
    elif odd == "a folder for the note":
        (notes.folder / REVISION).mkdir(parents=True)
    else:
        notes.folder.symlink_to(tmp_path / "nowhere")
    assert notes.findings(stored(tmp_path, GOOD), opa_binary, anew=False) == []
    assert [f.message for f in notes.findings(stored(tmp_path, BAD), opa_binary, anew=False)] != []
    assert not notes.folder.is_dir() or [p.name for p in notes.folder.iterdir()] == [REVISION]  # nothing half written
