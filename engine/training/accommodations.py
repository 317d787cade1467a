"""What a person is granted when they learn: more time, more tries, everywhere; the reason stays in the entry."""

from __future__ import annotations

from dataclasses import dataclass

from engine.entries.writer import Once, Writer
from engine.errors import NotFound
from ledger.ids import uuid7
from ledger.model import Append, Draft, Entry, Person


@dataclass(frozen=True, slots=True)
class Accommodations:
    """Grants accommodations."""

    writer: Writer

    async def grant(self, person: Person, time: int, tries: int, reason: str, once: Once) -> Entry:
        """Grant `time` percent more, and `tries` before waits grow; replaces what was granted before."""
        tenant = once.caller.tenant

        async def build() -> Append:
            if self.writer.runtime.ref(tenant, person) is None:
                raise NotFound(f"there is no {person.type} {person.id} in the directory")
            payload = once.marked(
                {
                    "person": {"type": person.type, "id": person.id},
                    "granted": {"time": time, "tries": tries},
                    "reason": reason,
                    "by": self.writer.by(once.caller),
                }
            )
            draft = Draft(id=uuid7(), kind="accommodation", payload=payload, about=person)
            return Append(tenant=tenant, drafts=(draft,))

        entry, _ = await self.writer.write(once, build)
        return entry
