"""An archive that was made to hurt whoever checks it, by somebody who can sign it: it is read to an end, and told."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ledger import canonical, note
from ledger.verifier import archive as verifier
from ledger.verifier import archive_entries, archive_rows, archive_run
from ledger.verifier.errors import Invalid
from ledger.verifier.note import parse_key
from tests.publishing.offline import TERABYTE, refill, run, sparse
from tests.publishing.test_hostile_exports import COLOURED, SHOWN, Log
from tests.reports.archives import Archive
from tests.reports.test_archive_attacks import FILES


def test_a_row_without_an_end_is_read_once(copied: Archive) -> None:
    """A quote, and a million ends of lines within it."""
    copied.write("evidence.csv", copied.data("evidence.csv") + b'"' + b"\n" * 1_000_000)
    done = run(copied.folder)
    assert done.returncode == 1
    assert "there twice, or of an entry that has none" in done.stderr


def test_a_row_has_a_bound(copied: Archive) -> None:
    """However many lines it is made of."""
    copied.write("evidence.csv", copied.data("evidence.csv") + b'"' + (b"x" * 99 + b"\n") * 90_000)
    assert "has no end" in run(copied.folder).stderr


@pytest.mark.parametrize("kind", ["sparse", "pipe", "link", "folder", "device"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_none_is_told(copied: Archive, tmp_path: Path, name: str, kind: str) -> None:
    """A terabyte of nothing, a pipe, a link, a folder, a device: read by nobody, and named."""
    refill(copied.folder / name, kind, tmp_path / "elsewhere")
    done = run(copied.folder)
    assert done.returncode in (1, 2)
    assert name in done.stderr


def test_a_file_of_any_size_may_be_signed(copied: Archive) -> None:
    """The manifest says the terabyte, and all that follows from it is not read either."""
    sparse(copied.folder / "evidence.json")
    manifest = copied.manifest()
    manifest["files"]["evidence.json"]["bytes"] = TERABYTE
    copied.write("manifest.json", canonical.encode(manifest))
    assert "evidence.json is not the one of the manifest: 1099511627776 bytes" in run(copied.folder).stderr


def test_a_range_ends_where_its_headers_do(copied: Archive) -> None:
    """Of a log that says 10^15 entries, and a sparse file that has two bytes of nothing for each."""
    name, size = parse_key(copied.vkey).name, 10**15
    text = note.signed(note.checkpoint_text(name, size, b"\0" * 32), name, copied.signer())
    copied.write("checkpoint", text.encode())
    span = {"start": 0, "stop": size, "first": 0, "last": size, "before": [], "after": []}
    copied.write_lines("range.json", [span])
    copied.resign(lambda manifest: manifest.update(checkpoint=text, range={"start": 0, "stop": size}))
    sparse(copied.folder / "headers.bin")
    assert "headers.bin: it has nothing for entry 0" in run(copied.folder).stderr


def test_what_an_archive_says_moves_no_terminal(copied: Archive) -> None:
    """Limits, names of files, and the reason why completeness is not proved."""
    copied.resign(lambda m: m.update(limits=[COLOURED], completeness={"proved": False, "why": COLOURED}))
    (copied.folder / "\x1b[8m").touch()
    told = run(copied.folder).stderr
    assert told.replace("\n", "").isprintable()
    assert f"the archive says: {SHOWN}" in told
    assert f"of its completeness: {SHOWN}" in told
    assert r"\u001b[8m is there" in told


def test_a_name_that_is_no_text_is_told(copied: Archive) -> None:
    """As JSON too, where the output takes UTF-8 alone."""
    (copied.folder / os.fsdecode(b"\xff")).touch()
    done = run(copied.folder, "--json")
    assert done.returncode == 1
    assert [f["detail"] for f in json.loads(done.stdout)["findings"]] == ["\udcff is there, and not in the manifest"]
    assert r"\udcff is there" in done.stderr


def test_a_key_that_is_no_text_is_told(copied: Archive) -> None:
    """Not a key with other characters."""
    copied.write("log.vkey", b"\xff\xfe")
    assert "the verifier key is not UTF-8" in str([f.detail for f in copied.check()])


def test_more_findings_than_are_listed_hide_none(copied: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive is not told to be complete because nothing more was listed."""
    monkeypatch.setattr(archive_run, "_MOST_FINDINGS", 1)
    copied.write("more.txt", b"more")
    copied.write("headers.bin", copied.data("headers.bin")[:-1])
    report = verifier.report(copied.folder, copied.vkey)
    assert len(report.findings) == 1
    assert not any(line.startswith("complete") for line in report.told)


def test_many_people_are_not_looked_through_for_every_row(copied: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest can ask for as many as it has room for."""
    kinds: set[type] = set()

    def fits(query: dict[str, Any], *_: object) -> bool:
        kinds.add(type(query["subjects"]))
        return True

    monkeypatch.setattr(archive_rows, "fits", fits)
    copied.check()
    assert kinds == {frozenset}


def test_what_cannot_be_read_further_is_a_finding(copied: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever part it is that refuses."""

    def refuses(_: object) -> None:
        raise Invalid("no more of this")

    monkeypatch.setattr(archive_entries, "read", refuses)
    assert "archive: no more of this" in [str(finding) for finding in copied.check()]


def test_former_keys_have_to_be_of_the_log(archive: Archive) -> None:
    """Each that is given, the first or another."""
    assert verifier.report(archive.folder, archive.vkey, former=(archive.vkey,)).findings == ()
    found = verifier.report(archive.folder, archive.vkey, former=(Log().vkey,)).findings
    assert [f.check for f in found] == ["key"]
