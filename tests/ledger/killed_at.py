"""The small life of a ledger, here or in children of this program, each killed at one call to the VFS.

As a program: `python -m tests.ledger.killed_at FOLDER FAULT` forks a child for each call of the life, one after the
other, and prints the call's number when that child is dead. It never starts a thread, so it may fork.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import errors, note
from ledger.canonical import JSON
from ledger.model import Append, Cosigned, Draft, Published, Receipt
from ledger.sqlite import SqliteLedger, SqliteReader, schema, writeback, writer
from ledger.sqlite.scrub import Scrub
from ledger.store import Reader
from tests.ledger.builders import (
    ANN,
    BOB,
    BY,
    START,
    TENANT,
    FakeClock,
    activation,
    certification,
    decision,
    draft,
    joins,
    name_of,
    one,
    result,
    settle,
    subject,
)
from tests.ledger.faults import KILLED, Kill, Steps

SECRET: Final = "Ann's own words"
ORIGIN: Final = "example.org/log"
SIGNER: Final = note.FileSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
VKEY: Final = note.vkey(ORIGIN, SIGNER.public)
LINE: Final = f"\u2014 witness.example {'abcd' * 9}"
PAGES: Final = 16
"""The log of writes is copied into the database after so many pages, not 1,000, so that a small life meets it."""

Facts: TypeAlias = dict[str, JSON]
Work: TypeAlias = Append | Published | Cosigned | Scrub
Tell: TypeAlias = Callable[[str, Facts], None]

# What is sent, in order; those that stand together wait together. `close` closes and opens again.
LIFE: Final = (
    ("begin",),
    ("ann",),
    ("decided", "stale", "about bob"),
    ("published",),
    ("cosigned",),
    ("close",),
    ("window",),
    ("erased",),
    ("scrubbed",),
    ("bob",),
)


def _id(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012x}"


def _numbered(first: int, *drafts: Draft) -> tuple[Draft, ...]:
    """The same IDs in every process and every life."""
    return tuple(replace(each, id=_id(first + offset)) for offset, each in enumerate(drafts))


def _ann() -> tuple[Draft, ...]:
    [came] = _numbered(11, result(ANN))
    return (
        *_numbered(10, subject(ANN, {"note": SECRET})),
        came,
        *_numbered(12, certification(ANN, of=came, reads=[], now=START)),
    )


def _window() -> tuple[Draft, ...]:
    window: dict[str, JSON] = {"starts_at": START, "ends_at": START, "resources": ["x" * 10_000]}
    return _numbered(40, draft("change_window", window))


def _bob() -> tuple[Draft, ...]:
    came = result(BOB)
    taken: JSON = {"key": "1" * 64, "request": "2" * 64}
    return _numbered(60, replace(came, payload={**came.payload, "idempotency": taken}))


def look(reader: Reader) -> Facts:
    """What whoever sends reads before."""
    head, newest = reader.head(TENANT), reader.checkpoint(TENANT)
    return {
        "size": head.size,
        "root": head.root.hex(),
        "about": list[JSON](reader.indices_about(TENANT, ANN)),
        "reads": reader.objects(TENANT, [name_of(ANN)])[name_of(ANN)][0] if reader.person(TENANT, ANN) else None,
        "signed": newest.size if newest else None,
    }


def work(name: str, facts: Facts) -> Work | None:
    """What is sent under this name by one who saw these facts; None for nothing."""
    if name == "begin":
        signs: dict[str, JSON] = {"event": "first", "origin": ORIGIN, "vkey": VKEY, "previous": None}
        return one(*_numbered(1, activation(), draft("log.key", signs)))
    if name == "ann":
        return one(*_ann(), reads=joins(ANN).reads)
    if name == "decided":
        reads = joins(ANN).reads if facts["reads"] is None else ((name_of(ANN), cast(int, facts["reads"])),)
        append = decision(ANN, now=START, reads=reads)
        return replace(append, drafts=_numbered(20, *append.drafts))
    if name == "stale":
        append = decision(BOB, now=START, revision="f" * 64)
        return replace(append, drafts=_numbered(21, *append.drafts))
    if name == "about bob":
        append = decision(BOB, now=START, reads=joins(BOB).reads)
        return replace(append, drafts=_numbered(22, *append.drafts))
    if name == "published":
        size, root = cast(int, facts["size"]), bytes.fromhex(cast(str, facts["root"]))
        text = note.signed(note.checkpoint_text(ORIGIN, size, root), ORIGIN, SIGNER)
        return Published(tenant=TENANT, size=size, root=root, at=START, note=text) if size else None
    if name == "cosigned":
        signed = facts["signed"]
        return Cosigned(tenant=TENANT, size=cast(int, signed), lines=(LINE,)) if signed else None
    if name == "window":
        return one(*_window())
    if name == "erased":
        erasure: dict[str, JSON] = {"indices": facts["about"], "reason": "asked", "approved_by": [], "by": BY}
        return Append(tenant=TENANT, drafts=_numbered(50, draft("erasure", erasure)), erases=ANN)
    if name == "scrubbed":
        return Scrub(rewrite=True)
    assert name == "bob"
    return one(*_bob())


_NOTHING: Final[Facts] = {"size": 0, "root": "", "about": [], "reads": None, "signed": None}
IDS: Final[dict[str, list[str]]] = {
    name: [each.id for each in what.drafts]
    for group in LIFE
    for name in group
    if name != "close" and isinstance(what := work(name, _NOTHING), Append)
}
"""The entries that are sent under each name."""


def submit(ledger: SqliteLedger, what: Work) -> Callable[[], tuple[Receipt, ...]]:
    """Send it; answers what waits for the outcome."""
    if isinstance(what, Append):
        future = ledger.submit(what)
    elif isinstance(what, Scrub):
        future = ledger.scrub(rewrite=what.rewrite)
    else:
        future = ledger.keep(what)
    return lambda: future.result(timeout=60)


def live(path: Path, steps: Steps, tell: Tell, *, synchronous: schema.Synchronous = "FULL") -> None:
    """The life, whatever goes wrong in it; tells what is sent (`sent`) and what came of it (`told`)."""
    with steps.watching():
        ledger = _opened(path, steps, synchronous)
        reader = None if ledger is None else SqliteReader(path)
        for group in LIFE:
            if ledger is None or reader is None or steps.dead:
                break
            if group == ("close",):
                ledger.close()
                ledger = _opened(path, steps, synchronous)
                continue
            facts, waiting = look(reader), []
            with ledger._entering:  # the writer takes nothing until all of a group wait
                for name in group:
                    if (what := work(name, facts)) is not None:
                        tell("sent", {"name": name, "facts": facts})
                        waiting.append((name, submit(ledger, what)))
            for name, outcome in waiting:
                told = _outcome(outcome)
                if not steps.dead:
                    tell("told", {"name": name, **told})
            settle(ledger)  # a reader in the checkpoint's way would make lives differ
        if reader is not None:
            reader.close()
        if ledger is not None:
            ledger.close()


def _outcome(wait: Callable[[], tuple[Receipt, ...]]) -> Facts:
    try:
        return {"receipts": [[each.id, each.index, each.at] for each in wait()]}
    except errors.LedgerError as refused:
        return {"refused": type(refused).__name__}


def _opened(path: Path, steps: Steps, synchronous: schema.Synchronous) -> SqliteLedger | None:
    """The ledger; as whoever runs it would, this tries once more where it cannot be opened."""
    for _ in range(2):
        with suppress(errors.NotReady), steps.opening():
            return SqliteLedger(path, clock=FakeClock(), synchronous=synchronous)
    return None


@contextmanager
def hurried() -> Iterator[None]:
    """The writer as it is, but for two numbers: it does not pause before it tries again, and PAGES."""
    real_pages, real_pause = writeback.PAGES, writer._PAUSE_S
    writeback.PAGES = PAGES  # type: ignore[misc]
    writer._PAUSE_S = 0.0  # type: ignore[misc]
    try:
        yield
    finally:
        writeback.PAGES = real_pages  # type: ignore[misc]
        writer._PAUSE_S = real_pause  # type: ignore[misc]


def main(folder: str, fault: str) -> None:
    """For each number of a call on the input: a new folder, a child that lives there and is killed."""
    for line in sys.stdin:
        home = Path(folder) / line.strip()
        home.mkdir()
        child = os.fork()
        if child == 0:
            _be_killed(home, cast(Kill, fault), int(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{line.strip()} {os.waitstatus_to_exitcode(status) == KILLED}\n")
        sys.stdout.flush()


def _be_killed(home: Path, fault: Kill, at: int) -> None:
    told = os.open(home / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        with hurried():
            live(
                home / "ledger.db",
                Steps(home / "ledger.db", fault, at),
                lambda what, facts: _write(told, {"what": what, **facts}),
            )
    finally:
        os._exit(1)


def _write(descriptor: int, line: Facts) -> None:
    os.write(descriptor, json.dumps(line).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
