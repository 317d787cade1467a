"""How a learner comes in, chooses a language, and goes: and the files that every page needs."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, RedirectResponse

from engine.api.calls import services
from engine.entries.sessions import LONGEST_TICKET
from engine.errors import NotFound
from engine.web.forms import fields, one
from engine.web.pages import STATIC, PageRoute, page
from engine.web.visitor import COOKIE, RETURN_COOKIE, keep, keep_locale, same_origin
from engine.web.words import locales

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_TYPES = {
    "learn.css": "text/css; charset=utf-8",
    "ledger.css": "text/css; charset=utf-8",
    "learn.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@router.get("/learn/enter", response_model=None)
async def door(request: Request, ticket: Annotated[str, Query(max_length=LONGEST_TICKET)] = "") -> Response:
    """A page with one button: a link that is looked at by a mail program must not use up the ticket."""
    return page(request, "enter.html", ticket=ticket)


@router.post("/learn/enter", response_model=None)
async def enter(request: Request) -> Response:
    """Use the ticket, and keep the session."""
    same_origin(request)
    session = await services(request).sessions.redeem(one(await fields(request), "ticket"))
    response = RedirectResponse("/learn", status_code=303)
    keep(request, response, session)
    return response


@router.post("/learn/locale", response_model=None)
async def choose_locale(request: Request) -> Response:
    """Change the language, and go back to where one was: nothing of an attempt changes."""
    same_origin(request)
    form = await fields(request)
    locale, back = one(form, "locale"), one(form, "back", "/learn")
    inside = back.startswith("/") and not back.startswith(("//", "/\\"))
    response = RedirectResponse(back + _query(request, back) if inside else "/learn", status_code=303)
    if locale in locales():
        keep_locale(request, response, locale)
    return response


def _query(request: Request, path: str) -> str:
    """What stood behind the path of the page that the form was on, which the form does not carry."""
    try:
        shown = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return ""
    ours = (shown.netloc, shown.path) == (request.headers.get("host"), path)
    return f"?{shown.query}" if ours and shown.query else ""


@router.post("/learn/leave", response_model=None)
async def leave(request: Request) -> Response:
    """Forget the session on this machine."""
    same_origin(request)
    response = page(request, "left.html")
    for name in (COOKIE, RETURN_COOKIE):
        response.delete_cookie(name, path="/learn")
    return response


@router.get("/learn/static/{name}", response_model=None)
async def static(name: str) -> Any:
    """The style and the script."""
    if name not in _TYPES:
        raise NotFound(f"there is no {name}")
    headers = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}
    return FileResponse(STATIC / name, media_type=_TYPES[name], headers=headers)
