"""Taking a quiz, playing a scenario, going through a walkthrough; and what came of it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from engine.api.learning import AnswersBody
from engine.api.problems import of as problem
from engine.api.reading import json_value, validate
from engine.content.module import Content, Strand
from engine.errors import BadRequest, FieldError, MusterError, NotFound
from engine.web.forms import fields, one
from engine.web.lessons import chance, shown, standing_of
from engine.web.pages import PageRoute, page
from engine.web.visitor import Learner, Visitor
from ledger.model import JSON, Person

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.post("/learn/modules/{module}/attempts", response_model=None)
async def start(request: Request, learner: Learner, module: str) -> Response:
    """Begin, or go on with what is open."""
    strand = one(await fields(request), "strand")
    await learner.call.may("attempt.start", learner.person)
    once = learner.call.once("attempt", module, strand)
    attempts = learner.call.services.attempts
    content = attempts.current(learner.tenant, module)
    locale = learner.words.locale if learner.words.locale in content.locales else None
    identifier, _ = await attempts.start(learner.person, module, strand or None, locale, once)
    return RedirectResponse(f"/learn/attempts/{identifier}", status_code=303)


@router.get("/learn/attempts/{attempt_id}", response_model=None)
async def attempt(request: Request, learner: Learner, attempt_id: str) -> Response:
    """The attempt as it stands, or what came of it."""
    await _own(learner, "attempt.read", attempt_id)
    return _page(request, learner, attempt_id)


@router.post("/learn/attempts/{attempt_id}/draft", response_model=None)
async def autosave(request: Request, learner: Learner, attempt_id: str) -> Response:
    """Keep answers while they are given: asked by the page's script, answered to it."""
    try:
        await _own(learner, "attempt.save", attempt_id)
        kept = validate(AnswersBody, await json_value(request))
        once = learner.call.once("draft", attempt_id, kept.model_dump())
        attempts = learner.call.services.attempts
        save = await attempts.save(attempt_id, kept.save, kept.answers, kept.active_ms, once)
    except MusterError as exc:
        return problem(exc)
    return JSONResponse({"save": save}, headers={"Cache-Control": "no-store"})


@router.post("/learn/attempts/{attempt_id}/answers", response_model=None)
async def answers(request: Request, learner: Learner, attempt_id: str) -> Response:
    """Hand in, or save for later; what is missing is told at its place, and what was chosen stays."""
    await _own(learner, "attempt.submit", attempt_id)
    form = await fields(request)
    save, active = one(form, "save"), one(form, "active", "0")
    given = {name.removeprefix("item."): values for name, values in form.items() if name.startswith("item.")}
    milliseconds = int(active) if active.isascii() and active.isdigit() and len(active) < 9 else 0
    attempts = learner.call.services.attempts
    once = learner.call.once("answers", attempt_id, {k: [*v] for k, v in given.items()})
    try:
        if one(form, "then") == "save":
            await attempts.save(attempt_id, save, given, milliseconds, once)
            return RedirectResponse("/learn", status_code=303)
        await attempts.submit(attempt_id, save, given, milliseconds, once)
    except BadRequest as exc:
        return _page(request, learner, attempt_id, given=given, errors=exc.errors)
    return RedirectResponse(f"/learn/attempts/{attempt_id}", status_code=303)


@router.post("/learn/attempts/{attempt_id}/step", response_model=None)
async def step(request: Request, learner: Learner, attempt_id: str) -> Response:
    """One step of a scenario or walkthrough."""
    await _own(learner, "attempt.step", attempt_id)
    form = await fields(request)
    at, save = one(form, "step"), one(form, "save")
    chosen = [value for value in form.get("answer", []) if value.strip()]
    answer: JSON = [*chosen] if one(form, "kind") == "many" else (chosen[0] if chosen else "")
    if not chosen:
        return _page(request, learner, attempt_id, errors=(FieldError("/answer", "missing"),))
    once = learner.call.once("step", attempt_id, [save, at, answer])
    made = await learner.call.services.steps.step(attempt_id, save, at, answer, once)
    if made is None:
        return _page(request, learner, attempt_id, given={"answer": chosen}, hinted=True)
    return RedirectResponse(f"/learn/attempts/{attempt_id}", status_code=303)


async def _own(learner: Visitor, operation: str, attempt_id: str) -> None:
    found = learner.call.services.attempts.find(learner.tenant, attempt_id)
    await learner.call.may(operation, Person(type="user", id=found.user))


def _page(
    request: Request, learner: Visitor, attempt_id: str, *, given: dict[str, list[str]] | None = None,
    errors: tuple[FieldError, ...] = (), hinted: bool = False,
) -> Response:  # fmt: skip
    attempts = learner.call.services.attempts
    found = attempts.find(learner.tenant, attempt_id)
    content, strand = attempts.of(found)
    view = attempts.shown(learner.tenant, attempt_id, learner.words.locale)
    words = content.words(learner.words.locale)
    common: dict[str, Any] = {
        "view": view,
        "content": content,
        "words": words,
        "part": next((p.title for p in words.course.parts if p.id == strand.part), None) if words.course else None,
        "site": learner.call.services.site(learner.tenant),
        "markdown": lambda text: shown(learner, content, text),
        "given": given or {},
        "wrong": {e.pointer.split("/")[2] if e.pointer.count("/") > 1 else e.pointer.strip("/") for e in errors},
        "hint": _hint(content, found.place, learner) if hinted else None,
    }
    if view["status"] != "open":
        return page(request, "result.html", **common, **_after(learner, content, strand))
    return page(request, f"{strand.kind}.html", 400 if errors else 200, **common)


def _hint(content: Content, place: str, learner: Visitor) -> str:
    walkthrough = content.words(learner.words.locale).walkthrough
    steps = walkthrough.steps if walkthrough else []
    return next((s.exercise.hint for s in steps if s.id == place), "")


def _after(learner: Visitor, content: Content, strand: Strand) -> dict[str, Any]:
    """What can be done after an attempt: the next try, and what comes next."""
    attempts = learner.call.services.attempts
    now = attempts.current(learner.tenant, content.id)
    again = now.strand(strand.name)
    standing = standing_of(learner, content.id)
    return {"again": chance(learner, now, again, standing) if again else None}


@router.api_route("/learn/{rest:path}", methods=["GET", "POST"], response_model=None)
async def nowhere(rest: str) -> Response:
    """Everything else below /learn: a page that says so."""
    raise NotFound(f"there is no page /learn/{rest}")
