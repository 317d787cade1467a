"""A module's own page, its slides, and its media."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from engine.content.models import Course
from engine.content.module import Content, Strand
from engine.decide.facts import Seen
from engine.errors import Conflict, NotFound, TooSoon
from engine.training import lessons
from engine.training.standing import Standing
from engine.web.markdown import render
from engine.web.pages import PageRoute, page
from engine.web.visitor import Learner, Visitor

router = APIRouter(route_class=PageRoute, include_in_schema=False)
TYPES = {
    ".webm": "video/webm", ".mp4": "video/mp4", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg",
    ".webp": "image/webp", ".vtt": "text/vtt; charset=utf-8", ".md": "text/plain; charset=utf-8",
}  # fmt: skip
_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")


@dataclass(frozen=True, slots=True)
class Chance:
    """A strand as the reader may take it: now, later, or after something else."""

    strand: Strand
    needs: Any
    pass_mark: int | None
    opened: bool
    reason: str | None
    retry_at: str | None


@router.get("/learn/modules/{module}", response_model=None)
async def module(request: Request, learner: Learner, module: str) -> Response:
    """What it is about, what is asked, and where to begin."""
    content = learner.call.services.attempts.current(learner.tenant, module)
    standing = standing_of(learner, module)
    words = content.words(learner.words.locale)
    rules = learner.call.services.runtime.active(learner.tenant).catalogue.data["source"]["scopes"]
    return page(
        request,
        "module.html",
        content=content,
        words=words,
        site=learner.call.services.site(learner.tenant),
        chances={s.name: chance(learner, content, s, standing) for s in content.strands()},
        parts=parts(words.course, standing) if words.course else [],
        read=standing.read(),
        unread=bool(content.lessons) and standing.opened_at is None,
        months={s: rules[s]["valid"] for s in content.module.scopes if s in rules},
    )


@router.get("/learn/modules/{module}/slides/{slide}", response_model=None)
async def slide(request: Request, learner: Learner, module: str, slide: str) -> Response:
    """One slide; whoever looks at it has read it."""
    content = learner.call.services.attempts.current(learner.tenant, module)
    words = content.words(learner.words.locale)
    found = words.slide(slide)
    if found is None:
        raise NotFound(f"there is no slide {slide} in {module}")
    if request.method == "GET" and "prefetch" not in request.headers.get("sec-purpose", ""):
        once = learner.call.once("reading", module, [slide])
        await learner.call.services.reading.read(learner.person, module, [slide], once)
    # The slides of a course are turned within their part: what comes after it may be locked.
    among = words.course.parts if words.course else []
    part = next((p for p in among if slide in (p.slides or ())), None)
    order = part.slides if part and part.slides else [s.id for s in words.slides]
    at = order.index(slide)
    return page(
        request,
        "slide.html",
        content=content,
        words=words,
        slide=found,
        body=shown(learner, content, found.text),
        at=at + 1,
        of=len(order),
        before=order[at - 1] if at else None,
        after=order[at + 1] if at + 1 < len(order) else None,
        walkthrough=any(s.name == "walkthrough" for s in content.strands()),
        part=part.title if part else None,
    )


@router.get("/learn/media/{module}/{digest}/{path:path}", response_model=None)
async def media(request: Request, learner: Learner, module: str, digest: str, path: str) -> Response:
    """A picture, a clip, its captions; in parts where the browser asks for parts."""
    suffix = "." + path.rpartition(".")[2]
    if suffix not in TYPES or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise NotFound(f"there is no {path}")
    content = learner.call.services.attempts.content(module, digest)
    data = content.files.get(f"media/{path}")
    if data is None:
        raise NotFound(f"there is no {path}")
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "Accept-Ranges": "bytes"}
    headers |= {"X-Content-Type-Options": "nosniff"}
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked is None or asked[0] == "bytes=-":
        return Response(data, media_type=TYPES[suffix], headers=headers)
    first = int(asked[1]) if asked[1] else max(0, len(data) - int(asked[2]))
    last = min(int(asked[2]), len(data) - 1) if asked[1] and asked[2] else len(data) - 1
    if first > last:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    return Response(data[first : last + 1], status_code=206, media_type=TYPES[suffix], headers=headers)


def shown(learner: Visitor, content: Content, text: str) -> Any:
    """Markdown of a module as HTML."""
    site, locale = learner.call.services.site(learner.tenant), learner.words.locale

    def title(reference: str) -> str:
        return site.title(locale, "policies" if reference.startswith("POL-") else "runbooks", reference)

    def address(path: str) -> str:
        return f"/learn/media/{content.id}/{content.digest}/{path.removeprefix('media/')}"

    def transcript(path: str) -> str:
        return content.files.get(path, b"").decode("utf-8", "replace")

    return render(text, title, address, transcript, learner.words)


def standing_of(learner: Visitor, module: str) -> Standing:
    """Where the reader stands with a module."""
    attempts = learner.call.services.attempts
    return attempts.standing(Seen.none(attempts.writer.runtime.reader, learner.tenant), learner.person, module)


def chance(learner: Visitor, content: Content, strand: Strand, standing: Standing) -> Chance:
    """Whether a strand may be begun now."""
    opened, reason, retry_at = standing.open(strand.name) is not None, None, None
    if not opened:
        try:
            standing.check(content, strand, learner.call.services.runtime.now(learner.tenant))
        except TooSoon as exc:
            reason, retry_at = "too-soon", exc.retry_at
        except Conflict as exc:
            reason = exc.reason
    quiz = strand.kind == "quiz"
    rules = content.module.quiz
    return Chance(
        strand=strand,
        needs=lessons.needed(content, strand.draw) if quiz else None,
        pass_mark=rules.pass_mark if quiz and rules else None,
        opened=opened,
        reason=reason,
        retry_at=retry_at,
    )


def parts(course: Course, standing: Standing) -> list[dict[str, Any]]:
    """A course's parts in their order: done, next, or locked by what comes first."""
    done, made = standing.parts(), []
    titles = {p.id: p.title for p in course.parts}
    for part in course.parts:
        missing = [titles[p] for p in part.after if p not in done]
        state = "done" if part.id in done else "locked" if missing else "next"
        score = done.get(part.id, {}).get("score")
        made.append({"part": part, "state": state, "missing": missing, "score": score})
    return made
