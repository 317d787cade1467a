"""Routes for the upkeep of the log: copies of it that were made, and projections made again."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from engine.api.calls import Authenticated
from engine.api.reading import Body, Identifier, StrictQuery, Text, body, documented
from engine.entries.copies import Copies
from engine.errors import BadRequest, Conflict, FieldError
from engine.runtime import Runtime
from engine.upkeep.rebuilding import rebuilding, write
from ledger.model import JSON, Receipt
from ledger.rebuild import Report

router = APIRouter(dependencies=[StrictQuery], tags=["ledger"])
_TOLD = 1000

Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class CopyBody(Body):
    """A copy of the log: of everything, or of one person, who is given by ref or by ID and recorded by ref only."""

    copy_: Literal["archive", "backup"] = Field(alias="copy")
    name: Text
    sha256: Hex64
    ref: Hex32 | None = None
    user: Identifier | None = None
    size: Annotated[int, Field(ge=0, le=2**53)] | None = None


class RebuildBody(Body):
    """Why rows are replaced."""

    reason: Text


@router.post("/v1/ledger/copies", openapi_extra=documented(CopyBody), summary="Record that a copy was made")
async def record_copy(call: Authenticated, wanted: Annotated[CopyBody, Depends(body(CopyBody))]) -> dict[str, Any]:
    """So that whoever erases a person later is told which copies may hold them."""
    await call.may("ledger.copy")
    copies = Copies(call.services.writer)
    if wanted.ref is not None and wanted.user is not None:
        raise BadRequest("a copy is of one person", (FieldError("/user", "give `ref` or `user`, not both"),))
    about = wanted.ref if wanted.user is None else copies.ref(call.tenant, wanted.user)
    once = call.once("ledger.copy", wanted.copy_, wanted.name, wanted.sha256, about)
    more: dict[str, JSON] = {} if wanted.size is None else {"size": wanted.size}
    entry, _ = await copies.record(wanted.copy_, wanted.name, wanted.sha256, once, about=about, more=more)
    return {"entry": entry.id, "index": entry.index, "at": entry.at, "ref": about}


@router.post("/v1/ledger/rebuilds", openapi_extra=documented(RebuildBody), summary="Replace rows that differ")
async def rebuild(call: Authenticated, wanted: Annotated[RebuildBody, Depends(body(RebuildBody))]) -> dict[str, Any]:
    """Every projection made again from entries; rows that differ are replaced, and an entry says so."""
    await call.may("ledger.rebuild")
    once = call.once("ledger.rebuild", wanted.reason)
    earlier = call.services.writer.before(once)
    if earlier is not None:
        return {"entry": earlier.id, "index": earlier.index, "at": earlier.at, "rows": earlier.value["rows"]}
    payload = once.marked({"reason": wanted.reason, "by": call.services.writer.by(call.caller)})
    return await asyncio.to_thread(_rebuild, call.services.runtime, call.tenant, payload)


def _rebuild(runtime: Runtime, tenant: str, payload: dict[str, JSON]) -> dict[str, Any]:
    with rebuilding(runtime.home, runtime.outside, tenant) as making:
        report = making.run()
        if report.wrong:
            raise Conflict(f"the log itself is not whole, so nothing was replaced: {'; '.join(report.wrong)}")
        receipt = write(runtime.ledger, making, payload) if report.differing else None
        left = [str(found) for found in islice((d for d in making.differences() if not d.mends), _TOLD)]
    return _told(report, receipt, runtime, tenant) | {"left": left}


def _told(report: Report, receipt: Receipt | None, runtime: Runtime, tenant: str) -> dict[str, Any]:
    entry = runtime.reader.entry(tenant, receipt.id) if receipt else None
    return {
        "size": report.size,
        "entry": entry.id if entry else None,
        "index": entry.index if entry else None,
        "at": entry.at if entry else None,
        "rows": entry.value["rows"] if entry else {},
    }
