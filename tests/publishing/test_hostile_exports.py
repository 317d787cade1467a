"""A log as tiles that was made to hurt whoever checks it: nothing hangs, crashes, or reaches the terminal."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import note
from ledger.merkle import root_of
from ledger.note import FileSigner
from ledger.verifier import __main__ as offline
from ledger.verifier import tiles as verifier
from ledger.verifier.errors import Invalid
from ledger.verifier.finding import Finding, Report
from ledger.verifier.tree import leaf_hash
from tests.publishing.offline import refill, run

ORIGIN = "log.example/tlog/default"
KINDS = ("sparse", "pipe", "link", "folder", "device")
COLOURED = "\x1b[2J\x9b8m\u202egood\u2066\x00\r\n"
SHOWN = r"\u001b[2J\u009b8m\u202egood\u2066\u0000\u000d\u000a"


class Log:
    """A log of headers, made by whoever has its key."""

    def __init__(self) -> None:
        self.signer = FileSigner(Ed25519PrivateKey.generate())
        self.vkey = note.vkey(ORIGIN, self.signer.public)

    def checkpoint(self, entries: list[bytes], size: int | None = None) -> bytes:
        """A checkpoint over entries, which may say that there are more."""
        root = root_of([leaf_hash(entry) for entry in entries])
        text = note.checkpoint_text(ORIGIN, len(entries) if size is None else size, root)
        return note.signed(text, ORIGIN, self.signer).encode()

    def write(self, folder: Path, entries: list[bytes], size: int | None = None) -> Path:
        """The whole export; of so few entries that only full bundles have a second level."""
        folder.mkdir()
        (folder / "log.vkey").write_text(f"{self.vkey}\n")
        (folder / "checkpoint").write_bytes(self.checkpoint(entries, size))
        roots: list[bytes] = []
        for start in range(0, len(entries), 256):
            chunk = entries[start : start + 256]
            leaves = [leaf_hash(entry) for entry in chunk]
            self._tile(folder, "entries", start // 256, len(chunk), b"".join(len(e).to_bytes(2) + e for e in chunk))
            self._tile(folder, "0", start // 256, len(chunk), b"".join(leaves))
            roots += [root_of(leaves)] if len(chunk) == 256 else []
        if roots:
            self._tile(folder, "1", 0, len(roots), b"".join(roots))
        return folder

    def _tile(self, folder: Path, room: str, number: int, width: int, data: bytes) -> None:
        path = folder / "tile" / room / (f"{number:03d}" if width == 256 else f"{number:03d}.p/{width}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _entries(count: int, tenant: str = "default") -> list[bytes]:
    fixed = f'{{"at":"2026-11-23T12:00:00.000Z","commitment":"{"0" * 64}","id":"00000000-0000-7000-8000-'
    rest = f'","kind":"decision","tag":null,"tenant":"{tenant}","v":1}}'
    return [f"{fixed}{number:012x}{rest}".encode() for number in range(count)]


@pytest.fixture
def log() -> Log:
    """A log with a key of its own."""
    return Log()


def test_a_good_export_is_whole(log: Log, tmp_path: Path) -> None:
    """Else the other tests here would prove nothing."""
    for size in (0, 3, 256, 600):
        report = verifier.check(log.write(tmp_path / f"{size}", _entries(size)), log.vkey)
        assert (report.findings, report.size) == ((), size)


def test_a_log_that_is_not_there_is_one_finding(log: Log, tmp_path: Path) -> None:
    """A checkpoint can say any size; nothing is looked for behind the first entry that is missing."""
    done = run(log.write(tmp_path / "log", [], 10**17))
    lines = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert lines == ["entry 0: index: from this entry on the log is not there: tile/entries/000 is missing"]
    assert done.returncode == 1


def test_behind_a_missing_bundle_nothing_is_compared(log: Log, tmp_path: Path) -> None:
    """One finding, not one for every tile and root above it; what was kept of the entries before it still counts."""
    entries, others = _entries(600), _entries(600, "other")
    folder = log.write(tmp_path / "log", entries)
    (folder / "tile/entries/001").unlink()
    same, late, forked = log.checkpoint(entries[:200]), log.checkpoint(others[:500]), log.checkpoint(others[:200])
    report = verifier.check(folder, log.vkey, since=(("same", same), ("late", late)))
    assert [(f.index, f.check) for f in report.findings] == [(256, "index")]
    assert report.size == 256
    report = verifier.check(folder, log.vkey, since=(("kept", forked),))
    assert [f.check for f in report.findings] == ["index", "checkpoint"]


def test_a_bundle_that_ends_ends_the_log(log: Log, tmp_path: Path) -> None:
    """From the entry on that is not whole."""
    folder = log.write(tmp_path / "log", _entries(600))
    path = folder / "tile/entries/001"
    path.write_bytes(path.read_bytes()[:-1])
    assert [(f.index, f.check) for f in verifier.check(folder, log.vkey).findings] == [(511, "index")]


def test_findings_are_counted_and_not_all_listed(log: Log, tmp_path: Path) -> None:
    """A thousand, and one that says how many more."""
    folder = log.write(tmp_path / "log", [b""] * 1500)
    *listed, last = verifier.check(folder, log.vkey).findings
    assert len(listed) == 1000
    assert str(last) == "more: 500 findings are not listed"


def test_two_entries_of_one_id_are_named(log: Log, tmp_path: Path) -> None:
    """However far apart they are: the root and the signature are right all the same."""
    entries = _entries(600)
    entries[520], entries[599] = entries[3], entries[3]
    report = verifier.check(log.write(tmp_path / "log", entries), log.vkey)
    entry_id = "00000000-0000-7000-8000-000000000003"
    assert [str(f) for f in report.findings] == [f"entry 599 ({entry_id}): id: entry 3 has the same ID"]


def test_a_checkpoint_of_nothing_hides_no_other(log: Log, tmp_path: Path) -> None:
    """Kept of a log before it began, beside one of later."""
    entries = _entries(300)
    folder = log.write(tmp_path / "log", entries)
    since = tuple((str(size), log.checkpoint(entries[:size])) for size in (0, 200))
    assert verifier.check(folder, log.vkey, since=since).findings == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["checkpoint", "log.vkey", "tile/entries/000.p/3", "tile/0/000.p/3"])
def test_a_file_that_is_none_is_told(log: Log, tmp_path: Path, name: str, kind: str) -> None:
    """A terabyte of nothing, a pipe, a link, a folder, a device: read by nobody, and named."""
    folder = log.write(tmp_path / "log", _entries(3))
    refill(folder / name, kind, tmp_path / "elsewhere")
    done = run(folder)
    assert done.returncode in (1, 2)
    assert Path(name).name in done.stderr


def test_tiles_are_not_read_through_a_link(log: Log, tmp_path: Path) -> None:
    """A folder of an export that is one elsewhere; the export itself may be reached by a link."""
    folder = log.write(tmp_path / "log", _entries(3))
    (tmp_path / "link").symlink_to(folder)
    assert run(tmp_path / "link").returncode == 0
    shutil.move(folder / "tile", tmp_path / "tile")
    (folder / "tile").symlink_to(tmp_path / "tile")
    done = run(folder)
    assert done.returncode == 1
    assert "tile is a link" in done.stderr


@pytest.mark.parametrize("kind", ["sparse", "pipe", "folder", "device"])
@pytest.mark.parametrize("option", ["--since", "--key", "--witness-policy"])
def test_what_is_given_may_be_no_file(log: Log, tmp_path: Path, option: str, kind: str) -> None:
    """Wrong usage, in one sentence; through a link of one's own a file is read."""
    folder = log.write(tmp_path / "log", _entries(3))
    given = tmp_path / "given"
    shutil.copy(folder / ("log.vkey" if option == "--key" else "checkpoint"), given)
    if option != "--witness-policy":
        (tmp_path / "link").symlink_to(given)
        assert run(folder, option, str(tmp_path / "link")).returncode == 0
    refill(given, kind, tmp_path / "elsewhere")
    done = run(folder, option, str(given))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_a_key_of_other_bytes_than_text_is_told(log: Log, tmp_path: Path) -> None:
    """In the export a finding, from the command line wrong usage."""
    folder = log.write(tmp_path / "log", _entries(3))
    (folder / "log.vkey").write_bytes(b"\xff\xfe")
    done = run(folder)
    assert (done.returncode, done.stderr) == (1, "checkpoint: the verifier key is not UTF-8 at byte 0\n")
    assert run(folder, "--key", str(folder / "log.vkey")).returncode == 2


def test_an_error_that_nobody_thought_of_is_one_sentence(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2: 1 would say that the export was checked."""

    def broken(*_: object, **__: object) -> Report:
        raise MemoryError(COLOURED)

    folder = log.write(tmp_path / "log", _entries(3))
    monkeypatch.setattr(verifier, "check", broken)
    assert offline.main([str(folder)]) == 2
    assert capsys.readouterr().err == f"muster-verify: {folder} cannot be checked: MemoryError: {SHOWN}\n"


def test_nothing_that_is_told_moves_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Controls, bidi marks and halves of characters are spelled out; other languages are not."""
    wrong = Finding(index=3, id=COLOURED, check="row", detail=f"Žofie 王 {COLOURED}\udcff")
    assert str(wrong) == f"entry 3 ({SHOWN}): row: Žofie 王 {SHOWN}\\udcff"
    report = Report(size=0, root=b"", findings=(wrong,), told=(COLOURED,))
    for as_json in (True, False):
        assert offline.tell(report, as_json=as_json) == 1
        told = capsys.readouterr()
        assert told.err == f"note: {SHOWN}\n{wrong}\n"
        assert told.out.isascii()
        assert not {"\x1b", "\x9b", "\x00"} & set(told.out)
        if as_json:
            assert json.loads(told.out)["told"] == [COLOURED]


def test_a_full_bundle_stands_in_for_the_partial_one(log: Log, tmp_path: Path) -> None:
    """An older checkpoint beside tiles that have grown: only the beginning of them is read."""
    entries = _entries(256)
    folder = log.write(tmp_path / "log", entries)
    (folder / "checkpoint").write_bytes(log.checkpoint(entries[:100]))
    report = verifier.check(folder, log.vkey)
    assert (report.findings, report.size) == ((), 100)


def test_what_a_former_key_signed_can_be_compared(log: Log, tmp_path: Path) -> None:
    """After a hand-over, if the former key is given too; the checkpoint of now is still the first key's alone."""
    former, entries = Log(), _entries(300)
    folder, kept = log.write(tmp_path / "log", entries), tmp_path / "kept"
    kept.write_bytes(former.checkpoint(entries[:200]))
    words = ["--key", log.vkey, "--since", str(kept)]
    assert "is not signed by" in run(folder, *words).stderr
    assert run(folder, *words, "--key", former.vkey).returncode == 0
    kept.write_bytes(former.checkpoint(_entries(200, "other")))
    assert "forked" in run(folder, *words, "--key", former.vkey).stderr
    assert run(folder, "--key", former.vkey, "--key", log.vkey).returncode == 1


def test_a_key_is_a_file_where_it_is_no_key(log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by a path with a plus; what is a key is not looked for as a file, which the export could have brought."""
    folder, path = log.write(tmp_path / "log", _entries(3)), tmp_path / "my+key"
    path.write_text(f"{log.vkey}\n")
    assert run(folder, "--key", str(path)).returncode == 0
    with pytest.raises(Invalid, match="not base64"):
        offline.key("neither+a+key")
    with pytest.raises(Invalid, match="No such file"):
        offline.key("nothing")
    brought = tmp_path / log.vkey
    brought.parent.mkdir(parents=True)
    brought.write_text(Log().vkey)
    monkeypatch.chdir(tmp_path)
    assert offline.key(log.vkey) == log.vkey


def test_keys_are_given_one_by_one() -> None:
    """None, or any number, the first the one of now."""
    parser = argparse.ArgumentParser()
    offline.add_options(parser)
    assert parser.parse_args([]).key == []
    assert parser.parse_args(["--key", "a", "--key", "b"]).key == ["a", "b"]
