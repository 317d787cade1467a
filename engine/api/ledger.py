"""Routes to the log: entries, checkpoints, proofs; and the log as C2SP tlog-tiles, for tools that nobody here wrote."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from engine.api.calls import Authenticated, call, services
from engine.api.reading import Body, Identifier, Name, StrictQuery, Text, body, documented
from engine.entries.copies import Copies
from engine.errors import BadRequest, FieldError, Forbidden, NotFound
from engine.publishing.keys import read_key
from engine.publishing.tiles import content
from ledger import note, tiles
from ledger.errors import Malformed
from ledger.model import JSON, Entry, Person, StoredCheckpoint
from ledger.verifier import archive
from ledger.verify import verify

router = APIRouter(dependencies=[StrictQuery], tags=["ledger"])
_PAGE = 100
_FOREVER = "max-age=31536000, immutable"
_SECONDS = "max-age=5"
_TEXT = "text/plain; charset=utf-8"


class RotationBody(Body):
    """Why the log's key hands over; `new_key` (PEM) only where the key is configured and not the home's own."""

    reason: Text
    new_key: Annotated[str, Field(max_length=4096)] | None = None


class AlarmBody(Body):
    """Why an alarm is over."""

    reason: Text


class ArchiveBody(Body):
    """The SHA-256 of an evidence archive's manifest, what the archive is called, and the one person it is about."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    name: Name
    user: Identifier | None = None


@router.get("/v1/ledger/head", summary="Size and root of the log, unsigned")
async def head(call: Authenticated) -> dict[str, Any]:
    """The tree head over the committed entries; for evidence take the checkpoint, which is signed."""
    await call.may("ledger.read")
    found = call.services.runtime.reader.head(call.tenant)
    return {
        "tenant": call.tenant,
        "size": found.size,
        "root": found.root.hex(),
        "newest_at": found.newest_at,
        "active_revision": found.active_revision,
    }


@router.get("/v1/ledger/checkpoint", summary="The newest signed checkpoint, or the one of a size")
async def checkpoint(call: Authenticated, size: Annotated[int | None, Query(ge=0, le=2**53)] = None) -> dict[str, Any]:
    """A C2SP checkpoint with the witnesses' lines, and the key that verifies it."""
    await call.may("ledger.read")
    found = call.services.runtime.reader.checkpoint(call.tenant, size)
    if found is None and size is not None:
        raise NotFound(f"there is no checkpoint of {size} entries; proofs of consistency lead to any")
    made = _checkpoint(call.services.checkpoints.key(call.tenant), found or await _made(call))
    return {**made, "alarms": _alarms(call)}


@router.post("/v1/ledger/checkpoint", summary="Make a checkpoint now")
async def make_checkpoint(call: Authenticated) -> dict[str, Any]:
    """A checkpoint over all that is committed: the newest one, where nothing was appended since."""
    await call.may("ledger.checkpoint")
    made = await _made(call)
    return {**_checkpoint(call.services.checkpoints.key(call.tenant), made), "alarms": _alarms(call)}


@router.get("/v1/ledger/witnesses", summary="Who cosigns the log, and whether the policy is satisfied")
async def witnesses(call: Authenticated) -> dict[str, Any]:
    """`satisfied` is about the newest checkpoint, `satisfied_size` the newest one that has its quorum."""
    await call.may("ledger.read")
    return call.services.witnesses.described(call.tenant)


@router.post(
    "/v1/ledger/alarms/{witness:path}/clearance",
    openapi_extra=documented(AlarmBody),
    summary="Say that an alarm of a fork is over",
)
async def clear_alarm(
    call: Authenticated, witness: str, wanted: Annotated[AlarmBody, Depends(body(AlarmBody))]
) -> dict[str, Any]:
    """An entry with the reason; a witness that holds anything else than what was cleared raises the alarm again."""
    await call.may("alarm.clear")
    once = call.once("alarm.clear", witness, wanted.reason)
    entry = await call.services.witnesses.alarms.clear(once, witness, wanted.reason)
    return {"witness": witness, "entry": entry.id, "index": entry.index, "at": entry.at}


@router.get("/v1/ledger/checkpoints", summary="Checkpoints, the newest first")
async def checkpoints(
    call: Authenticated,
    before: Annotated[int, Query(ge=1, le=2**53)] = 2**53,
    limit: Annotated[int, Query(ge=1, le=1000)] = _PAGE,
) -> dict[str, Any]:
    """A page of checkpoints of a size below `before`; `next` is the following page's `before`, null at the end."""
    await call.may("ledger.read")
    key = call.services.checkpoints.key(call.tenant)
    page = call.services.runtime.reader.checkpoints(call.tenant, before, limit)
    following = page[-1].size if len(page) == limit else None
    return {"checkpoints": [_checkpoint(key, found) for found in page], "next": following}


@router.post("/v1/ledger/key-rotation", openapi_extra=documented(RotationBody), summary="Hand over to a new log key")
async def rotate(call: Authenticated, wanted: Annotated[RotationBody, Depends(body(RotationBody))]) -> dict[str, Any]:
    """The old key signs for the new one; both sign the first checkpoint after that."""
    await call.may("log.rotate")
    if call.caller.token_id is not None and len(call.services.runtime.tenants()) > 1:
        raise Forbidden("the key signs for every tenant of this home: whoever owns the home rotates it, not one tenant")
    once = call.once("log.rotate", wanted.reason)
    signer = read_key(wanted.new_key, "/new_key") if wanted.new_key else None
    entry = await call.services.checkpoints.rotate(call.caller, wanted.reason, once, signer)
    return {"entry": entry.id, "index": entry.index, "at": entry.at, "vkey": entry.value["vkey"]}


@router.post(
    "/v1/ledger/archives", openapi_extra=documented(ArchiveBody), summary="Sign and record an evidence archive"
)
async def sign_archive(
    call: Authenticated, wanted: Annotated[ArchiveBody, Depends(body(ArchiveBody))]
) -> dict[str, Any]:
    """The log's key signs the archive's manifest, and the log records that there is such a copy."""
    person = Person(type="user", id=wanted.user) if wanted.user is not None else None
    await call.may("ledger.copy", person)
    signed = call.services.checkpoints.signed(call.tenant, archive.signed_text(wanted.sha256))
    once = call.once("ledger.copy", "archive", wanted.model_dump())
    about = call.services.runtime.ref(call.tenant, person)
    entry, _ = await Copies(call.services.writer).record("archive", wanted.name, wanted.sha256, once, about=about)
    return {"id": entry.id, "index": entry.index, "at": entry.at, "note": signed}


@router.get("/v1/ledger/entries", summary="Entries of the log, in order")
async def entries(
    call: Authenticated,
    start: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = _PAGE,
) -> dict[str, Any]:
    """A page of entries; `next` is the start of the following page, null at the end."""
    await call.may("ledger.read")
    reader = call.services.runtime.reader
    size = reader.head(call.tenant).size
    page: list[JSON] = [_entry(e) for e in reader.entries(call.tenant, start, min(start + limit, size))]
    return {"size": size, "entries": page, "next": start + limit if start + limit < size else None}


@router.get("/v1/ledger/entries/{entry_id}", summary="One entry of the log")
async def entry(call: Authenticated, entry_id: str) -> dict[str, Any]:
    """An entry by its ID."""
    await call.may("ledger.read")
    found = call.services.runtime.reader.entry(call.tenant, entry_id)
    if found is None:
        raise NotFound(f"there is no entry {entry_id}")
    return _entry(found)


@router.get("/v1/ledger/proofs/inclusion", summary="That an entry is in the log (RFC 6962)", response_model=None)
async def inclusion(
    call: Authenticated,
    entry_id: Annotated[str, Query(alias="id", min_length=1, max_length=64)],
    form: Annotated[Literal["json", "tlog-proof"], Query(alias="format")] = "json",
) -> dict[str, Any] | Response:
    """The hashes that lead from the entry to a signed checkpoint's root, with that checkpoint."""
    await call.may("ledger.read")
    found, hashes, stored = await call.services.checkpoints.prove(call.tenant, entry_id)
    text = note.proof_text(found.index, hashes, stored.note)
    if form == "tlog-proof":
        name = f'attachment; filename="{found.id}.tlog-proof"'
        return Response(text, media_type=_TEXT, headers={"Content-Disposition": name})
    said = call.services.checkpoints.read(stored)
    return {
        "id": entry_id,
        "index": found.index,
        "size": said.size,
        "header": found.header.decode(),
        "leaf": call.services.runtime.reader.hashes(call.tenant, 0, found.index, found.index + 1)[0].hex(),
        "root": said.root.hex(),
        "proof": [node.hex() for node in hashes],
        "checkpoint": _checkpoint(call.services.checkpoints.key(call.tenant), stored),
        "tlog_proof": text,
    }


@router.get("/v1/ledger/proofs/consistency", summary="That a smaller log begins a larger one (RFC 6962)")
async def consistency(
    call: Authenticated,
    old: Annotated[int, Query(alias="from", ge=0, le=2**53)],
    new: Annotated[int | None, Query(alias="to", ge=0, le=2**53)] = None,
) -> dict[str, Any]:
    """The hashes between two sizes; `to` is the newest checkpoint's, or that of a checkpoint that was made."""
    await call.may("ledger.read")
    reader = call.services.runtime.reader
    target = reader.checkpoint(call.tenant, new) or (await _made(call) if new is None else None)
    if target is None:
        raise NotFound(f"there is no checkpoint of {new} entries to prove anything to")
    if old > target.size:
        detail = f"at most {target.size}, the size of the checkpoint"
        raise BadRequest("a proof leads from a smaller log to a larger one", (FieldError("query/from", detail),))
    before = reader.checkpoint(call.tenant, old)
    key = call.services.checkpoints.key(call.tenant)
    return {
        "from": old,
        "to": target.size,
        "proof": [node.hex() for node in call.services.checkpoints.consistency(call.tenant, old, target.size)],
        "old_checkpoint": _checkpoint(key, before) if before else None,
        "checkpoint": _checkpoint(key, target),
    }


@router.get("/v1/ledger/verify", summary="Recompute the log from its raw entries")
async def verify_ledger(call: Authenticated) -> dict[str, Any]:
    """Everything recomputed; `findings` is empty if the log is whole."""
    await call.may("ledger.verify")
    report = await asyncio.to_thread(verify, call.services.runtime.reader, call.tenant)
    return report.described()


@router.get("/tlog/{tenant}/checkpoint", summary="The log's newest checkpoint (C2SP tlog-tiles)")
async def tlog_checkpoint(request: Request, tenant: str) -> Response:
    """For auditors' tokens, or for anybody where the service is configured so."""
    reach = await _reader_of(request, tenant)
    found = services(request).checkpoints.newest(tenant)
    return Response(found.note, media_type=_TEXT, headers={"Cache-Control": f"{reach}, {_SECONDS}"})


@router.get("/tlog/{tenant}/tile/{path:path}", summary="A tile or an entry bundle (C2SP tlog-tiles)")
async def tlog_tile(request: Request, tenant: str, path: str) -> Response:
    """Whatever the newest checkpoint covers; it never changes."""
    reach = await _reader_of(request, tenant)
    found = services(request)
    try:
        tile = tiles.parse(f"tile/{path}")
    except Malformed as exc:
        raise NotFound(str(exc)) from exc
    if not tile.within(found.checkpoints.newest(tenant).size):
        raise NotFound("the newest checkpoint does not cover this tile")
    data = await asyncio.to_thread(content, found.runtime.reader, tenant, tile)
    headers = {"Cache-Control": f"{reach}, {_FOREVER}", "X-Content-Type-Options": "nosniff"}
    return Response(data, media_type="application/octet-stream", headers=headers)


async def _reader_of(request: Request, tenant: str) -> str:
    """Whether caches may share the answer: `public` where the log is open to all; else a token is needed."""
    found = services(request)
    if found.runtime.settings.log.open:
        if not found.runtime.has(tenant):
            raise NotFound(f"there is no log of {tenant}")
        return "public"
    caller = await call(request, None, None)
    await caller.may("ledger.read")
    if caller.tenant != tenant:
        raise Forbidden("this token is of another tenant")
    return "private"


def _alarms(call: Authenticated) -> list[JSON]:
    return [alarm.described() for alarm in call.services.witnesses.alarms.of(call.tenant)]


async def _made(call: Authenticated) -> StoredCheckpoint:
    return await call.services.checkpoints.make(call.tenant)


def _checkpoint(key: Any, stored: StoredCheckpoint) -> dict[str, Any]:
    origin, size, root, *_ = stored.note.split("\n")
    return {
        "origin": origin,
        "size": int(size),
        "root": root,
        "at": stored.at,
        "note": stored.note,
        "vkey": key.vkey() if key is not None else None,
        "witnesses": [line.split(" ")[1] for line in stored.cosignatures],
    }


def _entry(found: Entry) -> dict[str, Any]:
    return {
        "index": found.index,
        "id": found.id,
        "at": found.at,
        "kind": found.kind,
        "header": found.header.decode(),
        "payload": found.payload.decode() if found.payload is not None else None,
        "salt": found.salt.hex() if found.salt is not None else None,
    }
