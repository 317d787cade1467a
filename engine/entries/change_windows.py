"""Change windows: when which resources may be changed; declared beforehand, cited by a request."""

from __future__ import annotations

from dataclasses import dataclass

from engine.entries.writer import Once, Writer
from engine.errors import BadRequest, FieldError
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Entry


@dataclass(frozen=True, slots=True)
class ChangeWindows:
    """Records declared change windows."""

    writer: Writer

    async def declare(
        self, title: str, reason: str, starts_at: str, ends_at: str, resources: list[JSON], once: Once
    ) -> tuple[Entry, bool]:
        """Record a window over resources (`[{type, id}]`), from `starts_at` until just before `ends_at`."""
        caller = once.caller
        if not starts_at < ends_at:
            raise BadRequest("an empty window", (FieldError("/ends_at", "must be later than starts_at"),))

        async def build() -> Append:
            if ends_at <= self.writer.runtime.now(caller.tenant):
                raise BadRequest("a window that is over", (FieldError("/ends_at", "must be in the future"),))
            payload = once.marked(
                {
                    "title": title,
                    "reason": reason,
                    "starts_at": starts_at,
                    "ends_at": ends_at,
                    "resources": resources,
                    "by": self.writer.by(caller),
                }
            )
            return Append(tenant=caller.tenant, drafts=(Draft(id=uuid7(), kind="change_window", payload=payload),))

        return await self.writer.write(once, build)
