"""Learners' sessions: a host's backend vouches for its signed-in user, for ten minutes and one origin.

A session is a token of the role `learner-session` like any other, so who could act as whom is on the record. For
Muster's own page there is a *ticket* besides: good once, within a minute, and only for this process.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from engine.access.caller import Principal
from engine.access.tokens import Secret
from engine.entries.tokens import Tokens
from engine.entries.writer import Once
from engine.errors import Conflict, NotFound, Unauthenticated
from ledger import instants
from ledger.model import JSON, Person

LIFE = "PT10M"
TICKET_MS = 60_000
_MOST_TICKETS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session that was begun: its token, when it ends, and whose it is."""

    secret: Secret
    expires_at: str
    user: str
    tenant: str


@dataclass(slots=True)
class Sessions:
    """Begins sessions."""

    tokens: Tokens
    _tickets: OrderedDict[str, tuple[Session, str]] = field(default_factory=OrderedDict)

    async def begin(self, user: str, origin: str | None, once: Once) -> Session:
        """A session for a person who is known and active; raises NotFound, Conflict."""
        runtime, tenant = self.tokens.writer.runtime, once.caller.tenant
        ref = runtime.ref(tenant, Person(type="user", id=user))
        if ref is None:
            raise NotFound(f"there is no user {user} in the directory: add the person first")
        _, state = runtime.reader.objects(tenant, [f"person/{ref}"])[f"person/{ref}"]
        directory = state["directory"] if isinstance(state, dict) else None
        if not isinstance(directory, dict) or directory.get("active") is not True:
            raise Conflict(f"user {user} has been deactivated", "inactive")
        more: dict[str, JSON] = {} if origin is None else {"origin": origin}
        secret, expires_at = await self.tokens.create(
            "learner-session", Principal(type="user", id=user), LIFE, once, more
        )
        return Session(secret=secret, expires_at=expires_at, user=user, tenant=tenant)

    def ticket(self, session: Session, now: str) -> str:
        """A word that stands for a session once, in a link."""
        word = secrets.token_urlsafe(32)
        ends = instants.from_ms(instants.parse(now) + TICKET_MS)
        self._tickets[word] = (session, ends)
        while len(self._tickets) > _MOST_TICKETS:
            self._tickets.popitem(last=False)
        return word

    def redeem(self, word: str) -> Session:
        """The session behind a ticket; raises Unauthenticated where it was used before, or is too old."""
        session, ends = self._tickets.pop(word, (None, ""))
        if session is None or not self.tokens.writer.runtime.now(session.tenant) < ends:
            raise Unauthenticated("this link was used before, or is older than a minute: open it again where it was")
        return session
