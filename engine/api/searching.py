"""What AuthZEN's searches go through: rate, access, room, and the gate's own Rego for each candidate.

Candidates are the people of the directory, the entities of the source, and its registered actions. A search costs its
caller as many tokens as it looks at candidates, and few are made at once, so that decisions keep their room.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

from engine.adapters.authzen import answers, search, stored
from engine.adapters.authzen.pages import LONGEST_ID, Position, Tokens
from engine.adapters.authzen.reading import Search
from engine.api import deciding
from engine.api.calls import Call
from engine.api.services import Services
from engine.decide.request import Request
from engine.errors import BadRequest, Forbidden, Overloaded, TooMany, Undecided
from engine.observing.metrics import SearchOutcome
from ledger import canonical
from ledger.store import Reader

_AT_ONCE: Final = 2
_MOST_WAITING: Final = 16
_WAIT_SECONDS: Final = 1.0


class Searches:
    """The searches of one process."""

    def __init__(self, found: Services) -> None:
        """Raises SetupError where the home's key cannot be read."""
        self._found = found
        self._tokens = Tokens(found.runtime.home.derived_key("authzen-pages"))
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def answer(self, call: Call, asked: Search) -> bytes:
        """A page of results, as JSON. Raises TooMany, Forbidden, BadRequest, Overloaded, Undecided, Unavailable."""
        began = time.perf_counter_ns()
        outcome: SearchOutcome = "undecided"
        try:
            page = await self._answered(call, asked)
            outcome = "page"
        except (BadRequest, Forbidden, TooMany, Overloaded):
            outcome = "refused"
            raise
        finally:
            self._found.metrics.searched(call.tenant, asked.kind, outcome, time.perf_counter_ns() - began)
        return page

    async def _answered(self, call: Call, asked: Search) -> bytes:
        found, caller = self._found, call.caller
        deciding.admitted(found, caller)
        await call.may("search", None if asked.kind == "subject" else deciding.person(asked.question))
        position = self._tokens.position(caller.tenant, asked)
        revision, at = found.runtime.active(caller.tenant).revision, found.runtime.now(caller.tenant)
        async with self._turn():
            page = await self._page(call, asked, position)
        deciding.owed(found, caller, page.candidates - 1)
        token = "" if asked.page is not None else None
        if page.after is not None:
            going_on = Position(after=page.after, limit=position.limit, properties=position.properties)
            token = self._tokens.sealed(going_on, caller.tenant, asked)
        kind = search.searched_type(asked.kind, asked.question)
        return answers.found(asked.kind, kind, page.names, next_token=token, revision=revision, at=at)

    async def _page(self, call: Call, asked: Search, position: Position) -> search.Found:
        found, caller = self._found, call.caller

        async def look(request: Request) -> bool:
            whole = stored.completed(request, found.runtime.active(caller.tenant).catalogue)
            try:
                said = await found.decider.look(whole, caller)
            except BadRequest:
                if asked.kind == "action":  # an evaluation of this action would be refused, and of another not
                    return False
                raise
            return said["allow"] is True

        try:
            return await search.page(
                asked,
                self._candidates(caller.tenant, asked, position.after),
                after=position.after,
                limit=position.limit,
                look=look,
                room=lambda places: deciding.Room(found, places),
                clock=time.monotonic,
            )
        except Undecided as exc:
            found.metrics.not_decided(caller.tenant, exc.cause)
            raise

    def _candidates(self, tenant: str, asked: Search, after: str) -> Iterator[str]:
        """Who or what may be found, each once, in the order of their IDs, from behind `after` on."""
        catalogue = self._found.runtime.active(tenant).catalogue
        if asked.kind == "action":
            yield from (name for name in stored.actions(catalogue) if name > after)
            return
        kind = search.searched_type(asked.kind, asked.question)
        listed = sorted(name for name in stored.entities(catalogue, kind) if name > after)
        last = after
        for name in heapq.merge(_people(self._found.runtime.reader, tenant, kind, after), listed):
            if name != last and len(canonical.encode(name)) <= LONGEST_ID:
                yield name
            last = name

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One of the few searches at once; raises Overloaded."""
        if self._waiting >= _MOST_WAITING:
            raise self._too_many()
        self._waiting += 1
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._turns.acquire()
        except TimeoutError as exc:
            raise self._too_many() from exc
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()

    def _too_many(self) -> Overloaded:
        self._found.metrics.refuse("overload")
        return Overloaded("more searches wait than can be made soon: send it again")


def _people(reader: Reader, tenant: str, kind: str, after: str) -> Iterator[str]:
    """The people of a type behind an ID, as the directory has them, read a hundred or so at a time."""
    key: tuple[str | int | bytes, ...] = (kind, after)
    while True:
        _, rows = reader.projected(tenant, "people", key)
        for row in rows:
            if row[0] != kind:
                return
            yield str(row[1])
        if not rows:
            return
        key = rows[-1]
