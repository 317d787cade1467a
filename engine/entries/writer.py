"""The one way to write an entry on request: idempotent by the caller's key, and under the caller's name.

An `Idempotency-Key` is looked up before anything is computed. What stands in the payload is its SHA-256 over (tenant,
caller, key), and the SHA-256 of the request; the same key with another request is a conflict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from engine.access.caller import Caller
from engine.errors import Conflict, Unavailable
from engine.runtime import Runtime
from ledger import canonical
from ledger.errors import IdempotencyConflict, Stale
from ledger.model import JSON, Append, Entry, Person

ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """A request that is to have its effect once: who sends it, under which key (None: no key given), and its digest."""

    caller: Caller
    key: str | None
    request: str

    @classmethod
    def of(cls, caller: Caller, key: str | None, request: JSON) -> Once:
        """Hash a caller's key and request; `request` is whatever makes two requests the same."""
        if key is None:
            return cls(caller=caller, key=None, request=hashlib.sha256(canonical.encode(request)).hexdigest())
        # The key is in it: what was asked for cannot be guessed from its digest by whoever reads the log.
        digest = hashlib.sha256(canonical.encode([key, request])).hexdigest()
        named: JSON = [caller.tenant, str(caller.principal), key]
        return cls(caller=caller, key=hashlib.sha256(canonical.encode(named)).hexdigest(), request=digest)

    def marked(self, payload: dict[str, JSON]) -> dict[str, JSON]:
        """The payload with the key in it, where there is one."""
        return {**payload, "idempotency": {"key": self.key, "request": self.request}} if self.key else payload


@dataclass(frozen=True, slots=True)
class Writer:
    """Appends entries for callers."""

    runtime: Runtime

    def before(self, once: Once) -> Entry | None:
        """The first entry of an earlier request with this key; raises Conflict if that was another request."""
        if once.key is None:
            return None
        found = self.runtime.reader.idempotent(once.caller.tenant, once.key)
        if found is None:
            return None
        request, entry_id = found
        if request != once.request:
            raise Conflict("this Idempotency-Key was used for another request: choose a new key")
        return self.runtime.reader.entry(once.caller.tenant, entry_id)

    def by(self, caller: Caller) -> dict[str, JSON]:
        """How the entry names its author."""
        return caller.named(self.runtime.ref(caller.tenant, caller.principal.person))

    def known(self, tenant: str, person: Person) -> tuple[str, tuple[str, int]] | None:
        """A person's ref, and their object for `reads`; None for who is not in the directory.

        An entry that names a person leans on it: made while they were erased, it would name them for ever.
        """
        ref = self.runtime.ref(tenant, person)
        name = f"person/{ref}"
        version = -1 if ref is None else self.runtime.reader.objects(tenant, [name])[name][0]
        return None if ref is None or version < 0 else (ref, (name, version))

    async def write(self, once: Once, build: Callable[[], Awaitable[Append]]) -> tuple[Entry, bool]:
        """Append what `build` makes, building again when what it read has moved.

        Returns the first entry of the append, and whether an earlier request had made it already.
        """
        for _ in range(ATTEMPTS):
            earlier = self.before(once)
            if earlier is not None:
                return earlier, True
            try:
                receipts = await self.runtime.append(await build())
            except (Stale, IdempotencyConflict):
                continue  # somebody was faster; the next round sees what they wrote
            entry = self.runtime.reader.entry(once.caller.tenant, receipts[0].id)
            assert entry is not None, "an entry that was acknowledged is there"
            return entry, False
        raise Unavailable("what this request leans on keeps moving: send it again")
