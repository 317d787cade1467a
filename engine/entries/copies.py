"""Copies of the log that were made, archives and backups: whoever erases a person is told which may hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from engine.entries.writer import Once, Writer
from engine.errors import NotFound
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Entry, Person

Kind = Literal["archive", "backup"]


@dataclass(frozen=True, slots=True)
class Copies:
    """Records copies."""

    writer: Writer

    async def record(
        self,
        kind: Kind,
        name: str,
        sha256: str,
        once: Once,
        *,
        about: str | None,
        more: Mapping[str, JSON] | None = None,
    ) -> tuple[Entry, bool]:
        """Say that a copy was made; `about` is the ref of the one person that it is of, None for a copy of everything.

        `name` is what the copy is called where it lies, and stays in the log: no person's ID belongs in it.
        """
        caller = once.caller

        async def build() -> Append:
            payload: dict[str, JSON] = {
                "copy": kind,
                "name": name,
                "sha256": sha256,
                "ref": about,
                **(more or {}),
                "by": self.writer.by(caller),
            }
            draft = Draft(id=uuid7(), kind="copy", payload=once.marked(payload))
            return Append(tenant=caller.tenant, drafts=(draft,))

        return await self.writer.write(once, build)

    def ref(self, tenant: str, user: str) -> str:
        """The ref of whom a copy is of; raises NotFound."""
        ref = self.writer.runtime.ref(tenant, Person(type="user", id=user))
        if ref is None:
            raise NotFound(f"there is no user {user} in the directory")
        return ref
