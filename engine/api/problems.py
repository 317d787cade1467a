"""RFC 9457 problem documents: the one table from errors to HTTP answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from engine import errors
from engine.api.limits import retry_after
from ledger.errors import LedgerError
from ledger.model import JSON

if TYPE_CHECKING:
    from fastapi import FastAPI

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "1"

TABLE: dict[type[errors.MusterError], tuple[int, str, str]] = {
    errors.BadRequest: (400, "malformed", "The request is malformed"),
    errors.Unauthenticated: (401, "unauthenticated", "Who are you?"),
    errors.Forbidden: (403, "forbidden", "You may not call this"),
    errors.NotFound: (404, "not-found", "There is no such thing"),
    errors.Gone: (410, "erased", "This was erased"),
    errors.Conflict: (409, "conflict", "This contradicts what is recorded"),
    errors.TooSoon: (429, "too-soon", "Not yet"),
    errors.TooMany: (429, "too-many", "Too many requests"),
    errors.TooLarge: (413, "too-large", "The request is too large"),
    errors.Undecided: (503, "undecided", "Could not decide"),
    errors.Overloaded: (503, "overloaded", "Too much is under way"),
    errors.Unavailable: (503, "unavailable", "Not available now"),
    errors.SetupError: (409, "refused", "This cannot be put into force"),
}
"""Status, type and title of each error; a test walks every subclass of MusterError."""


def document(status: int, kind: str, title: str, detail: str, **more: JSON) -> JSONResponse:
    """A problem document with the headers that its status asks for."""
    headers = {}
    if status == 503:
        headers["Retry-After"] = RETRY_AFTER_SECONDS
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="muster"'
    body = {"type": f"urn:muster:problem:{kind}", "title": title, "status": status, "detail": detail, **more}
    return JSONResponse(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def status_of(error: errors.MusterError) -> int:
    """The status that an error gets."""
    return next(TABLE[c] for c in type(error).__mro__ if c in TABLE)[0]


def of(error: errors.MusterError) -> JSONResponse:
    """The answer that an error gets."""
    status, kind, title = next(TABLE[c] for c in type(error).__mro__ if c in TABLE)
    more: dict[str, JSON] = {}
    if isinstance(error, errors.BadRequest) and error.errors:
        more["errors"] = [{"pointer": e.pointer, "detail": e.detail} for e in error.errors]
    if isinstance(error, errors.Undecided):
        more["cause"] = error.cause
        if error.decision_id is not None:
            more["decision_id"] = error.decision_id
    if isinstance(error, errors.Conflict):
        more["reason"] = error.reason
    if isinstance(error, errors.TooSoon):
        more["retry_at"] = error.retry_at
    answer = document(status, kind, title, str(error), **more)
    if isinstance(error, errors.TooSoon):
        answer.headers["Retry-After"] = str(error.seconds)
    if isinstance(error, errors.TooMany):
        answer.headers["Retry-After"] = retry_after(error.seconds)
    return answer


def fault(error: Exception) -> JSONResponse:
    """The answer to a mistake of our own: the traceback goes to the log, no part of it to the caller."""
    return document(500, "fault", "A fault of this service", f"not answered, because of a {type(error).__name__}")


def install(app: FastAPI) -> None:
    """Make every error of the application a problem document."""
    from fastapi.exceptions import RequestValidationError  # whoever answers without the application has none

    @app.exception_handler(errors.MusterError)
    async def _ours(_: Request, error: errors.MusterError) -> JSONResponse:
        return of(error)

    @app.exception_handler(LedgerError)
    async def _ledger(_: Request, error: LedgerError) -> JSONResponse:
        return of(errors.Unavailable(str(error)))

    @app.exception_handler(Exception)
    async def _fault(_: Request, error: Exception) -> JSONResponse:
        return fault(error)  # the server raises it again, for the log

    @app.exception_handler(RequestValidationError)
    async def _parameters(_: Request, error: RequestValidationError) -> JSONResponse:
        places = tuple(
            errors.FieldError("/".join(str(part) for part in e["loc"]), str(e["msg"])) for e in error.errors()
        )
        return of(errors.BadRequest("a parameter is missing or wrong", places))

    @app.exception_handler(HTTPException)
    async def _routing(_: Request, error: HTTPException) -> JSONResponse:
        kinds = {
            404: ("not-found", "There is no such thing"),
            405: ("method", "This method is not served here"),
        }
        kind, title = kinds.get(error.status_code, ("http", "The request was refused"))
        answer = document(error.status_code, kind, title, str(error.detail))
        answer.headers.update(error.headers or {})
        return answer
