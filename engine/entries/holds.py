"""Legal holds: while one stands, nothing about a person is erased. Placed and released by an admin, with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.entries.writer import Once, Writer
from engine.errors import Conflict, NotFound
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Entry, Person

Event = Literal["placed", "released"]


@dataclass(frozen=True, slots=True)
class Holds:
    """Records legal holds."""

    writer: Writer

    async def set(self, person: Person, event: Event, reason: str, once: Once) -> tuple[Entry, bool]:
        """Place or release a hold; raises NotFound for a person who is not known, Conflict where nothing changes."""
        tenant = once.caller.tenant

        async def build() -> Append:
            ref = self.writer.runtime.ref(tenant, person)
            if ref is None:
                raise NotFound(f"there is no {person.type} {person.id} in the directory")
            name = f"hold/{ref}"
            version, state = self.writer.runtime.reader.objects(tenant, [name])[name]
            if (isinstance(state, dict) and state["event"] == "placed") is (event == "placed"):
                raise Conflict("there is a hold already" if event == "placed" else "there is no hold to release")
            payload = once.marked(
                {
                    "person": {"type": person.type, "id": person.id},
                    "event": event,
                    "reason": reason,
                    "by": self.writer.by(once.caller),
                }
            )
            draft = Draft(id=uuid7(), kind="hold", payload=payload, about=person)
            return Append(tenant=tenant, drafts=(draft,), reads=((name, version),))

        return await self.writer.write(once, build)

    def standing(self, tenant: str, ref: str | None) -> dict[str, JSON] | None:
        """The hold that stands for a person now."""
        name = f"hold/{ref}"
        _, state = self.writer.runtime.reader.objects(tenant, [name])[name]
        return state if isinstance(state, dict) and state["event"] == "placed" else None
