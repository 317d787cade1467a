"""A log with many results, written without a service, and archives of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.reports import evidence
from engine.reports.query import Query
from ledger import note
from ledger.model import Person, Published
from ledger.note import FileSigner
from ledger.sqlite import SqliteLedger, SqliteReader
from ledger.verifier import archive as verifier
from ledger.verifier.note import parse_key
from tests.ledger.builders import BY, START, TENANT, activation, draft, joins, one, result

ORIGIN = "log.example/tlog/default"
_TOGETHER = 1000


@dataclass(frozen=True)
class Log:
    """A log on disk, its key, and an instant after which little was written."""

    path: Path
    signer: FileSigner
    vkey: str
    late: str


def log(path: Path, results: int) -> Log:
    """A log of so many results of a hundred people, with a checkpoint over all."""
    signer = FileSigner(Ed25519PrivateKey.generate())
    vkey = note.vkey(ORIGIN, signer.public)
    ledger = SqliteLedger(path, synchronous="OFF")
    named = {"event": "began", "origin": ORIGIN, "vkey": vkey, "previous": None, "signature": None, "reason": "test"}
    ledger.submit(one(activation())).result(timeout=60)
    ledger.submit(one(draft("log.key", {**named, "by": BY}))).result(timeout=60)
    people = [Person("user", f"person-{n}") for n in range(100)]
    for person in people:
        ledger.submit(joins(person)).result(timeout=60)
    for start in range(0, results, _TOGETHER):
        drafts = [result(people[n % 100], when=START) for n in range(start, min(start + _TOGETHER, results))]
        last = ledger.submit(one(*drafts)).result(timeout=60)
    reader = ledger.reader()
    head = reader.head(TENANT)
    text = note.checkpoint_text(ORIGIN, head.size, head.root)
    published = Published(
        tenant=TENANT, size=head.size, root=head.root, at=last[0].at, note=note.signed(text, ORIGIN, signer)
    )
    ledger.keep(published).result(timeout=60)
    reader.close()
    ledger.close()
    return Log(path, signer, vkey, last[-1].at)


def archive(found: Log, folder: Path, **query: Any) -> evidence.Written:
    """An archive of it, signed."""
    reader = SqliteReader(found.path)
    try:
        stored = reader.checkpoint(TENANT)
        assert stored is not None
        with evidence.fresh(folder):
            written = evidence.write(
                evidence.Source(reader=reader, tenant=TENANT, key=parse_key(found.vkey), checkpoint=stored),
                Query(**query),
                folder,
                made_at=found.late,
                made_by={"role": "test"},
                progress=lambda *_: None,
            )
            written.seal(note.signed(verifier.signed_text(written.sha256), ORIGIN, found.signer))
    finally:
        reader.close()
    return written
