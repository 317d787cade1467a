"""Routes for learners and those who host them: sessions, lessons, attempts, my training."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field

from engine.api.calls import Authenticated
from engine.api.reading import Body, Identifier, Instant, Name, StrictQuery, Text, body, documented
from engine.errors import BadRequest, FieldError
from engine.training import lessons
from engine.training.overview import told
from ledger.model import JSON, Person

router = APIRouter(dependencies=[StrictQuery], tags=["learning"])
Locale = Annotated[str | None, Query(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")]
Option = Annotated[str, Field(max_length=64)]
_DAY_MS = 86_400_000


class SessionBody(Body):
    """Whose session, and from which origin its token may be used by a browser."""

    user: Identifier
    origin: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.\[\]:-]+$", max_length=256)] | None = None


class AttemptBody(Body):
    """What is begun: a strand of the module (by default its quiz or scenario), in which language."""

    strand: Annotated[str, Field(max_length=64)] | None = None
    locale: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")] | None = None


class ReadingBody(Body):
    """Which slides were opened."""

    slides: Annotated[list[Option], Field(min_length=1, max_length=100)]


class AnswersBody(Body):
    """Option IDs by item; the newest `save` of the attempt; and, advisory, how long the page was in sight."""

    save: Annotated[str, Field(max_length=64)]
    answers: Annotated[dict[Option, Annotated[list[Option], Field(max_length=20)]], Field(max_length=100)]
    active_ms: Annotated[int, Field(ge=0, le=_DAY_MS)] = 0


class StepBody(Body):
    """One step: where the attempt stands, and what is chosen there."""

    save: Annotated[str, Field(max_length=64)]
    step: Option
    answer: Annotated[str, Field(max_length=1000)] | Annotated[list[Option], Field(max_length=20)]


class OutcomeBody(Body):
    """What came of a walkthrough in the product, as the host's backend saw it."""

    event: Annotated[str, Field(max_length=64)]
    data: Annotated[dict[str, Any], Field(max_length=64)]


class AccommodationBody(Body):
    """Percent more time, tries before waits grow, and why."""

    time: Annotated[int, Field(ge=0, le=400)] = 0
    tries: Annotated[int, Field(ge=0, le=20)] = 0
    reason: Text


class RegradeBody(Body):
    """Which item is void, of which version (by default the one in force), and why."""

    module: Option
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    item: Option
    reason: Text


class LoweringBody(Body):
    """Until when a result still counts, and why."""

    until: Instant
    reason: Text


@router.post("/v1/sessions", openapi_extra=documented(SessionBody), summary="Begin a learner's session")
async def begin_session(
    call: Authenticated, wanted: Annotated[SessionBody, Depends(body(SessionBody))]
) -> dict[str, Any]:
    """A token for ten minutes, and a link to My training that works once within a minute."""
    person = Person(type="user", id=wanted.user)
    await call.may("session.create", person)
    sessions = call.services.sessions
    session = await sessions.begin(wanted.user, wanted.origin, call.once("session", wanted.model_dump()))
    ticket = sessions.ticket(session, call.services.runtime.now(call.tenant))
    return {
        "token": session.secret.text,
        "id": session.secret.token_id,
        "user": wanted.user,
        "origin": wanted.origin,
        "expires_at": session.expires_at,
        "href": f"/learn/enter?ticket={ticket}",
    }


@router.get("/v1/modules/{module}", summary="A module: its lesson, and what can be taken in it")
async def module(call: Authenticated, module: str, locale: Locale = None) -> dict[str, Any]:
    """Words and rules; no question is shown before an attempt is begun, no answer before one is passed."""
    await call.may("module.read", call.caller.principal.person)
    return lessons.described(call.services.attempts.current(call.tenant, module), locale)


@router.post("/v1/modules/{module}/reading", openapi_extra=documented(ReadingBody), summary="Slides were opened")
async def read(
    call: Authenticated, module: str, opened: Annotated[ReadingBody, Depends(body(ReadingBody))]
) -> dict[str, Any]:
    """Record what was read: it proves nothing, but a course goes on with it."""
    person = await _learner(call, "attempt.start")
    return await call.services.reading.read(
        person, module, opened.slides, call.once("reading", module, [*opened.slides])
    )


@router.post("/v1/modules/{module}/attempts", openapi_extra=documented(AttemptBody), summary="Begin an attempt")
async def start(
    call: Authenticated, module: str, wanted: Annotated[AttemptBody, Depends(body(AttemptBody))]
) -> dict[str, Any]:
    """Begin, or go on with the attempt that is open: its items without answers."""
    person = await _learner(call, "attempt.start")
    attempts = call.services.attempts
    once = call.once("attempt", module, wanted.model_dump())
    identifier, repeated = await attempts.start(person, module, wanted.strand, wanted.locale, once)
    return {**attempts.shown(call.tenant, identifier, wanted.locale), "resumed": repeated}


@router.get("/v1/attempts/{attempt_id}", summary="An attempt, as its learner sees it")
async def attempt(call: Authenticated, attempt_id: str, locale: Locale = None) -> dict[str, Any]:
    """Where it stands; once it has ended, what came of it."""
    await _own(call, "attempt.read", attempt_id)
    return call.services.attempts.shown(call.tenant, attempt_id, locale)


@router.put("/v1/attempts/{attempt_id}/draft", openapi_extra=documented(AnswersBody), summary="Keep answers")
async def save(
    call: Authenticated, attempt_id: str, kept: Annotated[AnswersBody, Depends(body(AnswersBody))]
) -> dict[str, Any]:
    """Keep answers; the answer's `save` is the one to name next."""
    await _own(call, "attempt.save", attempt_id)
    once = call.once("draft", attempt_id, kept.model_dump())
    new = await call.services.attempts.save(attempt_id, kept.save, kept.answers, kept.active_ms, once)
    return {"attempt_id": attempt_id, "save": new}


@router.post("/v1/attempts/{attempt_id}/answers", openapi_extra=documented(AnswersBody), summary="Hand in")
async def submit(
    call: Authenticated, attempt_id: str, given: Annotated[AnswersBody, Depends(body(AnswersBody))]
) -> dict[str, Any]:
    """Hand in and be graded, once: the same answers again give the first result again."""
    await _own(call, "attempt.submit", attempt_id)
    attempts = call.services.attempts
    once = call.once("answers", attempt_id, given.model_dump())
    await attempts.submit(attempt_id, given.save, given.answers, given.active_ms, once)
    shown = attempts.shown(call.tenant, attempt_id)
    result = shown["result"]
    assert isinstance(result, dict)
    return {"attempt_id": attempt_id, "status": shown["status"], **result}


@router.post(
    "/v1/attempts/{attempt_id}/events", openapi_extra=documented(StepBody), summary="A step, or a reported outcome"
)
async def event(request: Request, call: Authenticated, attempt_id: str) -> dict[str, Any]:
    """One step of a scenario or walkthrough by its learner; or `{event, data}` by the host's backend."""
    steps, attempts = call.services.steps, call.services.attempts
    if call.caller.role == "learner-session":
        await _own(call, "attempt.step", attempt_id)
        made = await body(StepBody)(request)
        once = call.once("step", attempt_id, made.model_dump())
        answer: JSON = made.answer if isinstance(made.answer, str) else [*made.answer]
        entry = await steps.step(attempt_id, made.save, made.step, answer, once)
        shown = attempts.shown(call.tenant, attempt_id)
        return {**shown, "accepted": entry is not None}
    found = attempts.find(call.tenant, attempt_id)
    await call.may("attempt.report", Person(type="user", id=found.user))
    reported = await body(OutcomeBody)(request)
    once = call.once("outcome", attempt_id, reported.model_dump())
    entry = await steps.report(attempt_id, reported.event, reported.data, once)
    return {
        "attempt_id": attempt_id,
        "result_id": entry.id,
        "passed": entry.value["passed"],
        "reported": entry.value["reported"],
        "index": entry.index,
    }


@router.put(
    "/v1/accommodations/{user:path}",
    openapi_extra=documented(AccommodationBody),
    summary="Grant more time or tries",
)
async def accommodate(
    call: Authenticated, user: Name, granted: Annotated[AccommodationBody, Depends(body(AccommodationBody))]
) -> dict[str, Any]:
    """What a person is granted wherever they learn; the reason is in the log, and nowhere else."""
    person = Person(type="user", id=user)
    await call.may("accommodation.grant", person)
    once = call.once("accommodation", user, granted.model_dump())
    entry = await call.services.accommodations.grant(person, granted.time, granted.tries, granted.reason, once)
    return {"user": user, "entry": entry.id, "index": entry.index, "time": granted.time, "tries": granted.tries}


@router.post("/v1/regrades", openapi_extra=documented(RegradeBody), summary="Void an item, and count again")
async def regrade(call: Authenticated, wanted: Annotated[RegradeBody, Depends(body(RegradeBody))]) -> dict[str, Any]:
    """Whoever passes by it passes at once; whoever would fail is pending, and keeps what they have."""
    await call.may("regrade.propose")
    digest = wanted.digest or call.services.attempts.current(call.tenant, wanted.module).digest
    once = call.once("regrade", wanted.model_dump())
    return await call.services.regrades.void(wanted.module, digest, wanted.item, wanted.reason, once)


@router.post(
    "/v1/results/{result_id}/lowering",
    openapi_extra=documented(LoweringBody),
    summary="Lower what a void item made a pass",
)
async def lower(
    call: Authenticated, result_id: str, wanted: Annotated[LoweringBody, Depends(body(LoweringBody))]
) -> dict[str, Any]:
    """What was passed by a void item counts until then, and so does what was earned with it."""
    entry = call.services.runtime.reader.entry(call.tenant, result_id)
    await call.may("regrade.review", entry.about if entry is not None else None)
    once = call.once("lowering", result_id, wanted.model_dump())
    made = await call.services.regrades.lower(result_id, wanted.until, wanted.reason, once)
    return {"result_id": result_id, "entry": made.id, "index": made.index, "until": wanted.until}


@router.get("/v1/training", summary="My training: tracks, certifications, what is due, history")
async def training(
    call: Authenticated, user: Annotated[str | None, Query(min_length=1, max_length=1024)] = None
) -> dict[str, Any]:
    """Where a person stands; a learner's own where no user is named."""
    own = call.caller.principal.person
    person = Person(type="user", id=user) if user is not None else own
    await call.may("training.read", person)
    overview = call.services.overview
    if person is None:
        raise BadRequest(
            "whose training is not said", (FieldError("user", "name somebody: you learn nothing yourself"),)
        )
    shown = await overview.of(call.tenant, person)
    modules = call.services.runtime.active(call.tenant).catalogue.modules
    history = [told(entry) for entry in overview.history(call.tenant, person)]
    return {**shown, "open": overview.open(call.tenant, person, modules), "history": history}


async def _learner(call: Authenticated, operation: str) -> Person:
    """The caller as the person who learns; raises Forbidden."""
    person = call.caller.principal.person
    await call.may(operation, person)
    assert person is not None, "the access policy lets nobody but a person learn"
    return person


async def _own(call: Authenticated, operation: str, attempt_id: str) -> None:
    """Whether the caller may do this to this attempt: it has to be their own."""
    # A role that may not do it to any attempt is told so before it is told whether there is such an attempt.
    await call.may(operation, call.caller.principal.person)
    found = call.services.attempts.find(call.tenant, attempt_id)
    await call.may(operation, Person(type="user", id=found.user))
