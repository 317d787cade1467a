"""An evidence archive, checked offline: the manifest and its signature, every file, every entry, and every row again.

Nothing in the folder is believed. Entries are held against the checkpoint, which a key of the log has signed; rows are
made again from the entries; and where the archive says that it is complete for a person, every header of its range is
tested with the person's key. Everything is read in pieces, and what has to be looked up is in a temporary database.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from . import archive_files as files
from . import archive_rows as rows
from . import canonical, entries, note
from .entries import Header
from .errors import Invalid
from .finding import Finding, Report
from .note import Checkpoint, Key, Note
from .policy import Policy
from .signed import Keys
from .tree import Tree, leaf_hash, root_by_inclusion

_MOST_FINDINGS: Final = 10_000
_HEX: Final = re.compile(r"[0-9a-f]*")
_TABLES: Final = """
PRAGMA cache_size = -8192;
CREATE TABLE opened (
  idx INTEGER PRIMARY KEY, id TEXT NOT NULL, kind TEXT NOT NULL, type TEXT, identity TEXT,
  start INTEGER NOT NULL, length INTEGER NOT NULL, is_open INTEGER NOT NULL, header TEXT NOT NULL
);
CREATE INDEX by_id ON opened (id);
CREATE INDEX by_person ON opened (identity, type, kind, idx);
"""
_ROOM: Final = "SELECT start, length FROM opened WHERE is_open AND "


def check(folder: Path, vkey: str | None = None, policy: bytes | None = None) -> list[Finding]:
    """What is wrong with an archive, the first thing first; `policy` is a C2SP tlog-policy. See `report`."""
    return list(report(folder, vkey, policy=policy).findings)


def report(
    folder: Path, vkey: str | None = None, *, policy: bytes | None = None, since: tuple[tuple[str, bytes], ...] = ()
) -> Report:
    """Check an archive against the log's verifier key from elsewhere; without one by its own, which is told.

    `since` are checkpoints that were kept, by where they are from: a log that was signed twice is seen by them, where
    the archive has what it takes to compare.
    """
    run = _Archive(folder, vkey)
    try:
        run.whole(policy, since)
    except OSError as exc:
        run.found(None, None, "storage", f"{exc.filename}: {exc.strerror}")
    finally:
        run.close()
    return run.report()


def signed_text(manifest_sha256: str) -> str:
    """What the log's key signs for an archive: two lines, so that it can never be taken for a checkpoint of three."""
    return f"muster.evidence/v1\n{manifest_sha256}\n"


class _Person:
    """The person of a complete archive, and the key by which entries about them are known."""

    def __init__(self, data: bytes) -> None:
        value = canonical.parse(data.removesuffix(b"\n"))
        first = value.get("first_entry") if value else None
        if value is None or value.keys() != {"type", "id", "ref", "key", "first_entry"} or not isinstance(first, dict):
            raise Invalid("person.json does not have the fields type, id, ref, key and first_entry")
        self.named = (str(value["type"]), str(value["id"]))
        self.ref = value["ref"]
        self.key = _octets(value["key"], 32, "person.json: the key")
        if first.keys() != {"index", "id"} or type(first["index"]) is not int:
            raise Invalid("person.json: first_entry has to be an index and an ID")
        self.first, self.first_id = first["index"], first["id"]


class _Archive:
    def __init__(self, folder: Path, vkey: str | None) -> None:
        self._folder = folder
        self._vkey = vkey
        self._findings: list[Finding] = []
        self._more = 0
        self._told: list[str] = []
        self._scratch = sqlite3.connect("")
        self._scratch.executescript(_TABLES)
        self._opened: io.BufferedReader | None = None
        self._keys = Keys()
        self._person: _Person | None = None
        self._said = Checkpoint("", 0, Tree().root())
        self._roots: dict[int, bytes] = {}
        self._counted = dict.fromkeys(files.COUNTS, 0)
        self._manifest: dict[str, Any] = {}
        self._digests: dict[str, str] = {}

    def close(self) -> None:
        self._scratch.close()
        if self._opened is not None:
            self._opened.close()

    def found(self, index: int | None, entry_id: str | None, check: str, detail: str) -> None:
        if len(self._findings) < _MOST_FINDINGS:
            self._findings.append(Finding(index=index, id=entry_id, check=check, detail=detail))
        else:
            self._more += 1

    def report(self) -> Report:
        told = [*self._told, *([f"{self._more} more findings are not listed"] if self._more else [])]
        return Report(
            size=self._said.size,
            root=self._said.root,
            findings=tuple(self._findings),
            checkpoints=int(self._said.origin != ""),
            erased=self._counted["erased"],
            told=tuple(told),
        )

    def whole(self, policy: bytes | None, since: tuple[tuple[str, bytes], ...]) -> None:
        """All checks, from what is signed to what it says."""
        data = self._read_manifest()
        if data is None:
            return
        self._files()
        checkpoint = self._checkpoint()
        self._person = self._small("person.json", _Person) if "person.json" in self._manifest["files"] else None
        self._entries()
        key = self._signing_key()
        self._signature(data, key)
        if checkpoint is not None:
            self._signed_checkpoint(checkpoint, key, policy)
        before = len(self._findings)
        if self._manifest["completeness"]["proved"]:
            self._complete([size for size in map(self._size_of, since) if size is not None])
        complete = len(self._findings) == before
        self._rows()
        for name in files.COUNTS:
            if self._counted[name] != self._manifest["counts"][name]:
                detail = f"the manifest counts {self._manifest['counts'][name]} {name}, there are {self._counted[name]}"
                self.found(None, None, "count", detail)
        for where, kept in since:
            self._compare(where, kept)
        self._tell(complete=complete)

    def _tell(self, *, complete: bool) -> None:
        query, span = self._manifest["query"], self._manifest["range"]
        said = self._manifest["completeness"]
        if not said["proved"]:
            self._told.append(f"the archive says of its completeness: {said['why']}")
        elif complete:
            where = f"entries {span['start']} to {span['stop'] - 1}" if span["start"] < span["stop"] else "no entry"
            self._told.append(f"complete for the user {query['subjects'][0]}: {where}, each tested with their key")
        if self._counted["erased"]:
            self._told.append(f"{self._counted['erased']} entries are here without payload: erased, the archive says")
        self._told += [f"the archive says: {limit}" for limit in self._manifest["limits"]]

    # what is signed

    def _read_manifest(self) -> bytes | None:
        try:
            data = files.small(self._folder, files.MANIFEST)
            self._manifest = files.manifest(data)
        except Invalid as exc:
            self.found(None, None, "manifest", f"{files.MANIFEST}: {exc}")
            return None
        return data

    def _files(self) -> None:
        """Every file as the manifest has it, all of them, and no other."""
        listed = self._manifest["files"]
        proved = self._manifest["completeness"]["proved"]
        wanted = {*files.ALWAYS, *(files.COMPLETE if proved else ())}
        for name in sorted(wanted - listed.keys()):
            self.found(None, None, "file", f"the manifest does not list {name}")
        for name in sorted(listed.keys() - wanted):
            self.found(None, None, "file", f"the manifest lists {name}, which this archive does not have")
        for name in sorted(
            {path.name for path in self._folder.iterdir()} - listed.keys() - {files.MANIFEST, files.SIGNATURE}
        ):
            self.found(None, None, "file", f"{name} is there, and not in the manifest")
        for name in sorted(wanted & listed.keys()):
            try:
                self._digests[name], size = files.digest(self._folder, name)
            except Invalid as exc:
                self.found(None, None, "file", str(exc))
                continue
            if (self._digests[name], size) != (listed[name]["sha256"], listed[name]["bytes"]):
                detail = f"{size} bytes of SHA-256 {self._digests[name]}; the manifest says"
                detail += f" {listed[name]['bytes']} of {listed[name]['sha256']}"
                self.found(None, None, "file", f"{name} is not the one of the manifest: {detail}")

    def _checkpoint(self) -> Note | None:
        """The checkpoint that all proofs lead to; who signed it is judged when the log's keys are known."""
        text = self._manifest["checkpoint"].encode()
        if "checkpoint" in self._digests and self._digests["checkpoint"] != sha256(text).hexdigest():
            self.found(None, None, "checkpoint", "the file `checkpoint` is not the manifest's")
        try:
            parsed = note.parse(text)
            self._said = note.parse_checkpoint(parsed.text)
        except Invalid as exc:
            self.found(None, None, "checkpoint", str(exc))
            return None
        if self._said.origin != self._manifest["origin"]:
            self.found(
                None, None, "checkpoint", f"it is of {self._said.origin}, the archive of {self._manifest['origin']}"
            )
        return parsed

    def _signing_key(self) -> Key | None:
        """The key that the log names for this checkpoint, if what the auditor holds leads to it."""
        here = self._small("log.vkey", lambda data: note.parse_key(data.decode("utf-8", "replace")))
        named = self._keys.newest
        if named is None:
            self.found(None, None, "key", "the archive holds no entry of the log that names its key")
        elif here is not None and here != named:
            self.found(None, None, "key", f"log.vkey is {here.vkey()}, the log names {named.vkey()}")
        if self._vkey is None:
            if here is not None:
                self._told.append(f"the key came with the archive: compare it with one from elsewhere: {here.vkey()}")
            return named or here
        try:
            trusted = note.parse_key(self._vkey)
        except Invalid as exc:
            self.found(None, None, "key", f"the key that was given: {exc}")
            return named or here
        if trusted not in self._keys.known():
            self.found(None, None, "key", f"the log does not name the key that was given, {trusted.vkey()}")
            return trusted
        if trusted != named and named is not None:
            self._told.append(f"the key that was given has handed over since, to {named.vkey()}")
        return named

    def _signature(self, data: bytes, key: Key | None) -> None:
        try:
            signed = note.parse(files.small(self._folder, files.SIGNATURE))
            _need(signed.text == signed_text(sha256(data).hexdigest()), "it is of another manifest than this one")
            _need(_made_by(key, signed), f"it is not one of {key.vkey() if key else 'any key that is known'}")
        except Invalid as exc:
            self.found(None, None, "signature", f"{files.SIGNATURE}: {exc}")

    def _signed_checkpoint(self, checkpoint: Note, key: Key | None, policy: bytes | None) -> None:
        try:
            _need(_made_by(key, checkpoint), f"it is not signed by {key.vkey() if key else 'any key that is known'}")
            _need(key is not None and key.name == self._said.origin, f"it is of {self._said.origin}, the key is not")
        except Invalid as exc:
            self.found(None, None, "checkpoint", str(exc))
        if policy is None:
            return
        try:
            _need(Policy.parse(policy).satisfied(checkpoint), "the quorum of the policy has not cosigned it")
        except Invalid as exc:
            self.found(None, None, "witness", f"the checkpoint of {self._said.size} entries: {exc}")

    def _size_of(self, kept: tuple[str, bytes]) -> int | None:
        try:
            return note.parse_checkpoint(note.parse(kept[1]).text).size
        except Invalid:
            return None

    def _compare(self, where: str, data: bytes) -> None:
        """A checkpoint that was kept elsewhere: the log has to begin with it."""
        try:
            signed = note.parse(data)
            old = note.parse_checkpoint(signed.text)
            _need(bool(note.verify(signed, self._keys.known())), "it is not signed by a key of this log")
        except Invalid as exc:
            self.found(None, None, "checkpoint", f"{where}: {exc}")
            return
        self._roots[self._said.size] = self._said.root
        if old.size > self._said.size:
            detail = f"{where} has {old.size} entries, the archive's {self._said.size}: rolled back, or kept later"
            self.found(None, None, "checkpoint", detail)
        elif old.size not in self._roots:
            self._told.append(f"{where} cannot be compared by an archive of another size: check the log's tiles by it")
        elif self._roots[old.size] != old.root:
            self.found(None, None, "checkpoint", f"{where}: the first {old.size} entries are other ones: forked")

    # entries

    def _entries(self) -> None:
        """Every entry that is opened, each with its proof."""
        proofs = self._proofs()
        proof = next(proofs, None)
        last = -1
        for number, start, line in self._lines("entries.ndjson"):
            value = canonical.parse(line)
            if value is None or value.keys() != {"index", "header", "payload", "salt"} or not _is_index(value["index"]):
                self.found(None, None, "entry", f"entries.ndjson: line {number} is not an entry")
                continue
            index = value["index"]
            if index <= last:
                self.found(index, None, "entry", f"entries.ndjson: line {number} is there twice, or not in its place")
                continue
            while proof is not None and proof[0] < index:
                self.found(proof[0], None, "proof", "the proof is of an entry that is not here")
                proof = next(proofs, None)
            path = proof[1] if proof is not None and proof[0] == index else None
            if path is not None:
                proof = next(proofs, None)
            last = index
            self._entry(index, value, path, (start, len(line)))
        while proof is not None:
            self.found(proof[0], None, "proof", "the proof is of an entry that is not here")
            proof = next(proofs, None)

    def _proofs(self) -> Iterator[tuple[int, list[bytes]]]:
        last = -1
        for number, _, line in self._lines("proofs.ndjson"):
            value = canonical.parse(line)
            try:
                index, path = _proof(value)
                _need(index > last, "it is there twice, or not in its place")
            except Invalid as exc:
                self.found(None, None, "proof", f"proofs.ndjson: line {number}: {exc}")
                continue
            last = index
            yield index, path

    def _entry(self, index: int, value: dict[str, Any], proof: list[bytes] | None, room: tuple[int, int]) -> None:
        data = str(value["header"]).encode()
        header = entries.header(data)
        self._counted["entries"] += 1
        root = root_by_inclusion(leaf_hash(data), index, self._said.size, proof) if proof is not None else None
        if root != self._said.root:
            detail = "it has no proof" if proof is None else "the proof does not lead from it to the checkpoint's root"
            self.found(index, header.id if header else None, "proof", detail)
        if header is None:
            self.found(index, None, "header", "the header is not one that the format has, in its canonical form")
            return
        if header.tenant != self._manifest["tenant"]:
            self.found(index, header.id, "header", f"the entry is of the tenant {header.tenant}")
        payload = self._payload(index, header, value)
        person = entries.named(header.kind, payload) if payload is not None else None
        if payload is not None:
            self._about(index, header, person)
        if header.kind == "log.key" and payload is not None:
            for wrong in self._keys.take(index, payload):
                self.found(index, header.id, "key", wrong)
        self._scratch.execute(
            "INSERT INTO opened VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (index, header.id, header.kind, *(person or (None, None)), *room, payload is not None, value["header"]),
        )

    def _payload(self, index: int, header: Header, value: dict[str, Any]) -> dict[str, Any] | None:
        if value["payload"] is None and value["salt"] is None:
            self._counted["erased"] += 1
            return None
        payload = str(value["payload"]).encode()
        try:
            salt = _octets(value["salt"], 16, "the salt")
            whole = entries.opens(header.commitment, salt, payload)
            _need(whole, "payload and salt are not what the header commits to")
        except Invalid as exc:
            self.found(index, header.id, "commitment", str(exc))
        found = entries.payload(payload)
        if found is None:
            self.found(index, header.id, "payload", "the payload is no canonical JSON object")
        return found

    def _about(self, index: int, header: Header, named: tuple[str, str] | None) -> None:
        """The tag of an entry, where the person's key is known."""
        person = self._person
        if person is None:
            return
        marked = entries.tag(person.key, header.id) == header.tag
        if marked and named is not None and named != person.named:
            self.found(index, header.id, "about", "by its tag the entry is about the person, by its payload it is not")
        elif named == person.named and not marked and (header.tag is not None or index > person.first):
            self.found(index, header.id, "tag", "the entry is about the person, and its tag is not of their key")

    # one person over a range

    def _complete(self, sizes: list[int]) -> None:
        """That nothing about the person is left out of the range; a finding wherever that is not shown."""
        query, person = self._manifest["query"], self._person
        alone = len(query["subjects"]) == 1 and all(
            query[name] is None for name in files.FILTERS if name not in ("since", "until")
        )
        if not alone or person is None or person.named != ("user", query["subjects"][0]):
            detail = "only what is asked for one person over a time can be complete, with that person's key"
            self.found(None, None, "completeness", detail)
            return
        self._key_of(person)
        span = self._small("range.json", self._span)
        if span is None:
            return
        try:
            self._headers(person, span, sizes)
        except Invalid as exc:
            self.found(None, None, "completeness", f"headers.bin: {exc}")

    def _key_of(self, person: _Person) -> None:
        """The log itself says which key is the person's, by their first entry."""
        where = "idx = ? AND kind = 'subject'"
        first = self._value(where, (person.first,))
        said = None if first is None else (first.get("key_commitment"), first.get("ref"))
        if first is None or entries.named("subject", first) != person.named:
            self.found(person.first, person.first_id, "key", "the person's first entry is not opened here")
        elif said != (entries.key_commitment(person.key), person.ref):
            self.found(person.first, person.first_id, "key", "the key or ref in person.json is not the one of the log")

    def _span(self, data: bytes) -> dict[str, Any]:
        span = canonical.parse(data.removesuffix(b"\n"))
        bounds = ("start", "stop", "first", "last")
        if span is None or span.keys() != {*bounds, "before", "after"} or not all(_is_index(span[n]) for n in bounds):
            raise Invalid("range.json does not have the fields start, stop, first, last, before and after")
        start, stop = span["start"], span["stop"]
        query, size = self._manifest["query"], self._said.size
        if {"start": start, "stop": stop} != self._manifest["range"] or not start <= stop <= size:
            raise Invalid("range.json is of another range than the manifest")
        if (query["since"] is None and start) or (query["until"] is None and stop != size):
            raise Invalid("the range does not reach to the end of the log, on a side where no time bounds it")
        if (span["first"], span["last"]) != (max(start - 1, 0), min(stop + 1, size)):
            raise Invalid("the range does not show the entry on either side of it")
        return span

    def _headers(self, person: _Person, span: dict[str, Any], sizes: list[int]) -> None:
        tree = Tree(span["first"], _hashes(span["before"]))
        wanted = sorted({size for size in sizes if span["first"] <= size <= span["last"]})
        with files.opened(self._folder, "headers.bin") as file:
            for index in range(span["first"], span["last"]):
                while wanted and wanted[0] == index:
                    self._roots[wanted.pop(0)] = tree.root()
                length = file.read(2)
                data = file.read(int.from_bytes(length))
                if len(length) != 2 or len(data) != int.from_bytes(length):
                    raise Invalid(f"it ends within entry {index}, the range reaches to {span['last'] - 1}")
                tree.append(leaf_hash(data))
                self._counted["headers"] += 1
                self._header(index, data, person, span)
            if file.read(1):
                raise Invalid("it goes on behind the range")
        for size in wanted:
            self._roots[size] = tree.root()
        tree.close(self._said.size, _hashes(span["after"]))
        if tree.root() != self._said.root:
            raise Invalid(f"the headers of entries {span['first']} to {span['last'] - 1} are not those of the log")

    def _header(self, index: int, data: bytes, person: _Person, span: dict[str, Any]) -> None:
        header = entries.header(data)
        if header is None:
            self.found(index, None, "header", "the header is not one that the format has, in its canonical form")
            return
        query = self._manifest["query"]
        if not span["start"] <= index < span["stop"]:
            after, before = query["since"] or "", query["until"]
            if header.at >= after and (before is None or header.at < before):
                self.found(index, header.id, "completeness", "the entry is of the time asked for, and not of the range")
        elif header.tag == entries.tag(person.key, header.id):
            room = self._scratch.execute("SELECT is_open FROM opened WHERE idx = ?", (index,)).fetchone()
            if room is None or not room[0]:
                self.found(index, header.id, "completeness", "the entry is about the person, and is not opened here")

    # rows

    def _rows(self) -> None:
        """The rows of both files, made again from the entries and compared cell by cell."""
        with _Opened(self._folder, ("evidence.csv", "evidence.json")) as found:
            listed: list[files.Listed] = []
            for kind in (files.Sheet, files.Array):
                if kind.name in found:
                    listed.append(kind(found[kind.name], self._wrong_row))
            for row in self._expected():
                self._counted["rows"] += 1
                for name in row["evidence"]:
                    if rows.is_id(name) and not self._is_here(name):
                        detail = f"it leans on entry {name}, which is not here"
                        self.found(row["index"], row["entry_id"], "evidence", detail)
                for each in listed:
                    each.take(row)
            for each in listed:
                each.end(self._digests.get(each.name, ""))

    def _wrong_row(self, index: int | None, entry_id: str | None, detail: str) -> None:
        self.found(index, entry_id, "row", detail)

    def _expected(self) -> Iterator[rows.Row]:
        query, span = self._manifest["query"], self._manifest["range"]
        linked = query["decision"] is not None or query["incident"] is not None
        last = -1
        page = "SELECT idx, header, start, length FROM opened WHERE is_open AND idx > ? ORDER BY idx LIMIT 256"
        while chunk := self._scratch.execute(page, (last,)).fetchall():
            for index, data, start, length in chunk:
                header = entries.header(data.encode())
                value = self._at(start, length)
                if header is None or value is None or header.kind not in rows.KINDS:
                    continue
                row = self._row(index, header, data.encode(), value)
                fits = span["start"] <= index < span["stop"] and rows.fits(query, row, value)
                if linked and header.kind == "decision" and not fits:
                    self.found(index, header.id, "query", "the decision is not one that was asked for")
                if linked or fits:
                    yield row
            last = chunk[-1][0]

    def _row(self, index: int, header: Header, data: bytes, value: dict[str, Any]) -> rows.Row:
        return rows.expected(
            index,
            header,
            leaf_hash(data),
            value,
            lambda name: self._value("id = ? AND kind = 'result'", (name,)),
            lambda person: self._value(
                "identity = ? AND type = ? AND kind = 'subject' AND idx < ? ORDER BY idx DESC LIMIT 1",
                (person[1], person[0], index),
            ),
        )

    # reading

    def _is_here(self, entry_id: str) -> bool:
        return self._scratch.execute("SELECT 1 FROM opened WHERE id = ?", (entry_id,)).fetchone() is not None

    def _value(self, where: str, bindings: tuple[Any, ...]) -> dict[str, Any] | None:
        """The payload of an opened entry."""
        room = self._scratch.execute(_ROOM + where, bindings).fetchone()
        return None if room is None else self._at(*room)

    def _at(self, start: int, length: int) -> dict[str, Any] | None:
        if self._opened is None:
            self._opened = files.opened(self._folder, "entries.ndjson")
        self._opened.seek(start)
        line = json.loads(self._opened.read(length))
        return entries.payload(str(line["payload"]).encode())

    def _lines(self, name: str) -> Iterator[tuple[int, int, bytes]]:
        try:
            with files.opened(self._folder, name) as file:
                yield from files.lines(file, name)
        except Invalid as exc:
            self.found(None, None, "file", str(exc))

    def _small(self, name: str, parse: Callable[[bytes], Any]) -> Any:
        """What a small file says; None, with a finding, where it cannot be read."""
        try:
            return parse(files.small(self._folder, name))
        except Invalid as exc:
            self.found(None, None, "file", str(exc))
            return None


class _Opened(dict[str, Any]):
    """Those of some files that can be opened; the others were found missing before."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        super().__init__()
        self._folder, self._names = folder, names

    def __enter__(self) -> _Opened:
        for name in self._names:
            try:
                self[name] = files.opened(self._folder, name)
            except Invalid:
                continue
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.values():
            file.close()


def _need(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Invalid(otherwise)


def _made_by(key: Key | None, signed: Note) -> bool:
    return key is not None and key in note.verify(signed, [key])


def _proof(value: dict[str, Any] | None) -> tuple[int, list[bytes]]:
    if value is None or value.keys() != {"index", "proof"} or not _is_index(value["index"]):
        raise Invalid("it is not a proof")
    return value["index"], _hashes(value["proof"])


def _is_index(value: Any) -> bool:
    return type(value) is int and value >= 0


def _octets(text: Any, length: int, what: str) -> bytes:
    if not isinstance(text, str) or len(text) != 2 * length or not _HEX.fullmatch(text):
        raise Invalid(f"{what} has to be {length} bytes in lower-case hex")
    return bytes.fromhex(text)


def _hashes(value: Any) -> list[bytes]:
    if not isinstance(value, list) or len(value) > 128:
        raise Invalid("a list of hashes is not one")
    return [_hash(text) for text in value]


def _hash(text: Any) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as exc:
        raise Invalid("a hash is not base64") from exc
    if len(data) != 32 or base64.b64encode(data).decode() != text:
        raise Invalid("a hash is not 32 bytes of base64 in its one spelling")
    return data
