"""Evidence archives: a folder that an auditor checks without the service, and without trusting who made it.

Rows as CSV and JSON, every entry behind them with its proof to a signed checkpoint, and a manifest with the SHA-256 of
each file, which the log's key signs. For one person over a time it carries every header of the range and the person's
tag key, so that it can be seen that nothing about them was left out. What cannot be proved the archive says itself.

Made beside the service: only the checkpoint and the signature are asked of it.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import BadRequest, Conflict
from engine.home import write_private
from engine.publishing.outside import subtrees
from engine.reports import rows, words
from engine.reports.query import Query
from engine.reports.selection import Progress, Selection
from ledger import canonical, tiles
from ledger.merkle import Subtrees, inclusion_proof
from ledger.model import JSON, Person, StoredCheckpoint
from ledger.store import Reader
from ledger.verifier.note import Key, parse, parse_checkpoint, verify

FORMAT: Final = "muster/evidence/v1"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
_HEADERS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What an archive is made from: a log up to a checkpoint, and the key that signed it."""

    reader: Reader
    tenant: str
    key: Key
    checkpoint: StoredCheckpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An archive whose files are written and whose manifest is not: that waits for its signature."""

    folder: Path
    manifest: bytes
    key: Key
    counts: dict[str, int]
    complete: bool

    @property
    def sha256(self) -> str:
        """What is to be signed."""
        return hashlib.sha256(self.manifest).hexdigest()

    def seal(self, note: str) -> None:
        """Put signature and manifest in place, each whole or not at all; raises Conflict for another key's."""
        if self.key not in verify(parse(note.encode()), [self.key]):
            raise Conflict("the log's key has handed over while the archive was made: make it again")
        write_private(self.folder / SIGNATURE, note)
        write_private(self.folder / MANIFEST, self.manifest.decode())


@contextmanager
def fresh(folder: Path) -> Iterator[None]:
    """A private folder with nothing in it; what is written is taken away if the archive does not come to its end."""
    there = folder.exists()
    if there and (not folder.is_dir() or any(folder.iterdir())):
        raise BadRequest(f"{folder} is there and not empty: an archive is written into a folder of its own")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    try:
        yield
    except BaseException:
        for path in folder.iterdir():
            path.unlink()
        if not there:
            folder.rmdir()
        raise


def write(
    source: Source, query: Query, folder: Path, *, made_at: str, made_by: dict[str, JSON], progress: Progress
) -> Written:
    """Write an archive's files into a fresh folder; raises BadRequest for a query that cannot be one."""
    query.check()
    selection = Selection(source.reader, source.tenant, source.checkpoint.size, query, progress)
    try:
        selection.run()
        return _Archive(source, query, folder, selection, progress).write(made_at, made_by)
    finally:
        selection.close()


class _File:
    """A new file of the archive, private, hashed while it is written, and on the disk when it is closed."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        fd = os.open(folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(fd, "wb", buffering=1 << 18)
        self._sha256 = hashlib.sha256()
        self._bytes = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._sha256.update(data)
        self._bytes += len(data)

    def close(self) -> None:
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def described(self) -> dict[str, JSON]:
        return {"sha256": self._sha256.hexdigest(), "bytes": self._bytes}


class _Archive:
    def __init__(self, source: Source, query: Query, folder: Path, selection: Selection, progress: Progress) -> None:
        self._source = source
        self._query = query
        self._folder = folder
        self._selection = selection
        self._progress = progress
        self._size = source.checkpoint.size
        self._tree = subtrees(source.reader, source.tenant)
        self._files: dict[str, JSON] = {}
        self._counts = {"rows": 0, "entries": 0, "erased": 0, "headers": 0}

    def write(self, made_at: str, made_by: dict[str, JSON]) -> Written:
        key = self._person_key()
        self._entries()
        if key is not None:
            self._range()
            self._person(key)
        counted = (self._selection.rows, self._selection.entries, self._selection.erased)
        if counted != (self._counts["rows"], self._counts["entries"], self._counts["erased"]):
            raise Conflict("somebody was erased while the archive was made: make it again")
        said = words.of(self._query, self._selection, complete=key is not None)
        self._put("checkpoint", self._source.checkpoint.note.encode())
        self._put("log.vkey", f"{self._source.key.vkey()}\n".encode())
        self._put("README.txt", words.readme(self._query, said, self._source.key.name).encode())
        manifest: dict[str, JSON] = {
            "format": FORMAT,
            "made_at": made_at,
            "made_by": made_by,
            "tenant": self._source.tenant,
            "origin": parse_checkpoint(parse(self._source.checkpoint.note.encode()).text).origin,
            "query": self._query.described(),
            "range": {"start": self._selection.start, "stop": self._selection.stop},
            "counts": {**self._counts},
            "files": self._files,
            "checkpoint": self._source.checkpoint.note,
            "completeness": {"proved": key is not None, "why": said.completeness},
            "limits": [*said.limits],
        }
        return Written(
            folder=self._folder,
            manifest=canonical.encode(manifest),
            key=self._source.key,
            counts=self._counts,
            complete=key is not None,
        )

    def _person_key(self) -> bytes | None:
        """The tag key of the one person who is asked for; None where there is no such person."""
        person = self._query.person
        if person is None or self._selection.first is None:
            return None
        return self._source.reader.key(self._source.tenant, person)

    # entries, proofs, rows

    def _entries(self) -> None:
        names = ("entries.ndjson", "proofs.ndjson", "evidence.csv", "evidence.json")
        files = [_File(self._folder, name) for name in names]
        entries, proofs, sheet, listed = files
        try:
            sheet.write(rows.csv_bytes([list(rows.COLUMNS)]))
            listed.write(b"[")
            for entry, said, beside in self._selection.opened():
                entries.write(_line(_opened(entry.index, entry.header, entry.payload, entry.salt)))
                proofs.write(_line(_proof(self._tree, entry.index, self._size)))
                self._counts["entries"] += 1
                self._counts["erased"] += entry.payload is None
                if said is not None:
                    row = rows.row(entry, said, beside)
                    sheet.write(rows.csv_bytes([rows.cells(row)]))
                    listed.write(b",\n" if self._counts["rows"] else b"\n")
                    listed.write(canonical.encode(row))
                    self._counts["rows"] += 1
                self._progress(self._counts["entries"], self._selection.entries)
            listed.write(b"\n]\n")
        finally:
            for file in files:
                self._close(file)

    # one person over a range

    def _range(self) -> None:
        """Every header of the range and one more on each side, which shows that the time asked for ends there."""
        start, stop = self._selection.start, self._selection.stop
        first, last = max(start - 1, 0), min(stop + 1, self._size)
        file = _File(self._folder, "headers.bin")
        try:
            for low in range(first, last, _HEADERS):
                found = self._source.reader.headers(self._source.tenant, low, min(low + _HEADERS, last))
                file.write(tiles.bundle(found))
                self._counts["headers"] += len(found)
                self._progress(self._counts["headers"], last - first)
        finally:
            self._close(file)
        described: dict[str, JSON] = {
            "start": start,
            "stop": stop,
            "first": first,
            "last": last,
            "before": _base64s(self._tree.complete(0, first)),
            "after": _base64s(self._tree.complete(last, self._size)),
        }
        self._put("range.json", _line(described))

    def _person(self, key: bytes) -> None:
        person, first = self._query.person, self._selection.first
        assert isinstance(person, Person)
        assert first is not None
        described: dict[str, JSON] = {
            "type": person.type,
            "id": person.id,
            "ref": str(first.value["ref"]),
            "key": key.hex(),
            "first_entry": {"index": first.index, "id": first.id},
        }
        self._put("person.json", _line(described))

    def _put(self, name: str, data: bytes) -> None:
        file = _File(self._folder, name)
        try:
            file.write(data)
        finally:
            self._close(file)

    def _close(self, file: _File) -> None:
        file.close()
        self._files[file.name] = file.described()


def _opened(index: int, header: bytes, payload: bytes | None, salt: bytes | None) -> dict[str, JSON]:
    return {
        "index": index,
        "header": header.decode(),
        "payload": payload.decode() if payload is not None else None,
        "salt": salt.hex() if salt is not None else None,
    }


def _proof(tree: Subtrees, index: int, size: int) -> dict[str, JSON]:
    return {"index": index, "proof": _base64s(inclusion_proof(tree, index, size))}


def _base64s(hashes: list[bytes]) -> list[JSON]:
    return [base64.b64encode(node).decode() for node in hashes]


def _line(value: JSON) -> bytes:
    return canonical.encode(value) + b"\n"
