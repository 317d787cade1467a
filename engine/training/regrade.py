"""Regrades: an item whose key was wrong is void, and what was answered is counted again without it.

Whoever passes by that passes at once, as of the day they handed in. Whoever would fail by it keeps what they have until
somebody else has looked and named a day of grace. Both results stay in the log for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import cast

import orjson

from engine.content import paper
from engine.content.models import Keys, Quiz
from engine.content.module import Content
from engine.decide.facts import Seen
from engine.entries.writer import Once
from engine.errors import BadRequest, Conflict, FieldError, NotFound
from engine.training.attempt import Attempt
from engine.training.attempts import Attempts
from engine.training.grading import finished
from engine.training.results import Result
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Entry, Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """An attempt counted again: its first result, the new score, and which way the verdict went."""

    attempt: Attempt
    result: Entry
    score: paper.Score
    verdict: str


@dataclass(frozen=True, slots=True)
class Regrades:
    """Voids items, and counts again."""

    attempts: Attempts

    async def void(self, module: str, digest: str, item: str, reason: str, once: Once) -> dict[str, JSON]:
        """Void an item of a version of a module, and count every attempt again that it was drawn for.

        Whoever passes now is awarded in the same append; whoever would fail is listed as pending. Sent again, it goes
        on where it was broken off. Raises NotFound, BadRequest.
        """
        content = self._content(module, digest)
        quiz, keys = content.model("quiz.yaml", Quiz), content.model("keys.yaml", Keys)
        if quiz is None or keys is None or item not in quiz.items:
            raise BadRequest("there is nothing to void", (FieldError("/item", f"{module} has no item {item}"),))
        voided = await self._voided(content, item, reason, once)
        counted: list[JSON] = []
        for found in list(self._attempts(once.caller.tenant, digest, item)):
            again = self._count(once.caller.tenant, found, content)
            if again is not None:
                entry = await self._write(again, content, item, once)
                counted.append(_told(again, entry))
        return {"module": module, "digest": digest, "item": item, "voided": voided.id, "regraded": counted}

    async def lower(self, result_id: str, until: str, reason: str, once: Once) -> Entry:
        """After review: what was passed by a void item counts until a day of grace. Raises NotFound, Conflict."""
        attempts, tenant = self.attempts, once.caller.tenant
        reader = attempts.writer.runtime.reader

        async def build() -> Append:
            result = reader.entry(tenant, result_id)
            if result is None or result.kind != "result" or result.payload is None or result.about is None:
                raise NotFound(f"there is no result {result_id}")
            found = attempts.find(tenant, str(result.value.get("attempt") or ""))
            again = self._count(tenant, found, attempts.of(found)[0])
            if again is None or again.verdict != "down" or again.result.id != result_id:
                raise Conflict("this result does not fail by a void item: there is nothing to lower", "not-pending")
            pending = self._pending(tenant, result_id, result.about)
            by = attempts.writer.by(once.caller)
            if pending is not None and _principal(pending.value["by"]) == _principal(by):
                raise Conflict("who voided the item cannot review it: somebody else has to", "same-person")
            if until <= attempts.writer.runtime.now(tenant):
                raise BadRequest("no grace", (FieldError("/until", "must be in the future"),))
            seen = Seen.none(reader, tenant)
            person = seen.person(result.about.type, result.about.id)
            course = self._course(tenant, result)
            payload = once.marked(
                {
                    "event": "lowered",
                    "person": {"type": result.about.type, "id": result.about.id},
                    "module": found.text("module"),
                    "result": result_id,
                    "course": course,
                    "until": until,
                    "certifications": [*self._leaning(tenant, person, found.text("module"), result, course)],
                    "reason": reason,
                    "by": by,
                }
            )
            draft = Draft(id=uuid7(), kind="regrade", payload=payload, about=result.about)
            return Append(tenant=tenant, drafts=(draft,), reads=seen.reads)

        entry, _ = await attempts.writer.write(once, build)
        return entry

    def _content(self, module: str, digest: str) -> Content:
        try:
            return self.attempts.library.module(module, digest)
        except FileNotFoundError as exc:
            raise NotFound(f"there is no version {digest} of {module} in this home") from exc

    async def _voided(self, content: Content, item: str, reason: str, once: Once) -> Entry:
        name = f"regrade/{content.digest}"
        reader, tenant = self.attempts.writer.runtime.reader, once.caller.tenant
        _, state = reader.objects(tenant, [name])[name]
        items = state["items"] if isinstance(state, dict) else {}
        before = items.get(item) if isinstance(items, dict) else None
        if before is not None:
            entry = reader.entry(tenant, str(before))
            assert entry is not None
            return entry

        async def build() -> Append:
            payload = once.marked(
                {
                    "event": "voided",
                    "module": content.id,
                    "version": content.module.version,
                    "digest": content.digest,
                    "item": item,
                    "reason": reason,
                    "by": self.attempts.writer.by(once.caller),
                }
            )
            return Append(tenant=tenant, drafts=(Draft(id=uuid7(), kind="regrade", payload=payload),))

        entry, _ = await self.attempts.writer.write(once, build)
        return entry

    def _attempts(self, tenant: str, digest: str, item: str) -> Iterator[Attempt]:
        """Every graded attempt on this version that the item was drawn for."""
        reader, after = self.attempts.writer.runtime.reader, "attempt/"
        while True:
            _, rows = reader.projected(tenant, "objects", (after,))
            for name, _, state in rows:
                if not str(name).startswith("attempt/"):
                    return
                after = str(name)
                found = Attempt(id=after.partition("/")[2], state=orjson.loads(cast(bytes, state)))
                graded = found.status in ("passed", "failed") and found.text("digest") == digest
                if graded and found.text("kind") == "quiz" and item in {d.id for d in found.drawn}:
                    yield found
            if not rows:
                return

    def _count(self, tenant: str, found: Attempt, content: Content) -> Counted | None:
        """An attempt counted without its void items; None where that was erased."""
        reader = self.attempts.writer.runtime.reader
        result = reader.entry(tenant, str(found.state["result"]))
        keys = content.model("keys.yaml", Keys)
        if result is None or result.payload is None or keys is None:
            return None
        value = result.value
        responses = value["responses"]
        assert isinstance(responses, dict)
        answers = {i: [str(o) for o in a] for i, a in responses.items() if isinstance(a, list)}
        seen = Seen.none(reader, tenant)
        void = self.attempts.void(seen, content.digest)
        mark = int(str(value["pass_mark"]))
        score = paper.grade(keys.quiz, [d.id for d in found.drawn], answers, mark, void)
        verdict = {(True, False): "down", (False, True): "up"}.get((value["passed"] is True, score.passed), "same")
        return Counted(attempt=found, result=result, score=score, verdict=verdict)

    async def _write(self, again: Counted, content: Content, item: str, once: Once) -> Entry:
        """The entry of one attempt that was counted again; written once for an item, whoever asks again."""
        writer, tenant = self.attempts.writer, once.caller.tenant
        own = Once.of(once.caller, f"regrade/{item}/{again.attempt.id}", ["regrade", content.digest, item])
        earlier = writer.before(own)
        if earlier is not None:
            return earlier
        person = Person(type="user", id=again.attempt.user)

        async def build() -> Append:
            active, now = writer.runtime.active(tenant), writer.runtime.now(tenant)
            seen = Seen.none(writer.runtime.reader, tenant)
            if again.verdict == "up":
                seen.look([f"attempt/{again.attempt.id}"])
                standing = self.attempts.standing(seen, person, content.id)
                result = _passed(again, content)
                drafts = await self.attempts.results.drafts(active, seen, result, own, now)
                course = finished(person.id, content, standing, result.part, result.score, drafts[0].id, now)
                if course is not None:
                    unmarked = Once(caller=own.caller, key=None, request=own.request)
                    drafts = (*drafts, *await self.attempts.results.drafts(active, seen, course, unmarked, now))
                return Append(tenant=tenant, drafts=drafts, reads=seen.reads, revision=active.revision, now=now)
            payload = own.marked(
                {
                    "event": "pending" if again.verdict == "down" else "rescored",
                    "person": {"type": "user", "id": again.attempt.user},
                    "module": content.id,
                    "result": again.result.id,
                    "score": _points(again.score),
                    "item": item,
                    "by": writer.by(once.caller),
                }
            )
            return Append(tenant=tenant, drafts=(Draft(id=uuid7(), kind="regrade", payload=payload, about=person),))

        entry, _ = await writer.write(own, build)
        return entry

    def _course(self, tenant: str, result: Entry) -> str | None:
        """The result of the course that was complete with this part of it."""
        reader = self.attempts.writer.runtime.reader
        if result.value["part"] is None or result.about is None:
            return None
        for entry in reader.about(tenant, result.about, ("result",), reader.head(tenant).size, 1000):
            links = entry.value["evidence_links"] if entry.payload is not None else []
            if isinstance(links, list) and result.id in links and entry.value["source"] == "course":
                return entry.id
        return None

    def _leaning(self, tenant: str, person: JSON, module: str, lowered: Entry, course: str | None) -> Iterator[str]:
        """The certifications that a person holds and earned with this pass: after it, and before a newer one."""
        assert isinstance(person, dict)
        modules, scopes = person["modules"], person["scopes"]
        assert isinstance(modules, dict)
        assert isinstance(scopes, dict)
        others = [f for f in _facts(modules.get(module)) if f["evidence"] not in (lowered.id, course)]
        newer = min((i for i in (self._index(tenant, f) for f in others) if i > lowered.index), default=inf)
        for held in scopes.values():
            for fact in _facts(held["tiers"] if isinstance(held, dict) else {}):
                parts = fact.get("parts")
                with_it = isinstance(parts, dict) and module in parts
                if with_it and lowered.index < self._index(tenant, fact) < newer:
                    yield str(fact["evidence"])

    def _index(self, tenant: str, fact: Mapping[str, JSON]) -> int:
        entry = self.attempts.writer.runtime.reader.entry(tenant, str(fact["evidence"]))
        assert entry is not None, "a fact has its entry"
        return entry.index

    def _pending(self, tenant: str, result_id: str, person: Person) -> Entry | None:
        """The entry that says that a result waits for review."""
        reader = self.attempts.writer.runtime.reader
        for entry in reader.about(tenant, person, ("regrade",), reader.head(tenant).size, 1000):
            value = entry.value if entry.payload is not None else {}
            if value.get("event") == "pending" and value.get("result") == result_id:
                return entry
        return None


def _passed(again: Counted, content: Content) -> Result:
    """The result of whoever passes by a void item: as of the day they handed in."""
    before = again.result.value
    same = ("strand", "number", "counted_from", "pass_mark", "responses", "tested_out", "locale", "active_seconds")
    return Result(
        person=Person(type="user", id=again.attempt.user),
        module=content.id,
        version=again.attempt.text("version"),
        digest=content.digest,
        tier=content.module.tier,
        passed_at=str(before["occurred_at"]),
        source="regrade",
        reason="an item was void",
        provenance={"regrades": again.result.id},
        part=str(before["part"]) if before["part"] is not None else None,
        score=_points(again.score),
        attempts=again.attempt.number,
        seconds=int(str(before["seconds"])),
        evidence_links=(again.attempt.id, again.result.id),
        more={
            **{name: before[name] for name in same},
            "attempt": again.attempt.id,
            "failures": 0,
            "items": {i: {"points": p, "max": m} for i, (p, m) in again.score.items.items()},
            "flags": [],
        },
    )


def _points(score: paper.Score) -> JSON:
    return {"points": score.points, "max": score.max, "percent": score.percent}


def _principal(by: JSON) -> JSON:
    """Whoever made an entry, whatever token they used."""
    return by["principal"] if isinstance(by, dict) else None


def _facts(tiers: JSON) -> list[dict[str, JSON]]:
    return [fact for fact in tiers.values() if isinstance(fact, dict)] if isinstance(tiers, dict) else []


def _told(again: Counted, entry: Entry) -> JSON:
    return {
        "user": again.attempt.user,
        "attempt_id": again.attempt.id,
        "result_id": again.result.id,
        "verdict": {"up": "passed", "down": "pending", "same": "unchanged"}[again.verdict],
        "score": _points(again.score),
        "entry": entry.id,
    }
