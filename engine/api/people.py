"""Routes about people: the directory, prior learning, approvals, waivers, revocations, change windows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field, model_validator

from engine.api.calls import Authenticated
from engine.api.decisions import DecisionBody
from engine.api.reading import (
    Body,
    Identifier,
    Instant,
    Name,
    StrictQuery,
    Text,
    body,
    documented,
    json_value,
    raw,
    validate,
)
from engine.api.services import authenticated
from engine.errors import BadRequest, FieldError, Forbidden
from engine.training.imports import MOST_BYTES, MOST_ROWS, read_csv
from ledger.model import JSON, Person

router = APIRouter(dependencies=[StrictQuery], tags=["people"])


class DirectoryBody(Body):
    """A person's directory fields; a PUT replaces all of them."""

    active: bool = True
    persona: Name | None = None
    tracks: list[Name] | None = Field(default=None, max_length=32)
    customer: Name | None = None
    manager: Name | None = None
    locale: Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")] | None = None
    zone: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,63}$")] | None = None


class HoldBody(Body):
    """Whose data is held, or free again, and why."""

    user: Identifier
    event: Literal["placed", "released"]
    reason: Text


class ErasureBody(Body):
    """Who is erased, why (without naming them: it stays), and who agreed: tokens, or people of the directory."""

    user: Identifier
    reason: Text
    approved_by: list[Identifier] = Field(min_length=1, max_length=4)


class ApprovalBody(DecisionBody):
    """What is approved: the same subject, action, resource and context that the request will carry."""

    expires_at: Instant | None = None


class ResourceBody(Body):
    """A resource by type and ID."""

    type: Identifier
    id: Identifier


class ChangeWindowBody(Body):
    """When which resources may be changed."""

    title: Text
    reason: Text
    starts_at: Instant
    ends_at: Instant
    resources: list[ResourceBody] = Field(min_length=1, max_length=64)


class WaiverBody(Body):
    """Which requirement is waived for whom, why, and until when: exactly one of scope, track, module."""

    user: Identifier
    scope: Name | None = None
    track: Name | None = None
    module: Name | None = None
    reason: Text
    until: Instant

    @model_validator(mode="after")
    def _exactly_one(self) -> WaiverBody:
        if sum(v is not None for v in (self.scope, self.track, self.module)) != 1:
            raise ValueError("name exactly one of scope, track, module")
        return self

    def requirement(self) -> tuple[str, str]:
        """Kind and ID of what is waived."""
        for kind in ("scope", "track", "module"):
            value = getattr(self, kind)
            if value is not None:
                return kind, str(value)
        raise AssertionError("the model says that there is exactly one")


class RevocationBody(Body):
    """Why a certification is revoked."""

    reason: Text


class ImportBody(Body):
    """Prior learning, a row a result; each row is checked by the training room."""

    results: list[dict[str, Any]]


@router.put("/v1/subjects/{user:path}", openapi_extra=documented(DirectoryBody), summary="Add or replace a person")
async def put_subject(
    call: Authenticated, user: Name, directory: Annotated[DirectoryBody, Depends(body(DirectoryBody))]
) -> dict[str, Any]:
    """Make a person known, or replace their directory fields whole."""
    person = Person(type="user", id=user)
    await call.may("subject.write", person)
    fields = directory.model_dump(exclude_none=True)
    entry, _ = await call.services.subjects.put(person, fields, call.once("subject", user, fields))
    return {"id": user, "entry": entry.id, "index": entry.index, "at": entry.at, "directory": fields}


@router.get("/v1/subjects/{user:path}", summary="A person: directory and facts")
async def get_subject(call: Authenticated, user: Name) -> dict[str, Any]:
    """What the directory and the ledger hold about a person."""
    person = Person(type="user", id=user)
    await call.may("subject.read", person)
    return call.services.subjects.get(call.tenant, person)


@router.post("/v1/results/import", openapi_extra=documented(ImportBody), summary="Bring in prior learning")
async def import_results(
    request: Request, call: Authenticated, check: Annotated[bool, Query()] = False
) -> dict[str, Any]:
    """JSON `{results: [...]}` or CSV (`text/csv`); with `check=true` the mistakes are told and nothing is written."""
    rows = await _rows(request)
    people = sorted({str(row["user"]) for row in rows if isinstance(row.get("user"), str)})
    await call.may("result.import")
    for user in people:
        await call.may("result.import", Person(type="user", id=user))
    imports = call.services.imports
    if check:
        imports.check(rows, call.tenant)
        return {"checked": len(rows), "imported": []}
    recorded = await imports.bring_in(rows, call.caller, call.idempotency_key)
    return {
        "checked": len(rows),
        "imported": [
            {
                "id": r.entry.id,
                "index": r.entry.index,
                "user": row["user"],
                "module": row["module"],
                "tier": row["tier"],
                "repeated": r.repeated,
                "certifications": [
                    {k: c.value[k] for k in ("scope", "tier", "issued_at", "expires_at")} | {"id": c.id}
                    for c in r.certifications
                ],
            }
            for row, r in zip(rows, recorded, strict=True)
        ],
    }


@router.post("/v1/approvals", openapi_extra=documented(ApprovalBody), summary="Approve a request, in your own name")
async def approve(call: Authenticated, asked: Annotated[ApprovalBody, Depends(body(ApprovalBody))]) -> dict[str, Any]:
    """Record the caller's approval, bound to this request; cite its ID in `context.approvals`."""
    await call.may("approval.create")
    once = call.once("approval", asked.model_dump(mode="json"))
    entry, _ = await call.services.approvals.create(asked.request(), asked.expires_at, once)
    return {
        "approval_id": entry.id,
        "request_digest": entry.value["request_digest"],
        "expires_at": entry.value["expires_at"],
        "index": entry.index,
        "at": entry.at,
    }


@router.post("/v1/change-windows", openapi_extra=documented(ChangeWindowBody), summary="Declare a change window")
async def declare_change_window(
    call: Authenticated, window: Annotated[ChangeWindowBody, Depends(body(ChangeWindowBody))]
) -> dict[str, Any]:
    """Declare a window; cite its ID in `context.change_window`."""
    await call.may("change_window.create")
    fields = window.model_dump(mode="json")
    entry, _ = await call.services.change_windows.declare(**fields, once=call.once("change_window", fields))
    return {"change_window_id": entry.id, "index": entry.index, "at": entry.at, **fields}


@router.post("/v1/waivers", openapi_extra=documented(WaiverBody), summary="Waive a requirement for a person")
async def waive(call: Authenticated, waiver: Annotated[WaiverBody, Depends(body(WaiverBody))]) -> dict[str, Any]:
    """Record an approved exception; nobody waives for themselves."""
    person = Person(type="user", id=waiver.user)
    await call.may("waiver.create", person)
    kind, identifier = waiver.requirement()
    once = call.once("waiver", waiver.model_dump(mode="json"))
    entry, _ = await call.services.exceptions.waive(person, kind, identifier, waiver.reason, waiver.until, once)
    return {
        "waiver_id": entry.id,
        "index": entry.index,
        "at": entry.at,
        kind: identifier,
        "until": waiver.until,
    }


@router.post(
    "/v1/certifications/{certification_id}/revocation",
    openapi_extra=documented(RevocationBody),
    summary="Revoke a certification",
)
async def revoke(
    call: Authenticated, certification_id: str, why: Annotated[RevocationBody, Depends(body(RevocationBody))]
) -> dict[str, Any]:
    """Revoke what a person holds of this certification's scope, every tier of it."""
    exceptions = call.services.exceptions
    await call.may("certification.revoke")
    person, scope = exceptions.certification(call.tenant, certification_id)
    await call.may("certification.revoke", person)
    once = call.once("revocation", certification_id, why.reason)
    entry, _ = await exceptions.revoke(certification_id, why.reason, once)
    return {
        "revocation_id": entry.id,
        "index": entry.index,
        "at": entry.at,
        "user": person.id,
        "scope": scope,
    }


@router.post("/v1/legal-holds", openapi_extra=documented(HoldBody), summary="Place or release a legal hold")
async def hold(call: Authenticated, wanted: Annotated[HoldBody, Depends(body(HoldBody))]) -> dict[str, Any]:
    """While a hold stands, nothing about the person is erased."""
    person = Person(type="user", id=wanted.user)
    await call.may("hold.place", person)
    entry, _ = await call.services.holds.set(
        person, wanted.event, wanted.reason, call.once("hold", wanted.model_dump())
    )
    return {"hold_id": entry.id, "index": entry.index, "at": entry.at, "user": wanted.user, "event": wanted.event}


@router.post("/v1/erasures", openapi_extra=documented(ErasureBody), summary="Erase a person")
async def erase(call: Authenticated, wanted: Annotated[ErasureBody, Depends(body(ErasureBody))]) -> dict[str, Any]:
    """Payloads, salts and key of a person go; the answer lists what no command can reach."""
    person = Person(type="user", id=wanted.user)
    await call.may("subject.erase", person)
    agreed = [await _agreed(call, person, text) for text in wanted.approved_by]
    needed = call.services.runtime.settings.log.erasure_people
    if len({str(named["principal"]) for named in agreed if "asserted" not in named}) < needed and needed > 1:
        detail = f"the tokens of {needed} different people, each an admin"
        raise BadRequest("an erasure takes two people here", (FieldError("/approved_by", detail),))
    once = call.once("erasure", wanted.user, wanted.reason)
    done = await call.services.erasures.erase(person, wanted.reason, agreed, once)
    return done.described()


async def _agreed(call: Authenticated, person: Person, text: str) -> dict[str, JSON]:
    """Whoever agreed to an erasure: by their own token, or named by the caller, which the entry says."""
    runtime = call.services.runtime
    if text.startswith("mst."):
        caller = authenticated(call.services, text, None)
        await call.services.access.require(caller, "subject.erase", person)
        if caller.tenant != call.tenant:
            raise Forbidden("this token is of another tenant")
        return caller.named(runtime.ref(call.tenant, caller.principal.person))
    kind, _, name = text.rpartition(":")
    if kind == "system" and name and person.id not in name:
        return {"asserted": True, "principal": {"type": "system", "id": name}}
    approver = Person(type="user", id=name)
    ref = runtime.ref(call.tenant, approver)
    if kind not in ("", "user") or ref is None or approver == person or not _active(call, ref):
        detail = "somebody else's token, or whom you name: user:ID of the directory, or system:NAME"
        raise BadRequest("nobody has agreed", (FieldError("/approved_by", detail),))
    return {"asserted": True, "principal": {"type": "user", "ref": ref}}


def _active(call: Authenticated, ref: str) -> bool:
    """Whether somebody of the directory is in service."""
    _, state = call.services.runtime.reader.objects(call.tenant, [f"person/{ref}"])[f"person/{ref}"]
    directory = state["directory"] if isinstance(state, dict) else None
    return isinstance(directory, dict) and directory.get("active") is True


async def _rows(request: Request) -> list[dict[str, JSON]]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/csv":
        value = await json_value(request, limit=MOST_BYTES, max_array=MOST_ROWS)
        return validate(ImportBody, value).results
    try:
        return read_csv((await raw(request, MOST_BYTES)).decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise BadRequest(f"the CSV is not UTF-8: byte {exc.start}") from exc
