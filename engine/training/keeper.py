"""Writes down what time has ended: attempts past their deadline, and certifications past their expiry, each once.

Nothing is decided by these entries: rules and attempts look at the instant. They are there so that the log tells the
whole story to whoever reads it alone. The projection is walked again and again, the more slowly the larger it is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import orjson

from engine.access.caller import itself
from engine.entries.writer import Once
from engine.errors import MusterError
from engine.training.attempts import Attempts
from ledger.errors import LedgerError
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Person

_SHORTEST_SECONDS = 5.0
_SHARE = 20
"""A walk takes at most one part in so many of the time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Keeper:
    """Walks the projection; run it beside the service."""

    attempts: Attempts

    async def run(self) -> None:
        """Walk for ever; what fails is logged and tried again at the next walk."""
        while True:
            began = time.monotonic()
            try:
                for tenant in self.attempts.writer.runtime.tenants():
                    await self.walk(tenant)
            except (MusterError, LedgerError) as exc:
                _log.warning("what has expired was not written down, it will be tried again: %s", exc)
            await asyncio.sleep(max(_SHORTEST_SECONDS, _SHARE * (time.monotonic() - began)))

    async def walk(self, tenant: str) -> int:
        """Write down all that is over now; returns how many entries that took."""
        now = self.attempts.writer.runtime.now(tenant)
        written = 0
        for prefix, over in (("attempt/", _over), ("person/", _expired)):
            pages = self._pages(tenant, prefix)
            while (page := await asyncio.to_thread(next, pages, None)) is not None:
                for name, state in page:
                    for what in over(state, now):
                        written += await self._write(tenant, name, what)
        return written

    def _pages(self, tenant: str, prefix: str) -> Iterator[list[tuple[str, dict[str, JSON]]]]:
        """The objects of one kind, page by page."""
        reader, after = self.attempts.writer.runtime.reader, prefix
        while True:
            _, rows = reader.projected(tenant, "objects", (after,))
            page = [(str(n), orjson.loads(cast(bytes, s))) for n, _, s in rows if str(n).startswith(prefix)]
            yield page
            if not page or len(page) < len(rows):
                return
            after = page[-1][0]

    async def _write(self, tenant: str, name: str, what: dict[str, JSON]) -> int:
        caller = itself(tenant)
        if not what:
            return int(await self.attempts.expire(tenant, name.partition("/")[2], caller))
        once = Once.of(caller, f"expiry/{what['certification']}", what)
        if self.attempts.writer.before(once) is not None:
            return 0
        person = what["person"]
        assert isinstance(person, dict)
        payload = once.marked({**what, "by": self.attempts.writer.by(caller)})
        about = Person(type=str(person["type"]), id=str(person["id"]))
        version, _ = self.attempts.writer.runtime.reader.objects(tenant, [name])[name]

        async def build() -> Append:
            draft = Draft(id=uuid7(), kind="expiry", payload=payload, about=about)
            return Append(tenant=tenant, drafts=(draft,), reads=((name, version),))

        _, repeated = await self.attempts.writer.write(once, build)
        return int(not repeated)


def _over(state: dict[str, JSON], now: str) -> Iterator[dict[str, JSON]]:
    """An attempt that is open past its deadline."""
    if state["status"] == "open" and now >= str(state["deadline"]):
        yield {}


def _expired(state: dict[str, JSON], now: str) -> Iterator[dict[str, JSON]]:
    """The certifications of a person that are past their expiry and were not renewed."""
    scopes = state["scopes"]
    assert isinstance(scopes, dict)
    for scope, held in scopes.items():
        tiers = held["tiers"] if isinstance(held, dict) else {}
        assert isinstance(tiers, dict)
        for tier, fact in tiers.items():
            if isinstance(fact, dict) and now >= str(fact["expires_at"]):
                yield {
                    "person": {"type": state["type"], "id": state["id"]},
                    "certification": fact["evidence"],
                    "scope": scope,
                    "tier": tier,
                    "issued_at": fact["issued_at"],
                    "expires_at": fact["expires_at"],
                }
