"""Archives as tests make, read and change them."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.publishing.keys import key_from
from engine.reports import evidence
from engine.reports.query import Query
from ledger import canonical, note
from ledger.note import FileSigner
from ledger.sqlite import SqliteReader
from ledger.verifier import archive as verifier
from ledger.verifier.finding import Finding
from ledger.verifier.note import parse_key
from tests.service.running import Service, instant


@dataclass(frozen=True)
class Archive:
    """A folder, the key that it has to be signed by, and the home that it is from."""

    folder: Path
    vkey: str
    home: Path

    def copy(self, folder: Path) -> Archive:
        """The same archive in another folder."""
        shutil.copytree(self.folder, folder)
        return Archive(folder, self.vkey, self.home)

    # as an auditor reads it

    def check(self) -> list[Finding]:
        """What the verifier finds with the right key."""
        return verifier.check(self.folder, self.vkey)

    def checks(self) -> set[str]:
        """The kinds of what is found."""
        return {finding.check for finding in self.check()}

    def manifest(self) -> dict[str, Any]:
        """The manifest."""
        found: dict[str, Any] = self.json("manifest.json")
        return found

    def json(self, name: str) -> Any:
        """A file of JSON."""
        return json.loads(self.data(name))

    def data(self, name: str) -> bytes:
        """A file."""
        return (self.folder / name).read_bytes()

    def lines(self, name: str) -> list[dict[str, Any]]:
        """A file of one JSON object a line."""
        return [json.loads(line) for line in self.data(name).splitlines()]

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the JSON."""
        rows = self.json("evidence.json")
        assert isinstance(rows, list)
        return rows

    def sheet(self) -> list[dict[str, str]]:
        """The rows of the CSV, as a tool reads them."""
        with (self.folder / "evidence.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file, strict=True))

    # as somebody changes it

    def write(self, name: str, data: bytes) -> None:
        """Replace a file."""
        (self.folder / name).write_bytes(data)

    def write_lines(self, name: str, lines: list[dict[str, Any]]) -> None:
        """Replace a file of one JSON object a line."""
        self.write(name, b"".join(canonical.encode(line) + b"\n" for line in lines))

    def write_rows(self, rows: list[dict[str, Any]]) -> None:
        """Replace the rows of the JSON."""
        body = b",\n".join(canonical.encode(row) for row in rows)
        self.write("evidence.json", b"[\n" + body + b"\n]\n" if rows else b"[\n]\n")

    def rehash(self, change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
        """Let the manifest say what the files are now, after a change of its own."""
        manifest = self.manifest()
        for name in manifest["files"]:
            if (self.folder / name).exists():
                data = self.data(name)
                manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        change(manifest)
        self.write("manifest.json", canonical.encode(manifest))

    def resign(
        self, change: Callable[[dict[str, Any]], object] = lambda _: None, signer: FileSigner | None = None
    ) -> None:
        """Sign it again as the log's own service would, or with another key."""
        self.rehash(change)
        text = verifier.signed_text(hashlib.sha256(self.data("manifest.json")).hexdigest())
        name = parse_key(self.vkey).name
        self.write("manifest.sig", note.signed(text, name, signer or self.signer()).encode())

    def signer(self) -> FileSigner:
        """The log's own key."""
        return key_from(self.home / "keys" / "log.pem")

    def reader(self) -> SqliteReader:
        """The log; the caller closes it."""
        return SqliteReader(self.home / "ledger.db")


def make(service: Service, folder: Path, **query: Any) -> Archive:
    """An archive as the command makes it, through the service."""
    made = service.call("auditor", "POST", "/v1/ledger/checkpoint")
    reader = SqliteReader(service.home / "ledger.db")
    try:
        stored = reader.checkpoint("default", made["size"])
        assert stored is not None
        with evidence.fresh(folder):
            source = evidence.Source(reader=reader, tenant="default", key=parse_key(made["vkey"]), checkpoint=stored)
            written = evidence.write(
                source, Query(**query), folder, made_at=instant(), made_by={"role": "auditor"}, progress=lambda *_: None
            )
            user = query["subjects"][0] if len(query.get("subjects", ())) == 1 else None
            wanted = {"sha256": written.sha256, "name": "test", "user": user}
            written.seal(service.call("auditor", "POST", "/v1/ledger/archives", wanted)["note"])
    finally:
        reader.close()
    return Archive(folder, made["vkey"], service.home)
