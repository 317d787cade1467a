"""Attempts: begun, saved, gone through, handed in. Everything about one is in the ledger, from its first byte.

An attempt is pinned to the version, the digest and the items it began with; whoever saves or hands in names the newest
`save`, so that a stale tab loses and is told. Python counts and copies; what a pass is worth is Rego's to say
(`engine.training.results`).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.access.caller import Caller
from engine.content import paper
from engine.content.library import Library
from engine.content.models import Keys, Scenario, Walkthrough
from engine.content.module import Content, Strand
from engine.decide.facts import Seen
from engine.entries.writer import Once, Writer
from engine.errors import BadRequest, Conflict, FieldError, NotFound, Unavailable
from engine.training import attempt as attempts
from engine.training.attempt import DAY_MS, Attempt
from engine.training.grading import Grading, Outcome
from engine.training.results import Results
from engine.training.standing import Standing, milliseconds
from ledger import instants
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Entry, Person

OPEN_DAYS = 30
"""How long an attempt without a time limit stays open."""
MOST_SAVES = 1000
"""How often one attempt may be saved: a person needs some dozens, a script would fill the disk."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """Begins, saves and ends attempts."""

    writer: Writer
    results: Results
    library: Library

    def find(self, tenant: str, identifier: str) -> Attempt:
        """An attempt by its ID; raises NotFound."""
        found = attempts.find(self.writer.runtime.reader, tenant, identifier)
        if found is None:
            raise NotFound(f"there is no attempt {identifier}")
        return found

    def content(self, module: str, digest: str) -> Content:
        """A version of a module; raises Unavailable where the home has not got it."""
        try:
            return self.library.module(module, digest)
        except FileNotFoundError as exc:
            raise Unavailable(f"the content of {module} is not in this home: build and activate its revision") from exc

    def current(self, tenant: str, module: str) -> Content:
        """The version of a module that is in force; raises NotFound."""
        found = self.writer.runtime.active(tenant).catalogue.module(module)
        if found is None:
            raise NotFound(f"there is no module {module}")
        return self.content(module, found.digest)

    def of(self, found: Attempt) -> tuple[Content, Strand]:
        """What an attempt is pinned to."""
        content = self.content(found.text("module"), found.text("digest"))
        strand = content.strand(found.text("strand"))
        assert strand is not None, "the digest says that it is the content the attempt began with"
        return content, strand

    def shown(self, tenant: str, identifier: str, locale: str | None = None) -> dict[str, JSON]:
        """An attempt as its learner sees it, with its result once there is one."""
        found = self.find(tenant, identifier)
        content, strand = self.of(found)
        view = attempts.shown(found, content, strand, locale, self.writer.runtime.now(tenant))
        result = found.state["result"]
        if isinstance(result, str):
            view["result"] = self._with_titles(tenant, self.grading.told(tenant, found, content, locale), locale)
        return view

    def _with_titles(self, tenant: str, told: dict[str, JSON], locale: str | None) -> dict[str, JSON]:
        """What to read again may be a slide of another module, which is shown as it is now."""
        feedback = told.get("feedback")
        reread = feedback.get("reread") if isinstance(feedback, dict) else None
        for place in reread if isinstance(reread, list) else ():
            if isinstance(place, dict) and place["title"] is None:
                slide = self.current(tenant, str(place["module"])).words(locale).slide(str(place["slide"]))
                place["title"] = slide.title if slide else place["slide"]
        return told

    @property
    def grading(self) -> Grading:
        """What turns an end into a result."""
        return Grading(self.writer, self.results)

    async def start(
        self, person: Person, module: str, strand_name: str | None, locale: str | None, once: Once
    ) -> tuple[str, bool]:
        """Begin an attempt, or go on with the one that is open; returns its ID, and whether it was there already.

        Raises NotFound (module, strand, person), Conflict (something comes first) or TooSoon (a wait is not over).
        """
        runtime, tenant = self.writer.runtime, once.caller.tenant
        going_on: list[str] = []
        begun: list[str] = []

        async def build() -> Append:
            content = self.current(tenant, module)
            strand = content.strand(strand_name)
            if strand is None:
                names = ", ".join(s.name for s in content.strands()) or "nothing"
                raise NotFound(f"there is no {strand_name or 'quiz or scenario'} to take in {module}: it has {names}")
            if locale is not None and locale not in content.locales:
                detail = f"{module} is there in {', '.join(content.locales)}"
                raise BadRequest("no such language", (FieldError("/locale", detail),))
            seen = Seen.none(runtime.reader, tenant)
            standing = self.standing(seen, person, module)
            now = runtime.now(tenant)
            drafts: list[Draft] = []
            opened = standing.open(strand.name)
            if opened is not None:
                before = self.seen_attempt(seen, opened)
                if not before.over(now):
                    going_on.append(opened)
                    raise _GoesOnError
                # It has closed itself; this is the first to write it down, and the wait counts from its deadline.
                drafts.append(self._expired(before, person, standing, strand, once.caller))
                standing = standing.after(strand.name, drafts[0].payload)
            standing.check(content, strand, now)
            void = self.void(seen, content.digest)
            drafts.append(self._opened(content, strand, standing, person, locale, void, now, once))
            begun.append(drafts[-1].id)
            return Append(tenant=tenant, drafts=tuple(drafts), reads=seen.reads, now=now)

        try:
            entry, repeated = await self.writer.write(once, build)
        except _GoesOnError:
            return going_on[-1], True
        return (entry.id, True) if repeated else (begun[-1], False)

    async def save(
        self, identifier: str, save: str, answers: Mapping[str, Sequence[str]], active_ms: int, once: Once
    ) -> str:
        """Keep answers; returns the new `save`. Raises Conflict where the attempt has moved on or has ended."""
        tenant = once.caller.tenant

        async def build() -> Append:
            seen = Seen.none(self.writer.runtime.reader, tenant)
            found = self.seen_attempt(seen, identifier)
            now = self.writer.runtime.now(tenant)
            self.check_open(found, save, now)
            content, strand = self.of(found)
            if strand.kind != "quiz":
                raise Conflict(f"a {strand.kind} is gone through step by step: there is nothing to save", "not-a-quiz")
            check_answers(found, content, answers, whole=False)
            if found.saves >= MOST_SAVES:
                raise Conflict("this attempt was saved too often: hand it in", "too-often")
            payload: dict[str, JSON] = {
                **self.named(found, "saved", once.caller),
                "answers": {i: [*a] for i, a in answers.items()},
                "active": min(active_ms, found.elapsed(now)),
                "saves": found.saves + 1,
            }
            draft = Draft(id=uuid7(), kind="attempt", payload=once.marked(payload), about=person_of(found))
            return Append(tenant=tenant, drafts=(draft,), reads=seen.reads, now=now)

        entry, _ = await self.writer.write(once, build)
        return entry.id

    async def submit(
        self, identifier: str, save: str, answers: Mapping[str, Sequence[str]], active_ms: int, once: Once
    ) -> Entry:
        """Hand in; returns the entry of the result. The same answers handed in twice are one result."""
        tenant = once.caller.tenant
        before = self._handed_in(tenant, identifier, answers)
        if before is not None:
            return before

        async def build() -> Append:
            seen = Seen.none(self.writer.runtime.reader, tenant)
            found = self.seen_attempt(seen, identifier)
            now = self.writer.runtime.now(tenant)
            self.check_open(found, save, now)
            content, strand = self.of(found)
            if strand.kind != "quiz":
                raise Conflict(f"a {strand.kind} has no answers to hand in: send its steps", "not-a-quiz")
            check_answers(found, content, answers, whole=True)
            keys = content.model("keys.yaml", Keys)
            rules = content.module.quiz
            assert keys is not None
            assert rules is not None
            items = [d.id for d in found.drawn]
            score = paper.grade(keys.quiz, items, answers, rules.pass_mark, self.void(seen, content.digest))
            outcome = Outcome(
                passed=score.passed,
                score=score,
                pass_mark=rules.pass_mark,
                responses={i: sorted(a) for i, a in answers.items()},
                active=min(active_ms, found.elapsed(now)),
            )
            return await self.closing(seen, found, content, strand, outcome, once, now)

        try:
            entry, _ = await self.writer.write(once, build)
        except Conflict as exc:
            # The same answers may have been handed in at the same moment: theirs is the result.
            before = self._handed_in(tenant, identifier, answers) if exc.reason == "closed" else None
            if before is None:
                raise
            return before
        return entry

    async def expire(self, tenant: str, identifier: str, caller: Caller) -> bool:
        """Write down that an attempt has closed itself; False if it has not, or if that is written already."""
        once = Once.of(caller, f"attempt-expired/{identifier}", ["expired", identifier])

        async def build() -> Append:
            seen = Seen.none(self.writer.runtime.reader, tenant)
            found = self.seen_attempt(seen, identifier)
            now = self.writer.runtime.now(tenant)
            if not found.over(now):
                raise _GoesOnError
            _, strand = self.of(found)
            standing = self.standing(seen, person_of(found), found.text("module"))
            draft = self._expired(found, person_of(found), standing, strand, caller)
            marked = Draft(id=draft.id, kind=draft.kind, payload=once.marked(dict(draft.payload)), about=draft.about)
            return Append(tenant=tenant, drafts=(marked,), reads=seen.reads, now=now)

        try:
            _, repeated = await self.writer.write(once, build)
        except _GoesOnError:
            return False
        return not repeated

    def check_open(self, found: Attempt, save: str | None, now: str) -> None:
        """Return if an attempt can still be changed by who knows its newest `save`; raises Conflict."""
        if found.status != "open":
            words = "it was handed in already" if found.status in ("passed", "failed") else f"it is {found.status}"
            raise Conflict(f"this attempt is closed: {words}; nothing was changed", "closed")
        if found.over(now):
            raise Conflict(f"this attempt closed itself at {found.text('deadline')}", "expired")
        if save is not None and save != found.text("save"):
            raise Conflict(
                "this attempt was changed somewhere else, such as in another tab: load it again, nothing was lost",
                "stale-save",
            )

    def named(self, found: Attempt, event: str, caller: Caller) -> dict[str, JSON]:
        """The fields that every entry about an attempt has."""
        return {
            "attempt": found.id,
            "event": event,
            "person": found.state["person"],
            "module": found.text("module"),
            "strand": found.text("strand"),
            "by": self.writer.by(caller),
        }

    async def closing(
        self, seen: Seen, found: Attempt, content: Content, strand: Strand, outcome: Outcome, once: Once, now: str
    ) -> Append:
        """The append that ends an attempt."""
        standing = self.standing(seen, person_of(found), content.id)
        active = self.writer.runtime.active(once.caller.tenant)
        drafts = await self.grading.drafts(active, seen, found, content, strand, standing, outcome, once, now)
        return Append(tenant=once.caller.tenant, drafts=drafts, reads=seen.reads, revision=active.revision, now=now)

    def standing(self, seen: Seen, person: Person, module: str) -> Standing:
        """Where a person stands with a module, its versions noted; raises NotFound for an unknown person."""
        ref = seen.reader.person(seen.tenant, person)
        if ref is None:
            raise NotFound(f"there is no {person.type} {person.id} in the directory: add the person first")
        learning, granted = f"learning/{ref}/{module}", f"accommodation/{ref}"
        seen.look([learning, granted])
        return Standing.of(seen.states[learning], seen.states[granted])

    def void(self, seen: Seen, digest: str) -> frozenset[str]:
        """The items of a version that are void, its regrades noted."""
        name = f"regrade/{digest}"
        seen.look([name])
        state = seen.states[name]
        items = state["items"] if isinstance(state, dict) else {}
        return frozenset(items) if isinstance(items, dict) else frozenset()

    def seen_attempt(self, seen: Seen, identifier: str) -> Attempt:
        """An attempt, its version noted; raises NotFound."""
        name = f"attempt/{identifier}"
        seen.look([name])
        state = seen.states[name]
        if not isinstance(state, dict):
            raise NotFound(f"there is no attempt {identifier}")
        return Attempt(id=identifier, state=state)

    def _opened(
        self, content: Content, strand: Strand, standing: Standing, person: Person, locale: str | None,
        void: frozenset[str], now: str, once: Once,
    ) -> Draft:  # fmt: skip
        seed = secrets.token_hex(16)
        seen_items: list[str] = []
        place: str | None = None
        drawn: tuple[paper.Drawn, ...] = ()
        if strand.kind == "quiz":
            pool = {i: item for i, item in content.pool(strand).items() if i not in void}
            drawn = paper.draw(pool, strand.draw, seed, standing.seen(strand.name))
            seen_items = paper.seen_after(pool, standing.seen(strand.name), drawn)
        elif strand.kind == "scenario":
            graph = content.model("scenario.yaml", Scenario)
            assert graph is not None
            place = graph.start
            drawn = tuple(paper.shuffled(seed, name, state.choices) for name, state in graph.states.items())
        else:
            walkthrough = content.model("walkthrough.yaml", Walkthrough)
            assert walkthrough is not None
            place = walkthrough.steps[0].id
        life = OPEN_DAYS * DAY_MS
        rules = content.module.quiz
        if strand.kind == "quiz" and rules is not None and rules.time_limit is not None:
            life = milliseconds(rules.time_limit) * (100 + standing.grant("time")) // 100
        last = standing.last(strand.name)
        opened = standing.opened_at
        unread = opened is None or (last.get("passed") is True and opened <= str(last["counted_from"]))
        payload: dict[str, JSON] = {
            "event": "opened",
            "person": {"type": person.type, "id": person.id},
            "module": content.id,
            "version": content.module.version,
            "digest": content.digest,
            "strand": strand.name,
            "kind": strand.kind,
            "locale": locale or content.module.locales.source,
            "seed": seed,
            "items": [{"id": d.id, "options": [*d.options]} for d in drawn],
            "place": place,
            "seen": [*seen_items],
            "number": standing.number(strand.name) + 1,
            "deadline": instants.from_ms(instants.parse(now) + life),
            "tested_out": bool(content.lessons) and unread,
            "granted": standing.granted,
            "by": self.writer.by(once.caller),
        }
        return Draft(id=uuid7(), kind="attempt", payload=once.marked(payload), about=person)

    def _expired(self, found: Attempt, person: Person, standing: Standing, strand: Strand, caller: Caller) -> Draft:
        payload: dict[str, JSON] = {
            **self.named(found, "expired", caller),
            "number": found.number,
            "failures": standing.failures(strand.name) + 1,
            "counted_from": found.text("deadline"),
        }
        return Draft(id=uuid7(), kind="attempt", payload=payload, about=person)

    def _handed_in(self, tenant: str, identifier: str, answers: Mapping[str, Sequence[str]]) -> Entry | None:
        """The result, where exactly these answers were handed in before; raises Conflict where it were others."""
        found = self.find(tenant, identifier)
        result = found.state["result"]
        entry = self.writer.runtime.reader.entry(tenant, result) if isinstance(result, str) else None
        if entry is None or entry.payload is None:
            return None
        before: JSON = entry.value.get("responses")
        if before == {i: sorted(a) for i, a in answers.items()}:
            return entry
        raise Conflict("this attempt was handed in already, with other answers: the first ones count", "closed")


class _GoesOnError(Exception):
    """Nothing is to be written: the attempt that is open goes on."""


def person_of(found: Attempt) -> Person:
    """Whose attempt it is."""
    return Person(type="user", id=found.user)


def check_answers(found: Attempt, content: Content, answers: Mapping[str, Sequence[str]], *, whole: bool) -> None:
    """Refuse answers to what was not asked, and options that are not there; with `whole`, items left out as well."""
    drawn = {d.id: d for d in found.drawn}
    pool = content.words(None).quiz
    assert pool is not None
    errors: list[FieldError] = []
    for item, chosen in answers.items():
        if item not in drawn:
            errors.append(FieldError(f"/answers/{item}", "is not an item of this attempt"))
            continue
        errors += [
            FieldError(f"/answers/{item}/{i}", f"there is no option {option}")
            for i, option in enumerate(chosen)
            if option not in drawn[item].options
        ]
        if len(set(chosen)) != len(chosen) or (len(chosen) > 1 and not pool.items[item].many):
            errors.append(FieldError(f"/answers/{item}", "one option can be chosen here, and each one once"))
    if whole:
        errors += [FieldError(f"/answers/{i}", "is not answered yet") for i in drawn if not answers.get(i)]
    if errors:
        raise BadRequest("the answers do not fit this attempt: nothing was handed in", tuple(errors))
