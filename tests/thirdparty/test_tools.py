"""The tools by themselves, on logs that Tessera's writer made: each takes what is whole and refuses what is not."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.service.running import PLAIN
from tests.thirdparty import tools as others

ORIGIN = "log.example/tools"
ENTRIES = [f"entry {number}".encode() for number in range(300)]
EARLY = 200  # entries that the log had at its first checkpoint
Judge = Callable[[Path, Path], bool]

JUDGES: dict[str, Judge] = {
    "fsck": others.fsck,
    "checker": others.checker,
    "aics": others.aics_audit,
    "scales": others.scales_root,
}
# Where a bit is turned: the file, and which byte of it from the front or the end. Every tool notices each of these;
# tlog-scales does so only because it looks at every entry of a log of 512 or fewer.
DAMAGE = {
    "the origin": ("checkpoint", 0),
    "the size": ("checkpoint", len(ORIGIN) + 1),
    "the root": ("checkpoint", len(ORIGIN) + 6),
    "the signature": ("checkpoint", -20),
    "a leaf's hash": ("tile/0/000", 100 * 32),
    "a hash of a partial tile": ("tile/0/001.p/44", 40),
    "a hash of the upper level": ("tile/1/000.p/1", 31),
    "an entry": ("tile/entries/000", 700),
    "an entry of a partial bundle": ("tile/entries/001.p/44", -1),
    "an entry's length": ("tile/entries/000", 1),
}


@dataclass(frozen=True, slots=True)
class Log:
    """A log that Tessera wrote in two goes."""

    directory: Path
    vkey: Path
    skey: str
    early: Path


@pytest.fixture(scope="module")
def log(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Log:
    """A log of 300 entries; nobody may change it."""
    assert tools.is_dir()
    folder = tmp_path_factory.mktemp("log")
    skey, vkey = others.new_key(ORIGIN)
    made = Log(folder / "log", folder / "log.vkey", skey, folder / "early")
    made.vkey.write_text(vkey + "\n")
    others.oneshot(made.directory, skey, ENTRIES[:EARLY])
    shutil.copy(made.directory / "checkpoint", made.early)
    others.oneshot(made.directory, skey, ENTRIES[EARLY:])
    return made


def changed(log: Log, folder: Path, path: str, at: int) -> Path:
    """A copy of the log with one bit of one file turned over."""
    copy = shutil.copytree(log.directory, folder / "copy")
    data = bytearray((copy / path).read_bytes())
    data[at] ^= 1
    (copy / path).write_bytes(data)
    return copy


@pytest.mark.parametrize("name", JUDGES)
def test_a_whole_log_is_accepted(log: Log, name: str) -> None:
    """Every tool accepts the log that Tessera wrote."""
    assert JUDGES[name](log.directory, log.vkey)


def test_what_is_published_does_not_depend_on_batches(log: Log, tmp_path: Path) -> None:
    """A log written in one go and one written in two publish the same bytes, outgrown partial tiles left aside."""
    others.oneshot(tmp_path / "log", log.skey, ENTRIES)
    assert (log.directory / "tile/0/000.p/200").is_file()
    assert others.published(log.directory) == others.published(tmp_path / "log")
    whole = {"tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/44"}
    assert set(others.published(log.directory)) == {"checkpoint", *whole}


@pytest.mark.parametrize("name", JUDGES)
def test_an_empty_log_is_accepted(tools: Path, tmp_path: Path, name: str) -> None:
    """A log without entries is a checkpoint and nothing else, and every tool accepts it."""
    assert tools.is_dir()
    skey, vkey = others.new_key(ORIGIN)
    (tmp_path / "vkey").write_text(vkey)
    others.oneshot(tmp_path / "log", skey, [])
    assert set(others.published(tmp_path / "log")) == {"checkpoint"}
    assert JUDGES[name](tmp_path / "log", tmp_path / "vkey")


@pytest.mark.parametrize("what", DAMAGE)
@pytest.mark.parametrize("name", JUDGES)
def test_one_bit_is_noticed(log: Log, tmp_path: Path, name: str, what: str) -> None:
    """One changed bit anywhere is refused by every tool."""
    path, at = DAMAGE[what]
    assert not JUDGES[name](changed(log, tmp_path, path, at), log.vkey)


@pytest.mark.parametrize("name", JUDGES)
def test_another_key_is_refused(log: Log, tmp_path: Path, name: str) -> None:
    """A log is nobody's but its key's, even where the key's name is right."""
    (tmp_path / "vkey").write_text(others.new_key(ORIGIN)[1])
    assert not JUDGES[name](log.directory, tmp_path / "vkey")


@pytest.mark.parametrize("name", JUDGES)
@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/001.p/44", "tile/entries/000", "checkpoint"])
def test_a_missing_file_is_refused(log: Log, tmp_path: Path, name: str, path: str) -> None:
    """No file that the checkpoint needs can be missing."""
    copy = shutil.copytree(log.directory, tmp_path / "copy")
    (copy / path).unlink()
    assert not JUDGES[name](copy, log.vkey)


@pytest.mark.parametrize("name", JUDGES)
def test_a_full_tile_stands_for_a_partial_one(log: Log, tmp_path: Path, name: str) -> None:
    """An earlier checkpoint can be read when its partial tiles are gone and the full ones are there."""
    copy = shutil.copytree(log.directory, tmp_path / "copy")
    shutil.copy(log.early, copy / "checkpoint")
    shutil.rmtree(copy / "tile/0/000.p")
    shutil.rmtree(copy / "tile/entries/000.p")
    assert JUDGES[name](copy, log.vkey)


def test_bytes_after_the_last_entry_are_refused(log: Log, tmp_path: Path) -> None:
    """The checker and aics-tlog let nothing follow the last entry of a bundle (fsck and tlog-scales do not look)."""
    copy = shutil.copytree(log.directory, tmp_path / "copy")
    with (copy / "tile/entries/001.p/44").open("ab") as bundle:
        bundle.write(b"\x00\x01x")
    assert {name: judge(copy, log.vkey) for name, judge in JUDGES.items()} == {
        "fsck": True,
        "checker": False,
        "aics": False,
        "scales": True,
    }


def test_a_tool_that_is_not_there_is_no_refusal(log: Log, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where a tool cannot be run there is no answer: a missing tool never looks like a log refused."""
    monkeypatch.setenv("MUSTER_CACHE", str(tmp_path))
    for judge in JUDGES.values():
        with pytest.raises(FileNotFoundError):
            judge(log.directory, log.vkey)


def test_an_earlier_checkpoint_is_consistent(log: Log, tmp_path: Path) -> None:
    """A grown log is consistent with its earlier checkpoint, and not with one of other entries under the same key."""
    assert others.checker(log.directory, log.vkey, old=log.early)
    others.oneshot(tmp_path / "other", log.skey, [b"x", *ENTRIES[1:EARLY]])
    assert not others.checker(log.directory, log.vkey, old=tmp_path / "other" / "checkpoint")


def test_a_log_rolled_back_is_noticed_by_a_kept_checkpoint(log: Log, tmp_path: Path) -> None:
    """A shorter log is whole in itself; only who kept a later checkpoint sees that it has lost entries."""
    others.oneshot(tmp_path / "log", log.skey, ENTRIES[:EARLY])
    assert others.fsck(tmp_path / "log", log.vkey)
    assert others.checker(tmp_path / "log", log.vkey, old=log.early)
    assert not others.checker(tmp_path / "log", log.vkey, old=log.directory / "checkpoint")


@pytest.mark.parametrize("index", [0, 255, 256, 299])
def test_a_proof_is_of_its_entry(log: Log, tmp_path: Path, index: int) -> None:
    """A .tlog-proof that tlog-scales made is of its entry and of no other, with the directory and without."""
    proof, right, wrong = tmp_path / "p.tlog-proof", tmp_path / "right", tmp_path / "wrong"
    proof.write_bytes(others.scales_proof(log.directory, index))
    right.write_bytes(ENTRIES[index])
    wrong.write_bytes(ENTRIES[index - 1])
    for entry in (right, wrong):
        for directory in (log.directory, None):
            assert others.checker(directory, log.vkey, proof=proof, entry=entry) is (entry == right)
        assert others.aics_verify_proof(proof, entry, log.vkey) is (entry == right)


def test_a_proof_of_an_earlier_checkpoint_holds(log: Log, tmp_path: Path) -> None:
    """A proof stands on the checkpoint within it, so it holds when the log has grown."""
    others.oneshot(tmp_path / "log", log.skey, ENTRIES[:EARLY])
    (tmp_path / "p.tlog-proof").write_bytes(others.scales_proof(tmp_path / "log", 7))
    (tmp_path / "entry").write_bytes(ENTRIES[7])
    assert others.checker(log.directory, log.vkey, proof=tmp_path / "p.tlog-proof", entry=tmp_path / "entry")


def add_checkpoint(witness: others.Witness, old: int, checkpoint: Path, proof: list[bytes]) -> httpx.Response:
    """Ask a witness for its cosignature, as c2sp.org/tlog-witness has it."""
    lines = [f"old {old}", *(base64.b64encode(step).decode() for step in proof), ""]
    body = "".join(f"{line}\n" for line in lines).encode() + checkpoint.read_bytes()
    return httpx.post(f"{witness.url}/add-checkpoint", content=body, timeout=30, verify=PLAIN)


def test_a_witness_cosigns_what_tessera_wrote(log: Log, tmp_path: Path) -> None:
    """A witness cosigns the first checkpoint that it sees, and the log with its line is accepted by others."""
    with others.aics_witness(log.vkey.read_text().strip(), tmp_path / "witness") as witness:
        answer = add_checkpoint(witness, 0, log.directory / "checkpoint", [])
        assert (answer.status_code, answer.text.split(" ")[:2]) == (200, ["—", "witness.example/w1"])
        assert not others.checker(log.directory, log.vkey, witnesses=[witness.vkey])
        copy = shutil.copytree(log.directory, tmp_path / "copy")
        with (copy / "checkpoint").open("a") as checkpoint:
            checkpoint.write(answer.text)
        assert others.checker(copy, log.vkey, witnesses=[witness.vkey])
        assert all(judge(copy, log.vkey) for judge in JUDGES.values())
        proof, entry = tmp_path / "p.tlog-proof", tmp_path / "entry"
        proof.write_bytes(others.scales_proof(copy, 7))
        entry.write_bytes(ENTRIES[7])
        assert others.checker(None, log.vkey, proof=proof, entry=entry, witnesses=[witness.vkey])
        assert others.aics_verify_proof(proof, entry, log.vkey, witnesses=[witness.vkey])
        stranger = witness.vkey.replace("/w1", "/w2")
        assert not others.aics_verify_proof(proof, entry, log.vkey, witnesses=[stranger])


def test_a_witness_remembers_over_a_restart(log: Log, tmp_path: Path) -> None:
    """What a witness has cosigned it knows after a power cut, under the same key and address."""
    with others.aics_witness(log.vkey.read_text().strip(), tmp_path / "witness") as witness:
        assert add_checkpoint(witness, 0, log.directory / "checkpoint", []).status_code == 200
        before = (witness.url, witness.vkey)
        witness.kill()
        witness.start()
        assert (witness.url, witness.vkey) == before
        answer = add_checkpoint(witness, 0, log.early, [])
        assert (answer.status_code, answer.text) == (409, f"{len(ENTRIES)}\n")
        assert answer.headers["Content-Type"] == "text/x.tlog.size"
        assert add_checkpoint(witness, len(ENTRIES), log.directory / "checkpoint", []).status_code == 200
    with others.aics_witness([], tmp_path / "witness") as again:
        assert again.vkey == before[1]
        assert add_checkpoint(again, len(ENTRIES), log.directory / "checkpoint", []).status_code == 200


def test_a_witness_refuses_a_log_that_it_does_not_trust(log: Log, tmp_path: Path) -> None:
    """A witness cosigns for the logs that it was told of only."""
    with others.aics_witness(others.new_key("other.example/log")[1], tmp_path / "witness") as witness:
        assert add_checkpoint(witness, 0, log.directory / "checkpoint", []).status_code == 404
