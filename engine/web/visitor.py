"""Who looks at a page: a learner with a session in a cookie, renewed while pages are used; and in which language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response

from engine.access.returning import LIFE_MS, PARAMETER, looks_like
from engine.api.calls import Call, services
from engine.api.services import authenticated
from engine.entries.sessions import Session
from engine.errors import Forbidden, Unauthenticated
from engine.training.overview import Overview
from engine.web.words import Words, choose
from ledger import instants
from ledger.model import JSON, Person

COOKIE = "muster_session"
RETURN_COOKIE = "muster_return"
LOCALE_COOKIE = "muster_locale"
_YEAR_SECONDS = 31_536_000
_HOURS_SECONDS = 8 * 3600


@dataclass(frozen=True, slots=True)
class Visitor:
    """A learner at a page."""

    call: Call
    person: Person
    words: Words

    @property
    def tenant(self) -> str:
        return self.call.tenant

    @property
    def overview(self) -> Overview:
        return self.call.services.overview


async def visitor(request: Request) -> Visitor:
    """The learner behind the cookie; raises Unauthenticated, and Forbidden for a form of somebody else's page."""
    found = services(request)
    text = request.cookies.get(COOKIE)
    if text is None:
        raise Unauthenticated("there is no session")
    caller = authenticated(found, text, None)
    person = caller.principal.person
    if caller.role != "learner-session" or person is None:
        raise Unauthenticated("this is no learner's session")
    if request.method not in ("GET", "HEAD"):
        same_origin(request)
    call = Call(
        services=found,
        caller=caller,
        request_id=request.state.request_id,
        idempotency_key=None,
        again=lambda: authenticated(found, text, None),
    )
    directory = found.overview.state(caller.tenant, person)["directory"]
    assert isinstance(directory, dict)
    words = words_of(request, directory)
    request.state.words = words
    request.state.back = _back(request, caller.tenant, person)
    request.state.renewed = await found.sessions.renew(caller)
    return Visitor(call, person, words)


Learner = Annotated[Visitor, Depends(visitor)]


@dataclass(frozen=True, slots=True)
class Back:
    """Where the reader came from, and may go back to: an address of theirs at a host that a route names."""

    href: str
    word: str
    """That says so."""

    @property
    def host(self) -> str:
        """What of it is shown."""
        return urlsplit(self.href).netloc


def _back(request: Request, tenant: str, person: Person) -> Back | None:
    """The way back that a gateway has signed for this reader: the page's own, else the one that was kept."""
    found = services(request)
    now_ms = instants.parse(found.runtime.now(tenant))
    for word in (request.query_params.get(PARAMETER), request.cookies.get(RETURN_COOKIE)):
        address = None if word is None else found.returns.address(tenant, person, word, now_ms)
        if word is not None and address is not None:
            return Back(address, word)
    return None


def words_of(request: Request, directory: dict[str, JSON] | None = None) -> Words:
    """The language of a page: the reader's own choice, their directory's, their browser's."""
    known = directory or {}
    own, zone = known.get("locale"), known.get("zone")
    locale = choose(
        request.cookies.get(LOCALE_COOKIE), str(own) if own else None, request.headers.get("accept-language")
    )
    return Words(locale, str(zone) if zone else "UTC")


def same_origin(request: Request) -> None:
    """Refuse a form that was sent from somebody else's page."""
    origin = request.headers.get("origin")
    if origin is None:
        if request.headers.get("sec-fetch-site") in ("same-origin", "none"):
            return
    elif urlsplit(origin).netloc == request.headers.get("host"):
        return
    raise Forbidden("this form was not sent from our own page")


def keep(request: Request, response: Response, session: Session) -> None:
    """Put a session into the reader's cookie: no script reads it, and no other site sends it with a form."""
    secure = services(request).runtime.settings.base_url.startswith("https://")
    response.set_cookie(
        COOKIE, session.secret.text, max_age=_HOURS_SECONDS, httponly=True, samesite="lax", secure=secure, path="/learn"
    )


def keep_return(request: Request, response: Response) -> None:
    """Remember the way back through the lesson, also for who has to sign in first: whose it is, is looked at when it is
    used. Where the reader is known, somebody else's word does not take the place of theirs."""
    word = request.query_params.get(PARAMETER)
    if word is None or not looks_like(word):
        return
    back: Back | None = getattr(request.state, "back", None)
    if hasattr(request.state, "back") and (back is None or back.word != word):
        return
    secure = services(request).runtime.settings.base_url.startswith("https://")
    response.set_cookie(
        RETURN_COOKIE, word, max_age=LIFE_MS // 1000, httponly=True, samesite="lax", secure=secure, path="/learn"
    )


def keep_locale(request: Request, response: Response, locale: str) -> None:
    """Remember the reader's own choice of language."""
    secure = services(request).runtime.settings.base_url.startswith("https://")
    response.set_cookie(
        LOCALE_COOKIE, locale, max_age=_YEAR_SECONDS, httponly=True, samesite="lax", secure=secure, path="/"
    )
