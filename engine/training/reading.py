"""Reading: which slides of a lesson a person has opened. It proves nothing, but a next try may wait for it, and the
lessons of a course are parts of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from engine.content.models import Course
from engine.content.module import Content
from engine.decide.facts import Seen
from engine.entries.writer import Once
from engine.errors import BadRequest, Conflict, FieldError
from engine.training.attempts import Attempts
from engine.training.grading import finished
from engine.training.standing import Standing
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Person


@dataclass(frozen=True, slots=True)
class Reading:
    """Records what was read."""

    attempts: Attempts

    async def read(self, person: Person, module: str, slides: Sequence[str], once: Once) -> dict[str, JSON]:
        """Record slides as read; with the last slide of a course's lesson that part is done, and maybe the course.

        Nothing is written where nothing is new. Raises NotFound, BadRequest (slide), Conflict (a part comes first).
        """
        tenant, writer = once.caller.tenant, self.attempts.writer

        async def build() -> Append:
            content = self.attempts.current(tenant, module)
            seen = Seen.none(writer.runtime.reader, tenant)
            standing = self.attempts.standing(seen, person, module)
            known = {s.id for s in content.words(None).slides}
            errors = [
                FieldError(f"/slides/{i}", f"there is no slide {s} in {module}")
                for i, s in enumerate(slides)
                if s not in known
            ]
            if errors or not slides:
                raise BadRequest("nothing was read", tuple(errors) or (FieldError("/slides", "name at least one"),))
            read = sorted({*standing.read(), *slides} & known)
            part = _part(content, standing, slides, read)
            if part is None and read == sorted(standing.read()) and not _to_be_reopened(standing):
                raise _NothingNewError
            payload: dict[str, JSON] = {
                "event": "read",
                "person": {"type": person.type, "id": person.id},
                "module": module,
                "version": content.module.version,
                "digest": content.digest,
                "slides": [*slides],
                "read": [*read],
                "part": part,
                "by": writer.by(once.caller),
            }
            now = writer.runtime.now(tenant)
            draft = Draft(id=uuid7(), kind="learning", payload=once.marked(payload), about=person)
            earned = await self._course(seen, person, content, standing, part, once, now)
            revision = writer.runtime.active(tenant).revision if earned else None
            return Append(tenant=tenant, drafts=(draft, *earned), reads=seen.reads, revision=revision, now=now)

        with contextlib.suppress(_NothingNewError):
            await writer.write(once, build)
        seen = Seen.none(writer.runtime.reader, tenant)
        standing = self.attempts.standing(seen, person, module)
        return {"module": module, "read": [*standing.read()], "parts": [*standing.parts()]}

    async def _course(
        self, seen: Seen, person: Person, content: Content, standing: Standing, part: str | None, once: Once, now: str
    ) -> tuple[Draft, ...]:
        result = finished(person.id, content, standing, part, None, None, now)
        if result is None:
            return ()
        active = self.attempts.writer.runtime.active(once.caller.tenant)
        unmarked = Once(caller=once.caller, key=None, request=once.request)
        return await self.attempts.results.drafts(active, seen, result, unmarked, now)


class _NothingNewError(Exception):
    """Nothing is to be written."""


def _part(content: Content, standing: Standing, slides: Sequence[str], read: Sequence[str]) -> str | None:
    """The part of a course that is done with these slides, if it was not before; raises Conflict out of order."""
    course, done = content.model("course.yaml", Course), standing.parts()
    for part in course.parts if course else ():
        if part.slides is None or not set(slides) & set(part.slides):
            continue
        missing = [p for p in part.after if p not in done]
        if missing:
            raise Conflict(f"first comes: {', '.join(missing)}", "not-yet")
        if part.id not in done and set(part.slides) <= set(read):
            return part.id
    return None


def _to_be_reopened(standing: Standing) -> bool:
    """Whether a try has ended since the lesson was opened: the next one may wait for it to be opened again."""
    ended = [str(last["counted_from"]) for last in standing.lasts()]
    return standing.opened_at is None or any(standing.opened_at <= e for e in ended)
