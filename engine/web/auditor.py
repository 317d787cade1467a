"""Who looks at the ledger's pages: whoever holds a token that may `ledger.read`; where the log is open, anybody.

The token itself is the session, in a cookie that goes to these pages alone and ends within the hour. It is checked at
each page as it is at each call, so one that was revoked ends at once. Without it an open log shows what its tiles show:
headers, checkpoints and proofs of what a checkpoint covers, and nothing of what entries say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import quote, urlencode

from fastapi import Depends, Request, Response

from engine.access.caller import Caller
from engine.api.calls import services
from engine.api.services import Services, authenticated
from engine.errors import Forbidden, NotFound, Unauthenticated
from engine.runtime import DEFAULT_TENANT
from engine.web.visitor import words_of
from engine.web.words import Words
from ledger import instants
from ledger.model import Entry

COOKIE: Final = "muster_auditor"
_HOUR_SECONDS: Final = 3600
_OPERATION: Final = "ledger.read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Auditor:
    """Somebody at a page of one tenant's log. `caller` is None for those whom an open log shows itself to."""

    services: Services
    tenant: str
    caller: Caller | None
    words: Words

    @property
    def signed_in(self) -> bool:
        return self.caller is not None

    @property
    def name(self) -> str:
        """Who that is, as it is shown."""
        return f"{self.caller.principal} ({self.caller.role})" if self.caller else ""

    @property
    def size(self) -> int:
        """How many entries there are to be seen: all, or those that a checkpoint covers."""
        reader = self.services.runtime.reader
        if self.signed_in:
            return reader.head(self.tenant).size
        newest = reader.checkpoint(self.tenant)
        return newest.size if newest is not None else 0

    def entry(self, wanted: str) -> Entry | None:
        """The entry with this ID or index, if it is there to be seen."""
        reader, text = self.services.runtime.reader, wanted.strip().lower().removeprefix("#")
        if text.isascii() and text.isdigit() and len(text) < 19:
            found = reader.entry_at(self.tenant, int(text))
        else:
            found = reader.entry(self.tenant, text)
        return found if found is not None and found.index < self.size else None

    def link(self, path: str, **query: str | int) -> str:
        """The address of a page of this log; what an open log's reader looks at is in the address."""
        if not self.signed_in and self.tenant != DEFAULT_TENANT:
            query = {"tenant": self.tenant, **query}
        return quote(path) + (f"?{urlencode(query)}" if query else "")


async def looking(request: Request) -> Auditor:
    """Who looks, and at whose log; raises Unauthenticated, Forbidden for another tenant's, NotFound for nobody's."""
    found, asked = services(request), request.query_params.get("tenant")
    request.state.words = words = words_of(request)
    text = request.cookies.get(COOKIE)
    if text is not None:
        caller = await _admitted(found, text)
        if asked not in (None, caller.tenant):
            raise Forbidden("this session is of another tenant")
        return Auditor(services=found, tenant=caller.tenant, caller=caller, words=words)
    if not found.runtime.settings.log.open:
        raise Unauthenticated("there is no session")
    tenant = asked or DEFAULT_TENANT
    if not found.runtime.has(tenant):
        raise NotFound(f"there is no log of {tenant}")
    return Auditor(services=found, tenant=tenant, caller=None, words=words)


Looking = Annotated[Auditor, Depends(looking)]


async def _admitted(found: Services, text: str) -> Caller:
    """The caller behind a cookie; one that may not look any more has no session."""
    caller = authenticated(found, text, None)
    try:
        await found.access.require(caller, _OPERATION)
    except Forbidden as exc:
        raise Unauthenticated(str(exc)) from exc
    return caller


async def admit(request: Request, text: str) -> Caller:
    """Whoever holds this token; raises Unauthenticated, and Forbidden where it may not read the ledger."""
    found = services(request)
    caller = authenticated(found, text, None)
    await found.access.require(caller, _OPERATION)
    return caller


def keep(request: Request, response: Response, text: str, caller: Caller) -> None:
    """Put a token into the cookie: no script reads it, no other site sends it, and it does not outlive the token."""
    runtime = services(request).runtime
    name = f"token/{caller.token_id}"
    _, state = runtime.reader.objects(caller.tenant, [name])[name]
    assert isinstance(state, dict), "a token that was just checked is there"
    left = (instants.parse(str(state["expires_at"])) - instants.parse(runtime.now(caller.tenant))) // 1000
    secure = runtime.settings.base_url.startswith("https://")
    age = max(0, min(_HOUR_SECONDS, left))
    response.set_cookie(COOKIE, text, max_age=age, httponly=True, samesite="strict", secure=secure, path="/ledger")


def forget(response: Response) -> None:
    """End the session on this machine."""
    response.delete_cookie(COOKIE, path="/ledger", httponly=True, samesite="strict")
