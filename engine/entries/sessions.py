"""Learners' sessions: a host's backend vouches for its signed-in user, for ten minutes and one origin.

A session is a token of the role `learner-session` like any other, so who could act as whom is on the record. For
Muster's own page there is a *ticket* besides, good once and within a minute: `TENANT.TOKEN_ID.ENDS.MAC`, where the MAC
(HMAC-SHA256, its first 128 bits) is by a key that only this home has. It holds no secret of the session: whoever uses
it is given a session of its own, whose entry takes the ticket's idempotency key, so that the ledger lets it be used
once, at whichever worker.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field

from engine.access.caller import Caller, Principal
from engine.access.tokens import Secret, principal_of
from engine.entries.tokens import Tokens
from engine.entries.writer import Once
from engine.errors import Conflict, NotFound, Unauthenticated
from ledger import instants
from ledger.model import JSON, Person

LIFE = "PT10M"
TICKET_MS = 60_000
RENEW_MS = 6 * 60_000
"""A page renews its session when less than this is left of it."""
LONGEST_MS = 8 * 3_600_000
"""How long pages can renew a session at most."""
_TICKET = re.compile(r"([a-z0-9][a-z0-9-]{0,62})\.([0-9a-f-]{36})\.(\d{13})\.([A-Za-z0-9_-]{22})", re.ASCII)
LONGEST_TICKET = 140
_USED = "this link was used before, or is older than a minute: open it again where it was"


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
    _key: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._key = self.tokens.writer.runtime.home.derived_key("ticket")

    async def begin(self, user: str, origin: str | None, once: Once) -> Session:
        """A session for a person who is known and active; raises NotFound, Conflict."""
        runtime, tenant = self.tokens.writer.runtime, once.caller.tenant
        ref = runtime.ref(tenant, Person(type="user", id=user))
        _, state = runtime.reader.objects(tenant, [f"person/{ref}"])[f"person/{ref}"] if ref else (-1, None)
        if not isinstance(state, dict):  # or no more: who is erased between the two looks has a ref without a person
            raise NotFound(f"there is no user {user} in the directory: add the person first")
        directory = state["directory"]
        if not isinstance(directory, dict) or directory.get("active") is not True:
            raise Conflict(f"user {user} has been deactivated", "inactive")
        return await self._issue(user, origin, runtime.now(tenant), once)

    async def renew(self, caller: Caller) -> Session | None:
        """A new session in the place of one that is about to end, while its pages are used; None where none is due.

        The first session's instant is carried along, and nothing is renewed for longer than a working day.
        """
        runtime, user = self.tokens.writer.runtime, caller.principal.id
        name = f"token/{caller.token_id}"
        _, state = runtime.reader.objects(caller.tenant, [name])[name]
        if not isinstance(state, dict) or not isinstance(state.get("since"), str):
            return None
        now = instants.parse(runtime.now(caller.tenant))
        since, ends = str(state["since"]), instants.parse(str(state["expires_at"]))
        if ends - now > RENEW_MS or now - instants.parse(since) > LONGEST_MS:
            return None
        origin = state.get("origin")
        once = Once.of(caller, None, ["renewal", caller.token_id])
        return await self._issue(user, str(origin) if origin is not None else None, since, once)

    async def _issue(self, user: str, origin: str | None, since: str, once: Once) -> Session:
        more: dict[str, JSON] = {"since": since} if origin is None else {"since": since, "origin": origin}
        principal = Principal(type="user", id=user)
        secret, expires_at = await self.tokens.create("learner-session", principal, LIFE, once, more)
        return Session(secret=secret, expires_at=expires_at, user=user, tenant=once.caller.tenant)

    def ticket(self, session: Session, now: str) -> str:
        """A word that stands for a session once, in a link."""
        said = f"{session.tenant}.{session.secret.token_id}.{instants.parse(now) + TICKET_MS}"
        return f"{said}.{self._mac(said)}"

    async def redeem(self, word: str) -> Session:
        """The session that a ticket is good for; raises Unauthenticated where it was used before, or is too old."""
        form = _TICKET.fullmatch(word)
        if form is None or not hmac.compare_digest(self._mac(word.rpartition(".")[0]), form[4]):
            raise Unauthenticated(_USED)
        tenant, token_id, ends = form[1], form[2], int(form[3])
        runtime, name = self.tokens.writer.runtime, f"token/{token_id}"
        _, state = runtime.reader.objects(tenant, [name])[name]
        now = instants.parse(runtime.now(tenant))
        if not isinstance(state, dict) or state.get("revoked_at") is not None or now >= ends:
            raise Unauthenticated(_USED)
        principal = principal_of(state["principal"])
        caller = Caller(tenant=tenant, role=str(state["role"]), principal=principal, token_id=token_id)
        origin, once = state.get("origin"), Once.of(caller, word, "ticket")
        try:
            return await self._issue(principal.id, None if origin is None else str(origin), str(state["since"]), once)
        except (Conflict, NotFound):  # used before, or its person was erased meanwhile
            raise Unauthenticated(_USED) from None

    def _mac(self, said: str) -> str:
        digest = hmac.digest(self._key, said.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()
