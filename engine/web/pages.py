"""Renders pages: one environment of templates, one set of headers, and a page for every error."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from engine.api import problems
from engine.errors import BadRequest, Conflict, MusterError, TooSoon
from engine.web.markdown import inline
from engine.web.visitor import keep, keep_return, words_of
from engine.web.words import locales

STATIC = Path(__file__).with_name("static")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["inline"] = inline


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page in the reader's language."""
    words = getattr(request.state, "words", None) or words_of(request)
    values.setdefault("signed_in", hasattr(request.state, "renewed"))
    values.setdefault("back", getattr(request.state, "back", None))
    text = _TEMPLATES.get_template(template).render(t=words, locales=locales(), here=str(request.url.path), **values)
    return HTMLResponse(text, status_code=status, headers=dict(HEADERS))


class PageRoute(APIRoute):
    """A route that answers with pages, errors included, and that keeps a session alive while it is used."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with what surrounds every page."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                response: Response = await handler(request)
            except RequestValidationError as exc:
                response = error_page(request, BadRequest("a field is missing or wrong"))
                del exc
            except MusterError as exc:
                response = error_page(request, exc)
            renewed = getattr(request.state, "renewed", None)
            if renewed is not None:
                keep(request, response, renewed)
            keep_return(request, response)
            return response

        return handle


def error_page(request: Request, error: MusterError) -> HTMLResponse:
    """What went wrong, in words, and what to do."""
    status = problems.status_of(error)
    reason = error.reason if isinstance(error, Conflict) else ""
    values: dict[str, Any] = {"code": status, "reason": reason, "detail": str(error), "when": None}
    if isinstance(error, TooSoon):
        values["when"] = error.retry_at
    shown = page(request, "error.html", status, **values)
    if isinstance(error, TooSoon):
        shown.headers["Retry-After"] = str(error.seconds)
    if status == 503:
        shown.headers["Retry-After"] = problems.RETRY_AFTER_SECONDS
    return shown
