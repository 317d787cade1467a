"""A passed result and the certifications it earns, written together: pass, and the very next decision sees it.

Python counts and copies; `muster/certification/award` judges. The result and what it earned are one append, so that
nobody holds a certification without the result behind it. If OPA is away nothing is written: send the call again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.decide import inputs
from engine.decide.facts import Seen
from engine.decide.record import AWARD, Evaluated
from engine.entries.writer import Once, Writer
from engine.errors import NotFound, Undecided
from engine.opa.errors import CouldNotDecide
from engine.runtime import Active
from ledger import canonical, instants
from ledger.errors import Stale
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Entry, Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a module, or of one part of it. `passed_at` is when it happened, which may be long before it is
    written down; `part` where the module is not proved by it; `more` are further fields of its entry."""

    person: Person
    module: str
    version: str
    tier: str
    passed_at: str
    source: str
    reason: str
    provenance: JSON
    passed: bool = True
    part: str | None = None
    digest: str | None = None
    score: JSON = None
    attempts: int | None = None
    seconds: int | None = None
    evidence_links: tuple[str, ...] = ()
    more: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def proves(self) -> bool:
        """Whether it is a pass of the module, so that Rego is asked what it is worth."""
        return self.passed and self.part is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The entry of a result, what it earned, and whether an earlier request had written it already."""

    entry: Entry
    certifications: tuple[Entry, ...]
    repeated: bool


@dataclass(frozen=True, slots=True)
class Results:
    """Records results and awards."""

    writer: Writer

    async def record(self, result: Result, once: Once) -> Recorded:
        """Append a result with the certifications that it earns; raises NotFound for a person who is not known."""
        entry, repeated = await self.writer.write(once, lambda: self._build(result, once))
        return Recorded(entry=entry, certifications=self.earned(entry), repeated=repeated)

    async def _build(self, result: Result, once: Once) -> Append:
        runtime, tenant = self.writer.runtime, once.caller.tenant
        active = runtime.active(tenant)
        seen = Seen.none(runtime.reader, tenant)
        now = runtime.now(tenant)
        return Append(
            tenant=tenant,
            drafts=await self.drafts(active, seen, result, once, now),
            reads=seen.reads,
            revision=active.revision,
            now=now,
        )

    async def drafts(self, active: Active, seen: Seen, result: Result, once: Once, now: str) -> tuple[Draft, ...]:
        """The entries of a result: itself, and the certifications that it earns; raises NotFound, Undecided."""
        person = seen.person(result.person.type, result.person.id)
        if not isinstance(person, dict):
            raise NotFound(
                f"there is no {result.person.type} {result.person.id} in the directory: add the person first"
            )
        payload = _payload(result, person, active, self.writer.by(once.caller))
        draft = Draft(id=uuid7(), kind="result", payload=once.marked(payload), about=result.person)
        if not result.proves or active.catalogue.module(result.module) is None:
            return (draft,)
        return (draft, *await self._award(active, result, person, draft.id, once.caller.tenant, now))

    async def _award(
        self, active: Active, result: Result, person: JSON, evidence: str, tenant: str, now: str
    ) -> tuple[Draft, ...]:
        scopes, modules = active.catalogue.awards(result.module)
        # What an award leans on is the person alone, whatever else the append has read.
        seen = Seen.none(self.writer.runtime.reader, tenant)
        if seen.person(result.person.type, result.person.id) != person:
            raise Stale("person")
        facts = inputs.personal_facts(person, scopes=scopes, modules=modules, waivers=())
        del facts["waivers"]
        question: dict[str, JSON] = {
            "subject": inputs.subject_part(None, result.person.type, result.person.id, person),
            "result": {
                "module": result.module,
                "tier": result.tier,
                "passed_at": result.passed_at,
                "version": result.version,
                "digest": result.digest,
                "imported": result.source == "import",
                "evidence": evidence,
            },
            "facts": facts,
            "now": now,
        }
        try:
            answer = await active.evaluator.evaluate(AWARD, canonical.encode(question))
            _check(answer)
        except CouldNotDecide as exc:
            raise Undecided(exc.cause, f"the result was not recorded, send it again: {exc.detail}") from exc
        awarded = Evaluated(
            revision=active.revision,
            opa=self.writer.runtime.opa,
            capabilities=active.capabilities,
            entrypoint=AWARD,
            input=question,
            reads=seen.reads,
            result=answer,
        )
        return _certifications(result.person, evidence, awarded)

    def earned(self, entry: Entry) -> tuple[Entry, ...]:
        """The certifications that stand right behind a result in the log."""
        found = []
        reader = self.writer.runtime.reader
        for following in reader.entries(entry.tenant, entry.index + 1, reader.head(entry.tenant).size):
            if following.kind != "certification" or following.payload is None or following.value["for"] != entry.id:
                break
            found.append(following)
        return tuple(found)


def _payload(result: Result, person: dict[str, JSON], active: Active, by: JSON) -> dict[str, JSON]:
    module = active.catalogue.module(result.module)  # None: taken out of the source after the attempt had begun
    directory = person["directory"]
    assert isinstance(directory, dict)
    return {
        "person": {"type": result.person.type, "id": result.person.id},
        "module": result.module,
        "version": result.version,
        "digest": result.digest,
        "tier": result.tier,
        "passed": result.passed,
        "part": result.part,
        "occurred_at": result.passed_at,
        "score": result.score,
        "attempts": result.attempts,
        "seconds": result.seconds,
        "source": result.source,
        "reason": result.reason,
        "provenance": result.provenance,
        "persona": directory.get("persona"),
        "tracks": list(active.catalogue.tracks_of(result.module)),
        "scopes": list(module.scopes if module else ()),
        "policy_ids": list(module.policies if module else ()),
        "runbook_ids": list(module.runbooks if module else ()),
        "evidence_links": list(result.evidence_links),
        "by": by,
        **result.more,
    }


def _certifications(person: Person, result_id: str, awarded: Evaluated) -> tuple[Draft, ...]:
    answer = awarded.result
    assert isinstance(answer, dict)
    listed = answer["certifications"]
    assert isinstance(listed, list)
    drafts = []
    for certification in listed:
        assert isinstance(certification, dict)
        payload: dict[str, JSON] = {
            **awarded.payload(),
            **certification,
            "person": {"type": person.type, "id": person.id},
            "for": result_id,
        }
        drafts.append(Draft(id=uuid7(), kind="certification", payload=payload, about=person))
    return tuple(drafts)


def _check(answer: JSON) -> None:
    """Is it an award? Anything else is "could not decide"."""
    listed = answer.get("certifications") if isinstance(answer, dict) else None
    keys = {"scope", "tier", "issued_at", "expires_at", "parts"}
    if not isinstance(listed, list) or not all(isinstance(c, dict) and c.keys() == keys for c in listed):
        raise CouldNotDecide("bad-shape", "the award is not a list of certifications")
    for certification in listed:
        assert isinstance(certification, dict)
        for name in ("issued_at", "expires_at"):
            value = certification[name]
            if not isinstance(value, str) or not instants.is_instant(value):
                raise CouldNotDecide("bad-shape", f"{name} of an award is not an instant")
