"""Erasure: payloads, salts and the key of a person go, the tree stays whole.

What is recorded is which entries were erased, why, and who agreed; never who it was about. That list still says of its
entries that they belong together, until all of them are forgotten elsewhere too. What others' entries say about the
person, and which copies were made before, is told to whoever erases: no command can reach those.
"""

from __future__ import annotations

import asyncio
import glob
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.entries.holds import Holds
from engine.entries.writer import Once, Writer
from engine.errors import BadRequest, Conflict, FieldError, Unavailable
from ledger.errors import LedgerError
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Entry, Person
from ledger.sqlite.scrub import remains

_MOST_INDICES: Final = 50_000
_ATTEMPTS: Final = 5
_PAUSE_SECONDS: Final = 0.2
_ASIDE: Final = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "lock")
_PROGRAMS: Final = "opa"
"""The folder of OPA's binaries, which are somebody else's and named by their hash: any short name stands in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What an erasure did, and what it could not reach.

    mentions  entries of others whose payload names the person: (index, ID, kind)
    copies    archives and backups that were made before and may hold the person
    files     files of the home, besides the ledger, that name the person; homes that restores have put aside
    """

    entries: tuple[Entry, ...]
    indices: int
    rewritten: bool
    mentions: tuple[dict[str, JSON], ...]
    copies: tuple[dict[str, JSON], ...]
    files: tuple[str, ...]

    def described(self) -> dict[str, JSON]:
        """The report as JSON."""
        return {
            "erased": self.indices,
            "entries": [{"id": e.id, "index": e.index, "at": e.at} for e in self.entries],
            "rewritten": self.rewritten,
            "mentions": list(self.mentions),
            "copies": list(self.copies),
            "files": list(self.files),
        }


@dataclass(frozen=True, slots=True)
class Erasures:
    """Erases people."""

    writer: Writer

    async def erase(self, person: Person, reason: str, approvers: Sequence[JSON], once: Once) -> Erased:
        """Erase a person; raises BadRequest, Conflict (a legal hold), Unavailable.

        `approvers` are named as entries name callers. Asked again it erases what has come since, and cleans up what was
        left where it was broken off.
        """
        runtime, tenant = self.writer.runtime, once.caller.tenant
        if _mentions(person.id).search(reason):
            detail = "it stays in the log, so it must not name the person: give a ticket's number"
            raise BadRequest("the reason names the person", (FieldError("/reason", detail),))
        # An erasure is the same however often it is sent, so its entry needs no key; a digest would name the person.
        once = Once.of(once.caller, None, None)
        ref, key = runtime.ref(tenant, person), runtime.reader.key(tenant, person)
        written = await self._append(person, reason, approvers, once)
        rewritten = await self._clean(person, key)
        return Erased(
            entries=tuple(written),
            indices=sum(len(_indices(entry)) for entry in written),
            rewritten=rewritten,
            mentions=tuple(await asyncio.to_thread(lambda: list(self._mentioned(tenant, person)))),
            copies=tuple(self._copies(tenant, ref)),
            files=tuple(await asyncio.to_thread(lambda: list(self._files(person)))),
        )

    async def _append(self, person: Person, reason: str, approvers: Sequence[JSON], once: Once) -> list[Entry]:
        """The entries that say what was erased; none where nothing is there."""
        reader, tenant = self.writer.runtime.reader, once.caller.tenant
        if not reader.indices_about(tenant, person):
            return []
        counted = 0

        async def build() -> Append:
            nonlocal counted
            ref = self.writer.runtime.ref(tenant, person)
            name = f"hold/{ref}"
            version, _ = reader.objects(tenant, [name])[name]
            hold = Holds(self.writer).standing(tenant, ref)
            if hold is not None:
                raise Conflict(
                    f"a legal hold stands since {hold['since']} (entry {hold['evidence']}): release it first"
                )
            indices = reader.indices_about(tenant, person)
            parts = [indices[n : n + _MOST_INDICES] for n in range(0, len(indices), _MOST_INDICES)]
            counted = len(parts)
            drafts = tuple(
                Draft(
                    id=uuid7(), kind="erasure", payload=_payload(part, reason, approvers, self.writer.by(once.caller))
                )
                for part in parts
            )
            return Append(tenant=tenant, drafts=drafts, reads=((name, version),), erases=person)

        first, _ = await self.writer.write(once, build)
        return list(reader.entries(tenant, first.index, first.index + counted))

    async def _clean(self, person: Person, key: bytes | None) -> bool:
        """Clear the database's files; whether the whole of it had to be written anew. Raises Unavailable."""
        path = self.writer.runtime.home.database
        await self._scrub(rewrite=False)
        if not await asyncio.to_thread(remains, path, _needles(person, key)):
            return False
        await self._scrub(rewrite=True)
        return True

    async def _scrub(self, *, rewrite: bool) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                await asyncio.wrap_future(self.writer.runtime.ledger.scrub(rewrite=rewrite))
            except LedgerError as exc:
                if attempt == _ATTEMPTS - 1:
                    raise Unavailable(
                        f"the rows are erased, and the ledger's files could not be cleaned: {exc}. Send it again"
                    ) from exc
                await asyncio.sleep(_PAUSE_SECONDS * (attempt + 1))
            else:
                return

    def _mentioned(self, tenant: str, person: Person) -> Iterator[dict[str, JSON]]:
        """Entries of others whose payload names the person."""
        reader, pattern = self.writer.runtime.reader, _mentions(person.id)
        for raw in reader.raw_entries(tenant, 0, reader.head(tenant).size):
            if raw.payload is not None and pattern.search(raw.payload.decode("utf-8", "replace")):
                kind = json.loads(raw.header)["kind"]
                yield {"index": raw.index, "id": raw.id, "kind": kind}

    def _copies(self, tenant: str, ref: str | None) -> Iterator[dict[str, JSON]]:
        """Archives and backups that were made before."""
        reader = self.writer.runtime.reader
        for entry in reader.of_kind(tenant, ("copy",), 0, reader.head(tenant).size):
            value = entry.value
            if value.get("ref") in (None, ref):
                yield {"id": entry.id, "at": entry.at, **{k: value.get(k) for k in ("copy", "name", "sha256")}}

    def _files(self, person: Person) -> Iterator[str]:
        """Files of the home besides the ledger that name the person, and old homes that restores have put aside."""
        home, pattern = self.writer.runtime.home.path, _mentions(person.id)
        yield from (str(old) for old in sorted(home.parent.glob(f"{glob.escape(home.name)}.before-restore-*")))
        for path in sorted(home.rglob("*")):
            aside = path.name in _ASIDE or path.parent.name == _PROGRAMS
            if path.is_file() and not aside and _named_in(path, person, pattern):
                yield str(path.relative_to(home))


def _named_in(path: Path, person: Person, pattern: re.Pattern[str]) -> bool:
    try:
        if person.id.encode() not in path.read_bytes():
            return False
        return pattern.search(path.read_text("utf-8", "replace")) is not None
    except OSError:
        return False  # gone meanwhile


def _payload(indices: list[int], reason: str, approvers: Sequence[JSON], by: JSON) -> dict[str, JSON]:
    return {"indices": list(indices), "reason": reason, "approved_by": list(approvers), "by": by}


def _indices(entry: Entry) -> list[JSON]:
    indices = entry.value["indices"]
    assert isinstance(indices, list)
    return indices


def _mentions(identifier: str) -> re.Pattern[str]:
    """The ID as a word of its own, as text or as JSON writes it."""
    spellings = {identifier, json.dumps(identifier)[1:-1], json.dumps(identifier, ensure_ascii=False)[1:-1]}
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, sorted(spellings))) + r")(?!\w)")


def _needles(person: Person, key: bytes | None) -> list[bytes]:
    """What must not be left in the database's files: as JSON values, as rows of an index, and the key."""
    quoted = {json.dumps(person.id, ensure_ascii=plain).encode("utf-8", "replace") for plain in (True, False)}
    return [*quoted, f"{person.type}{person.id}".encode(), *([key] if key else [])]
