"""The ledger for people: the newest checkpoints and their witnesses, an entry by its evidence ID, its proof, drawn."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute

from engine.api.calls import services
from engine.errors import BadRequest, Forbidden, MusterError, NotFound, Unauthenticated, Unavailable
from engine.web import logview
from engine.web.auditor import COOKIE, Auditor, Looking, admit, forget, keep
from engine.web.forms import fields, one
from engine.web.pages import HEADERS, error_page, page
from engine.web.visitor import same_origin
from ledger import note
from ledger.errors import LedgerError
from ledger.verifier.errors import Invalid

_INSIDE: Final = re.compile(r"/ledger(?:/entries/[0-9a-f-]{36})?", re.ASCII)
_END: Final = 2**53


class LedgerRoute(APIRoute):
    """A route that answers with pages, errors included; who has no session is asked for the token."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with what surrounds every page of the ledger."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError:
                return error_page(request, BadRequest("a parameter is missing or wrong"))
            except Unauthenticated:
                return _door(request, 401, "ended" if COOKIE in request.cookies else "")
            except (LedgerError, Invalid) as exc:
                return error_page(request, Unavailable(f"the ledger cannot be read: {exc}"))
            except MusterError as exc:
                return error_page(request, exc)

        return handle


router = APIRouter(route_class=LedgerRoute, include_in_schema=False)


@router.get("/ledger", response_model=None)
async def overview(request: Request, auditor: Looking, before: Annotated[int, Query(ge=1, le=_END)] = _END) -> Response:
    """The log, its newest checkpoints, its witnesses, and how to check all of it oneself."""
    shown, older = logview.checkpoints(auditor, before)
    witnesses = auditor.services.witnesses
    return _page(
        request,
        "ledger.html",
        auditor,
        log=logview.identity(auditor),
        shown=shown,
        newest=before == _END,
        older=older,
        policy=witnesses.policy,
        standings=witnesses.standings(auditor.tenant),
        commands=logview.commands(auditor, request),
    )


@router.get("/ledger/find", response_model=None)
async def find(request: Request, auditor: Looking, q: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Lead to the entry of an ID or index."""
    found = auditor.entry(q)
    if found is None:
        return _missing(request, auditor, q)
    return RedirectResponse(auditor.link(f"/ledger/entries/{found.id}"), status_code=303)


@router.get("/ledger/enter", response_model=None)
async def door(request: Request, left: Literal["yes", ""] = "") -> Response:
    """The page that asks for the token, also where an open log shows itself without."""
    return _door(request, 200, "left" if left else "")


@router.post("/ledger/enter", response_model=None)
async def enter(request: Request) -> Response:
    """Check the token, and keep it as the session."""
    same_origin(request)
    form = await fields(request)
    token, back = one(form, "token").strip(), one(form, "back")
    try:
        caller = await admit(request, token)
    except Unauthenticated:
        return _door(request, 401, "wrong", back)
    except Forbidden:
        return _door(request, 403, "may-not", back)
    response = RedirectResponse(back if _INSIDE.fullmatch(back) else "/ledger", status_code=303)
    keep(request, response, token, caller)
    return response


@router.post("/ledger/leave", response_model=None)
async def leave(request: Request) -> Response:
    """Forget the session on this machine."""
    same_origin(request)
    response = RedirectResponse("/ledger/enter?left=yes", status_code=303)
    forget(response)
    return response


@router.get("/ledger/entries/{entry_id}", response_model=None)
async def entry(request: Request, auditor: Looking, entry_id: str) -> Response:
    """One entry: what it says, what it names, and its way up to a checkpoint's root."""
    found = auditor.entry(entry_id)
    if found is None or found.id != entry_id:
        return _missing(request, auditor, entry_id)
    reader, said = auditor.services.runtime.reader, logview.payload(found) if auditor.signed_in else None
    erased = auditor.signed_in and said is None
    return _page(
        request,
        "ledger_entry.html",
        auditor,
        entry=found,
        header=logview.header(found),
        payload=said,
        lease=logview.lease(auditor, found) if said else None,
        named=logview.named(auditor, found) if said else (),
        erased=erased,
        erasure=await asyncio.to_thread(logview.erasure, auditor, found) if erased else None,
        before=reader.entry_at(auditor.tenant, found.index - 1) if found.index else None,
        after=auditor.entry(str(found.index + 1)),
        proof=await logview.proof(auditor, found),
        commands=logview.commands(auditor, request, found.id),
    )


@router.get("/ledger/entries/{entry_id}/proof", response_model=None)
async def proof(auditor: Looking, entry_id: str) -> Response:
    """The proof as a file (C2SP tlog-proof)."""
    found = auditor.entry(entry_id)
    if found is None or found.id != entry_id:
        raise NotFound(f"there is no entry {entry_id}")
    made = await logview.proof(auditor, found)
    if made is None:
        raise Unavailable("no proof can be made of the stored tree: run `muster ledger verify`")
    text = note.proof_text(found.index, list(made.hashes), made.checkpoint.note)
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{found.id}.tlog-proof"'}
    return Response(text, media_type="text/plain; charset=utf-8", headers=headers)


def _page(request: Request, template: str, auditor: Auditor, status: int = 200, q: str = "", **values: Any) -> Response:
    """A page of the log, with what stands on each: alarms, who looks, the search."""
    return page(request, template, status, auditor=auditor, alarms=logview.alarms(auditor), q=q, **values)


def _missing(request: Request, auditor: Auditor, asked: str) -> Response:
    """There is no such entry: the search again."""
    return _page(request, "ledger_entry.html", auditor, 404, q=asked, entry=None)


def _door(request: Request, status: int, said: str, back: str | None = None) -> Response:
    """The page with the field for the token; what was in it is not shown again."""
    here = str(request.url.path) if back is None else back
    opened = services(request).runtime.settings.log.open
    inside = here if _INSIDE.fullmatch(here) else "/ledger"
    response = page(request, "ledger_enter.html", status, said=said, back=inside, opened=opened)
    if said == "ended":
        forget(response)
    return response
