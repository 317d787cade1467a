"""A rebuilt projection on its way to the process that may write: its tables are files, so their path goes over.

The tables lie in a scratch folder inside the home (`engine.upkeep`); what a projection holds besides is its frontier
and the end of what it has taken in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from ledger.errors import Malformed, NotReady
from ledger.ids import uuid7
from ledger.merkle import Frontier
from ledger.model import JSON, Append, Draft
from ledger.prepared import PreparedAppend, prepare
from ledger.sqlite import schema
from ledger.sqlite.projection import Projection, Replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """A projection in files, and the payload of the entry that is to say what of it was put in place."""

    path: str
    tenant: str
    frontier: bytes
    newest_at: str | None
    active_revision: str | None
    payload: dict[str, JSON]

    @classmethod
    def of(cls, made: Projection, payload: dict[str, JSON]) -> Handover:
        """Hand over what was made; nobody else may write to its tables until the answer."""
        return cls(
            path=made.tables.db.filename,
            tenant=made.tenant,
            frontier=made.frontier.to_bytes(),
            newest_at=made.newest_at,
            active_revision=made.active_revision,
            payload=payload,
        )

    def to_json(self) -> dict[str, Any]:
        """As it is sent."""
        return {
            "path": self.path,
            "tenant": self.tenant,
            "frontier": self.frontier.hex(),
            "newest_at": self.newest_at,
            "active_revision": self.active_revision,
            "payload": self.payload,
        }

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Handover:
        """As it is received; raises Malformed."""
        match told:
            case {"path": str(path), "tenant": str(tenant), "frontier": str(frontier), "payload": dict(payload)}:
                ends = (told.get("newest_at"), told.get("active_revision"))
                if all(end is None or type(end) is str for end in ends):
                    return cls(
                        path=path,
                        tenant=tenant,
                        frontier=bytes.fromhex(frontier),
                        newest_at=ends[0],
                        active_revision=ends[1],
                        payload=payload,
                    )
        raise Malformed("a projection that cannot be taken over")

    def opened(self, home: Path) -> Projection:
        """Open what was handed over, which lies in a folder of this home; the caller closes its tables."""
        path = Path(self.path).resolve()
        if path.name != "projection.db" or path.parent.parent != home.resolve():
            raise Malformed(f"{path} is no projection of this home")
        try:
            db = schema.open_writer(path, synchronous="OFF", create=False)
            db.execute("PRAGMA journal_mode = MEMORY")
            db.execute("ATTACH ? AS side", (str(path.with_name("side.db")),))
            db.execute("PRAGMA side.journal_mode = MEMORY")
        except apsw.Error as exc:
            raise NotReady(f"the rebuilt rows at {path} cannot be opened: {exc}") from exc
        made = Projection(db, self.tenant, lambda _, committed: committed)
        made.frontier = Frontier.from_bytes(self.frontier)
        made.newest_at, made.active_revision = self.newest_at, self.active_revision
        return made


def rebuilt(made: Projection, payload: dict[str, JSON]) -> Replace:
    """The work of putting rebuilt rows in place; the `rebuilt` entry has `payload`, and how many they were."""
    return Replace(made, lambda rows: _entry(made.tenant, payload, rows))


def _entry(tenant: str, payload: dict[str, JSON], rows: dict[str, int]) -> PreparedAppend:
    counted: dict[str, JSON] = dict(sorted(rows.items()))
    draft = Draft(id=uuid7(), kind="rebuilt", payload={"rows": counted, **payload})
    return prepare(Append(tenant=tenant, drafts=(draft,)))
