"""Where a person stands with a module: what is open, what was tried, and whether the next try may begin now."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from engine.bundling.models import QuizRules
from engine.content.models import Course
from engine.content.module import Content, Strand
from engine.errors import Conflict, TooSoon
from ledger import instants
from ledger.model import JSON

_UNITS_MS = {"D": 86_400_000, "H": 3_600_000, "M": 60_000, "S": 1000}
_WAIT = re.compile(r"P(?:T)?([0-9]+)([DHMS])")


@dataclass(frozen=True, slots=True)
class Standing:
    """A typed view of the state of `learning/<ref>/<module>`, and of what the person is granted."""

    state: dict[str, JSON]
    granted: dict[str, JSON]

    @classmethod
    def of(cls, state: JSON | None, granted: JSON | None) -> Standing:
        return cls(state if isinstance(state, dict) else {}, granted if isinstance(granted, dict) else {})

    def open(self, strand: str) -> str | None:
        """The attempt that is open."""
        found = _table(self.state.get("open")).get(strand)
        return str(found) if found is not None else None

    def last(self, strand: str) -> dict[str, JSON]:
        """How the last try ended; empty before the first."""
        return _table(_table(self.state.get("last")).get(strand))

    def lasts(self) -> list[dict[str, JSON]]:
        """How the last try of every strand ended."""
        return [_table(last) for last in _table(self.state.get("last")).values()]

    def number(self, strand: str) -> int:
        """How many tries have ended."""
        found = self.last(strand).get("number")
        return found if isinstance(found, int) else 0

    def failures(self, strand: str) -> int:
        """How many tries have failed since the last pass."""
        last = self.last(strand)
        found = last.get("failures")
        return found if isinstance(found, int) and not last.get("passed") else 0

    def seen(self, strand: str) -> list[str]:
        """The items that have been seen."""
        found = _table(self.state.get("seen")).get(strand)
        return [str(i) for i in found] if isinstance(found, list) else []

    def parts(self) -> dict[str, dict[str, JSON]]:
        """The parts of a course that are done."""
        return {p: _table(d) for p, d in _table(self.state.get("parts")).items()}

    def read(self) -> list[str]:
        """The slides that were read."""
        found = self.state.get("read")
        return [str(s) for s in found] if isinstance(found, list) else []

    @property
    def opened_at(self) -> str | None:
        """When the lesson was opened last."""
        found = self.state.get("opened_at")
        return str(found) if isinstance(found, str) else None

    def grant(self, what: str) -> int:
        """What the person is granted: `time` in percent more, `tries` before the waits grow."""
        found = self.granted.get(what)
        return found if isinstance(found, int) else 0

    def after(self, strand: str, ended: Mapping[str, JSON]) -> Standing:
        """The same once an open attempt of a strand has closed itself."""
        last = {**_table(self.state.get("last")), strand: {**ended, "passed": False}}
        still_open = {s: a for s, a in _table(self.state.get("open")).items() if s != strand}
        return Standing({**self.state, "last": last, "open": still_open}, self.granted)

    def check(self, content: Content, strand: Strand, now: str) -> None:
        """Return if a new try may begin; raises Conflict or TooSoon, which say what has to come first, and when."""
        self._check_order(content, strand)
        rules = content.module.quiz
        # A scenario has no rules of its own: it waits like a quiz by the usual ones.
        waits = rules or QuizRules(draw=1)
        if strand.kind == "walkthrough":
            return
        failed = max(0, self.failures(strand.name) - self.grant("tries"))
        wait = milliseconds(waits.cooldown[min(failed, len(waits.cooldown) - 1)])
        last = self.last(strand.name)
        if not failed or not last:
            return
        since = str(last["counted_from"])
        retry_at = instants.from_ms(instants.parse(since) + wait)
        if now < retry_at:
            seconds = -(-(instants.parse(retry_at) - instants.parse(now)) // 1000)
            raise TooSoon(f"after {failed} failed tries the next one may begin at {retry_at}", retry_at, seconds)
        again = failed >= len(waits.cooldown) - 1 and waits.reopen_lesson and bool(content.lessons)
        if again and (self.opened_at is None or self.opened_at <= since):
            href = f"/learn/modules/{content.id}"
            raise Conflict(f"open the lesson again before the next try: {href}", "lesson-first")

    def _check_order(self, content: Content, strand: Strand) -> None:
        course = content.model("course.yaml", Course)
        part = next((p for p in course.parts if p.id == strand.part), None) if course else None
        missing = [p for p in part.after if p not in self.parts()] if part else []
        if missing:
            raise Conflict(f"first comes: {', '.join(missing)}", "not-yet")


def milliseconds(wait: str) -> int:
    """The length of a wait such as PT10M or P1D: days here are 24 hours, since people wait for them."""
    form = _WAIT.fullmatch(wait)
    assert form is not None, "the model has checked it"
    return int(form[1]) * _UNITS_MS[form[2]]


def _table(value: JSON | None) -> dict[str, JSON]:
    return value if isinstance(value, dict) else {}
