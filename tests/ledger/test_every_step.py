"""Each call of the store's to its files fails, in every way: nothing acknowledged is lost, nothing refused is there.

A small life of a ledger (`killed_at.LIFE`) makes some five hundred calls to SQLite's VFS, the same ones each time. For
every one of them, and everything that can go wrong with it, the life is lived anew; what it left is opened as it lies,
checked, sent again and gone on with. None is left out, but where two come to the same: a kill or a cut of power before
a call that changes nothing is one before the next call that does, and a cut before a write that it takes anyway is one
before that write's sync.

A kill leaves what the system holds. A cut of power is played: the files are set back to what was synced of them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, cast

import apsw
import pytest

from ledger import errors, merkle
from ledger.canonical import JSON
from ledger.model import RawEntry, Receipt
from ledger.sqlite import SqliteLedger, writer
from ledger.sqlite.scrub import occurrences
from ledger.sqlite.transaction import Transaction
from ledger.sqlite.waiting import Waiting, answer
from ledger.verifier.note import opened, parse_key
from ledger.verify import verify
from tests.ledger.builders import ANN, BOB, START, TENANT, FakeClock, decision, joins
from tests.ledger.faults import Call, Fault, Kill, Steps
from tests.ledger.killed_at import IDS, LIFE, LINE, SECRET, VKEY, Facts, Tell, hurried, live, look, submit, work

_ROOT: Final = Path(__file__).parents[2]
_FAR: Final = 2**62
_SENT: Final = [name for group in LIFE for name in group if name not in ("close", "stale", "scrubbed")]
_LOST: Final = "was acknowledged and is not there"


class _Told:
    """What whoever lived the life sent, and what they were told last."""

    def __init__(self) -> None:
        self.sent: dict[str, Facts] = {}
        self.receipts: dict[str, list[list[JSON]]] = {}
        self.refused: dict[str, str] = {}

    def hear(self, what: str, facts: Facts) -> None:
        """See Tell."""
        name = cast(str, facts["name"])
        if what == "sent":
            self.sent[name] = cast(Facts, facts["facts"])
        elif "receipts" in facts:
            self.receipts[name] = cast("list[list[JSON]]", facts["receipts"])
        else:
            self.refused[name] = cast(str, facts["refused"])


class _Left:
    """What a life left behind, opened by SQLite's own VFS and held against what was told of it."""

    def __init__(self, path: Path, told: _Told) -> None:
        self.wrong: list[str] = []
        self._path = path
        self._told = told
        self._ledger = SqliteLedger(path, clock=FakeClock())
        self._reader = self._ledger.reader()
        self._read()

    def close(self) -> None:
        """Give everything back."""
        self._reader.close()
        self._ledger.close()

    def _require(self, holds: object, sentence: str) -> None:
        if not holds:
            self.wrong.append(sentence)

    def _read(self) -> None:
        self._log: list[RawEntry] = list(self._reader.raw_entries(TENANT, 0, _FAR))
        self._at = {each.id: each.index for each in self._log}
        self._require(len(self._at) == len(self._log), "an ID is in the log twice")

    def _there(self, name: str) -> bool:
        """Whether what is sent under this name is in the ledger, whole."""
        newest = self._reader.checkpoint(TENANT)
        if name == "published":
            return newest is not None
        if name == "cosigned":
            return newest is not None and newest.cosignatures == (LINE,)
        there = [entry_id in self._at for entry_id in IDS[name]]
        self._require(all(there) or not any(there), f"a part of {name} is there")
        return all(there)

    def as_told(self) -> None:
        """All that was acknowledged is where its receipt says, and nothing that was refused is anywhere."""
        for name in [*_SENT, "stale"]:
            there = self._there(name)
            if name in self._told.receipts:
                self._require(there, f"{name} {_LOST}")
                for entry_id, index, _ in self._told.receipts[name]:
                    self._require(self._at.get(cast(str, entry_id)) == index, f"{name} is not where it was said to be")
            elif name not in self._told.sent:
                self._require(not there, f"{name} was never sent, and is there")
            elif self._told.refused.get(name, "Unknown") != "Unknown":
                self._require(not there, f"{name} was refused ({self._told.refused[name]}) and is there")
        self._require(not self._there("stale"), "what is stale is there")

    def is_whole(self) -> None:
        """The verifier finds nothing, an erasure took what it lists and nothing else, what is signed is of this log."""
        erasures = self._reader.of_kind(TENANT, ["erasure"], 0, _FAR)
        gone = {index for each in erasures for index in cast("list[int]", each.value["indices"])}
        self._require({each.index for each in self._log if each.payload is None} == gone, "other payloads are gone")
        known = any(each.id in IDS["ann"] and each.payload is not None for each in self._log)
        self._require((self._reader.person(TENANT, ANN) is not None) == known, "Ann is known, or not, against the log")
        leaves = [merkle.leaf_hash(each.header) for each in self._log]
        for kept in self._reader.checkpoints(TENANT, _FAR, 100):
            signed, _ = opened(kept.log_note.encode(), parse_key(VKEY))
            self._require(signed.size == kept.size <= len(leaves), "a checkpoint is larger than the log")
            self._require(signed.root == merkle.root_of(leaves[: kept.size]), "a checkpoint is of another log")
        self._require(self._reader.head(TENANT).root == merkle.root_of(leaves), "the head is of another log")
        self.wrong += [str(finding) for finding in verify(self._path, TENANT).findings]

    def goes_on(self) -> None:
        """The same appends, sent again, get their first receipts or go in; one that is new goes in; a scrub scrubs."""
        for name in _SENT:
            try:
                self._again(name)
            except errors.LedgerError as refused:
                self.wrong.append(f"{name}, sent again, was refused: {refused}")
        self._read()
        later = self._ledger.submit(decision(BOB, now=START, reads=joins(BOB).reads)).result(timeout=60)
        self._require(later[0].index == len(self._log), "a later append is not the next one")
        self._read()
        self._ledger.scrub(rewrite=True).result(timeout=60)
        known = self._reader.person(TENANT, ANN) is not None
        self._require(known or not _remains(self._path, "", "-wal"), "what was erased cannot be cleared from the files")

    def _again(self, name: str) -> None:
        there, erased = self._there(name), self._there("erased")
        what = work(name, self._told.sent.get(name, look(self._reader)))
        if what is None:
            self.wrong.append(f"there is nothing to send for {name}")
            return
        try:
            receipts = submit(self._ledger, what)()
        except errors.Erased:
            self._require(there and erased and name in ("ann", "decided"), f"{name} is said to be erased")
            return
        except errors.Stale:
            self._require(not there, f"{name} is there and was refused as stale")
            what = work(name, look(self._reader))  # decided again, as any client does
            assert what is not None
            receipts = submit(self._ledger, what)()
        self._require(all(receipt.duplicate == there for receipt in receipts), f"{name} is there twice, or is not new")
        if name in self._told.receipts:
            first = [[each.id, each.index, each.at] for each in receipts]
            self._require(first == self._told.receipts[name], f"{name} has other receipts than at first")


def _wrong(path: Path, told: _Told, *, cut: bool) -> list[str]:
    """All that is wrong with what a life left, in sentences."""
    cleared = {"erased", "scrubbed"} <= told.receipts.keys()
    # After a cut the log of writes may have its old length again. Whoever opens it first clears it.
    before = cleared and not cut and _remains(path, "", "-wal", "-shm")
    left = _Left(path, told)
    try:
        # Not the shared memory: for a log without a whole frame SQLite makes it of whatever is in this process' heap.
        if before or (cleared and _remains(path, "", "-wal")):
            left.wrong.append("what was erased is in the files")
        left.as_told()
        left.is_whole()
        left.goes_on()
        left.is_whole()
    finally:
        left.close()
    return left.wrong


def _remains(path: Path, *tails: str) -> bool:
    files = [Path(f"{path}{tail}") for tail in tails]
    return any(occurrences(file, SECRET.encode()) for file in files if file.exists())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where lives leave their files: in memory, where the machine has that, since thousands of them sync."""
    memory = Path("/dev/shm")
    with hurried(), TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as name:
        yield Path(name)


def _calls(folder: Path, life: Callable[[Path, Steps, Tell], None] = live) -> list[Call]:
    """The calls of a life in which nothing fails."""
    folder.mkdir()
    steps, told = Steps(folder / "ledger.db"), _Told()
    life(steps.path, steps, told.hear)
    assert told.refused == {"stale": "Stale"}
    assert _wrong(steps.path, told, cut=False) == []
    shutil.rmtree(folder)
    return steps.calls


def _lives(
    folder: Path, fault: Fault, calls: list[Call], life: Callable[[Path, Steps, Tell], None] = live
) -> Iterator[tuple[Steps, _Told, list[str]]]:
    """A life for every call in which the fault can come: its calls, what was told, what is wrong with what it left."""
    for at, call in enumerate(calls, start=1):
        if call.can(fault):
            path = folder / str(at) / "ledger.db"
            path.parent.mkdir()
            steps, told = Steps(path, fault, at), _Told()
            life(path, steps, told.hear)
            if steps.dead:
                steps.lose()
            yield steps, told, _wrong(path, told, cut=steps.dead)
            shutil.rmtree(path.parent)


@pytest.mark.parametrize("fault", ["full", "no space", "error", "torn", "broken", "cut", "cut log", "cut database"])
def test_no_call_that_fails_does_harm(folder: Path, fault: Fault) -> None:
    """A disk that is full or broken, for once or for good, a write that is torn, power that is cut: at every call."""
    calls = _calls(folder / "0")
    found = {}
    for steps, told, wrong in _lives(folder, fault, calls):
        assert steps.calls[: steps.at] == calls[: steps.at]
        if fault in ("error", "torn") and not told.refused.keys() <= {"stale", "scrubbed"}:
            wrong.append(f"an error that passes kept an append out: {told.refused}")
        if wrong:
            found[f"{steps.at}: {calls[steps.at - 1]}"] = wrong
    assert found == {}


@pytest.mark.parametrize("fault", ["kill", "kill torn"])
def test_no_kill_does_harm(folder: Path, fault: Kill) -> None:
    """A process that is killed before any call, or when half a write was done."""
    numbers = [at for at, call in enumerate(_calls(folder / "0"), start=1) if call.can(fault)]
    found: dict[int, list[str]] = {}
    command = [sys.executable, "-m", "tests.ledger.killed_at", str(folder), fault]
    with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as children:
        assert children.stdin is not None
        assert children.stdout is not None
        children.stdin.write("".join(f"{at}\n" for at in numbers))
        children.stdin.close()
        for at in numbers:
            assert children.stdout.readline() == f"{at} True\n"
            home, told = folder / str(at), _Told()
            for line in (home / "told").read_text().splitlines():
                facts = json.loads(line)
                told.hear(facts.pop("what"), facts)
            if wrong := _wrong(home / "ledger.db", told, cut=False):
                found[at] = wrong
            shutil.rmtree(home)
    assert found == {}


def _early(self: SqliteLedger, db: apsw.Connection, batch: list[Waiting]) -> None:
    """The writer's commit, the wrong way round."""
    transaction = Transaction(db, self._memory, self._watch.read(), self._watch.offset_ns)
    db.execute("BEGIN IMMEDIATE")
    outcomes: list[tuple[Receipt, ...] | errors.LedgerError] = []
    for waiting in batch:
        try:
            outcomes.append(writer._do(db, transaction, waiting.work))
        except errors.LedgerError as refused:
            outcomes.append(refused)
    transaction.finish()
    for waiting in batch:
        waiting.attempted = True
    answer(zip(batch, outcomes, strict=True))
    db.execute("COMMIT")


def _early_life(path: Path, steps: Steps, tell: Tell) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteLedger, "_commit", _early)
        live(path, steps, tell)


def _unsynced_life(path: Path, steps: Steps, tell: Tell) -> None:
    live(path, steps, tell, synchronous="NORMAL")


@pytest.mark.parametrize("fault", ["full", "cut"])
def test_an_answer_before_the_commit_is_found(folder: Path, fault: Fault) -> None:
    """A store that answers too early is caught: its appends were acknowledged and are not there."""
    lives = _lives(folder, fault, _calls(folder / "0"), _early_life)
    assert any(_LOST in sentence for _, _, wrong in lives for sentence in wrong)


def test_an_answer_before_the_sync_is_found(folder: Path) -> None:
    """A store that does not wait for its syncs is caught where power is cut."""
    lives = _lives(folder, "cut", _calls(folder / "0", _unsynced_life), _unsynced_life)
    assert any(_LOST in sentence for _, _, wrong in lives for sentence in wrong)
