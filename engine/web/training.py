"""My training, policies, runbooks and badges."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from engine.api.calls import services
from engine.content.module import Words as ModuleWords
from engine.credentials.issuer import tenant_of
from engine.errors import BadRequest, Forbidden, NotFound
from engine.training.overview import told
from engine.web.forms import fields, one
from engine.web.pages import PageRoute, page
from engine.web.visitor import Learner, Visitor, same_origin

router = APIRouter(route_class=PageRoute, include_in_schema=False)
ICONS = {"valid": "✓", "expiring": "◔", "grace": "◔", "expired": "✕", "revoked": "✕", "waived": "○", "none": "○"}


@router.get("/learn", response_model=None)
async def mine(request: Request, learner: Learner) -> Response:
    """Where I stand, and what is next."""
    shown = await learner.overview.of(learner.tenant, learner.person)
    catalogue = learner.call.services.runtime.active(learner.tenant).catalogue
    attempts = learner.call.services.attempts
    opened = [
        attempts.shown(learner.tenant, a, learner.words.locale)
        for a in learner.overview.open(learner.tenant, learner.person, catalogue.modules)
    ]
    history = [told(entry) for entry in learner.overview.history(learner.tenant, learner.person)]
    return page(
        request,
        "training.html",
        user=learner.person.id,
        shown=shown,
        opened=[a for a in opened if a["status"] == "open"],
        history=history,
        badges=[e for e in history if e["kind"] == "certification" or (e["kind"] == "result" and _course(e))],
        icons=ICONS,
        title_of=lambda module: module_words(learner, module).title,
        site=learner.call.services.site(learner.tenant),
    )


@router.get("/learn/policies/{policy}", response_model=None)
async def policy(request: Request, learner: Learner, policy: str) -> Response:
    """A policy, and which lessons teach it."""
    found = learner.call.services.site(learner.tenant).entry(learner.words.locale, "policies", policy)
    if found is None:
        raise NotFound(f"there is no policy {policy}")
    return page(request, "policy.html", policy=policy, found=found, lessons=_teaching(learner, "policies", policy))


@router.get("/learn/runbooks/{runbook}", response_model=None)
async def runbook(request: Request, learner: Learner, runbook: str) -> Response:
    """A runbook's steps, and which lessons teach it."""
    found = learner.call.services.site(learner.tenant).entry(learner.words.locale, "runbooks", runbook)
    if found is None:
        raise NotFound(f"there is no runbook {runbook}")
    return page(request, "runbook.html", runbook=runbook, found=found, lessons=_teaching(learner, "runbooks", runbook))


@router.get("/learn/badges/{entry_id}", response_model=None)
async def badge(request: Request, learner: Learner, entry_id: str) -> Response:
    """One badge: what it says, and the text to take along."""
    badges = learner.call.services.badges(learner.tenant)
    entry = badges.entry(entry_id)
    if entry.about != learner.person:
        raise Forbidden("this badge is somebody else's")
    text = badges.badge(entry_id, learner.call.services.site(learner.tenant))
    now = learner.call.services.runtime.now(learner.tenant)
    return page(request, "badge.html", entry_id=entry_id, text=text, checked=badges.verify(text, now), icons=ICONS)


@router.get("/learn/badges/{entry_id}/download", response_model=None)
async def download(learner: Learner, entry_id: str) -> Response:
    """The badge as a file."""
    badges = learner.call.services.badges(learner.tenant)
    if badges.entry(entry_id).about != learner.person:
        raise Forbidden("this badge is somebody else's")
    text = badges.badge(entry_id, learner.call.services.site(learner.tenant))
    headers = {"Content-Disposition": f'attachment; filename="{entry_id}.jwt"'}
    return Response(text, media_type="application/vc+jwt", headers=headers)


@router.get("/badges/verify", response_model=None)
async def verifying(request: Request) -> Response:
    """Where anybody can check a badge."""
    return page(request, "verify.html", text="", checked=None, wrong=None, icons=ICONS)


@router.post("/badges/verify", response_model=None)
async def verify(request: Request) -> Response:
    """What a badge is worth now."""
    same_origin(request)
    badge = one(await fields(request), "badge")
    checked: dict[str, Any] | None = None
    wrong: str | None = None
    try:
        found, tenant = services(request), tenant_of(badge)
        checked = found.badges(tenant).verify(badge, found.runtime.now(tenant))
    except (BadRequest, NotFound) as exc:
        wrong = str(exc)
    status = 400 if wrong else 200
    return page(request, "verify.html", status, text=badge, checked=checked, wrong=wrong, icons=ICONS)


def module_words(learner: Visitor, module: str) -> ModuleWords:
    """A module in the reader's language."""
    return learner.call.services.attempts.current(learner.tenant, module).words(learner.words.locale)


def _teaching(learner: Visitor, kind: str, reference: str) -> list[tuple[str, str]]:
    """ID and title of the modules that teach a policy or runbook."""
    catalogue = learner.call.services.runtime.active(learner.tenant).catalogue
    infos = [catalogue.module(m) for m in sorted(catalogue.modules)]
    named = [i.id for i in infos if i is not None and reference in (i.policies if kind == "policies" else i.runbooks)]
    return [(m, module_words(learner, m).title) for m in named]


def _course(entry: dict[str, Any]) -> bool:
    return entry["source"] == "course" and entry["passed"] is True
