"""Decides: request -> facts -> OPA -> record -> commit -> answer, in one line.

No answer leaves here before its entry is durable. A record that leans on a state which has moved meanwhile is refused
by the ledger as stale, and decided again: three times at most, then there is no answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.access.caller import Caller
from engine.decide import inputs, shape
from engine.decide.facts import Seen, gather
from engine.decide.record import CERTIFIED, GATE, Evaluated, decision_payload
from engine.decide.request import Request
from engine.errors import BadRequest, FieldError, Undecided
from engine.opa.errors import CouldNotDecide
from engine.runtime import Active, Runtime
from ledger import canonical
from ledger.errors import Stale
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Person, Receipt

ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """An answer whose record is durable: `decision_id` is its entry's ID."""

    decision_id: str
    index: int
    at: str
    revision: str
    now: str
    result: dict[str, JSON]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """One attempt at a question: what to evaluate, on what it was read, and whom the entry is about."""

    active: Active
    entrypoint: str
    input: dict[str, JSON]
    reads: tuple[tuple[str, int], ...]
    about: Person
    action: str
    check: Callable[[JSON], dict[str, JSON]]
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decider:
    """Answers gates and `is-certified`, and records every answer."""

    runtime: Runtime

    async def decide(self, request: Request, caller: Caller, request_id: str) -> Decided:
        """May this person do this now? Raises BadRequest for a field of the wrong type, Undecided, Unavailable."""
        return await self._answer(lambda: self._gate_question(request, caller), caller, request_id)

    async def certified(
        self,
        person: Person,
        scope: str,
        tier: str | None,
        within: str | None,
        caller: Caller,
        request_id: str,
    ) -> Decided:
        """`isCertified(scope, user)` as a recorded decision."""
        return await self._answer(
            lambda: self.certified_question(person, scope, tier, within, caller), caller, request_id
        )

    async def display_certified(
        self, person: Person, scope: str, tier: str | None, within: str | None, caller: Caller
    ) -> tuple[str, dict[str, JSON]]:
        """The same answer with its instant, shown and not recorded: never a gate."""
        question = self.certified_question(person, scope, tier, within, caller)
        try:
            return str(question.input["now"]), question.check(await self._evaluate(question, caller))
        except CouldNotDecide as exc:
            raise Undecided(exc.cause, exc.detail) from exc

    def _gate_question(self, request: Request, caller: Caller) -> _Question:
        active = self.runtime.active(caller.tenant)
        gate = active.catalogue.gate(request.action)
        asserted = inputs.assert_declared(gate, request)
        gathered = gather(self.runtime.reader, caller.tenant, gate, request, asserted)
        question: dict[str, JSON] = {
            "subject": gathered.subject,
            "action": asserted.action,
            "resource": gathered.resource,
            "context": asserted.context,
            "facts": gathered.facts,
        }
        wrong = gate.wrong_fields(question) if gate else ()
        if wrong:
            raise BadRequest(
                f"the request does not fit what the gate {request.action} declares",
                tuple(FieldError(pointer, detail) for pointer, detail in wrong),
            )
        return _Question(
            active=active,
            entrypoint=GATE,
            input={**question, "now": self.runtime.now(caller.tenant)},
            reads=gathered.reads,
            about=Person(type=request.subject.type, id=request.subject.id),
            action=request.action,
            check=shape.gate,
            dropped=asserted.dropped,
        )

    def certified_question(
        self, person: Person, scope: str, tier: str | None, within: str | None, caller: Caller
    ) -> _Question:
        """The question behind `isCertified`; a scope nobody knows is asked all the same, and answered with a no."""
        active = self.runtime.active(caller.tenant)
        seen = Seen.none(self.runtime.reader, caller.tenant)
        state = seen.person(person.type, person.id)
        scopes, modules, waivers = active.catalogue.scope_facts(scope)
        question: dict[str, JSON] = {
            "subject": inputs.subject_part(None, person.type, person.id, state),
            "scope": scope,
            "facts": inputs.personal_facts(state, scopes=scopes, modules=modules, waivers=waivers),
            "now": self.runtime.now(caller.tenant),
        }
        question.update({k: v for k, v in (("tier", tier), ("within", within)) if v is not None})
        return _Question(
            active=active,
            entrypoint=CERTIFIED,
            input=question,
            reads=seen.reads,
            about=person,
            action=f"is-certified:{scope}",
            check=shape.certified,
        )

    async def _answer(self, ask: Callable[[], _Question], caller: Caller, request_id: str) -> Decided:
        for _ in range(ATTEMPTS):
            question = ask()
            failure: CouldNotDecide | None = None
            result: dict[str, JSON] | None = None
            try:
                result = question.check(await self._evaluate(question, caller))
            except CouldNotDecide as exc:
                failure = exc
            try:
                receipt = await self._record(question, caller, request_id, result, failure)
            except Stale:
                continue
            if failure is not None:
                raise Undecided(failure.cause, failure.detail, receipt.id) from failure
            assert result is not None
            return Decided(
                decision_id=receipt.id,
                index=receipt.index,
                at=receipt.at,
                revision=question.active.revision,
                now=str(question.input["now"]),
                result=result,
            )
        raise Undecided("contended", f"the facts of this request moved {ATTEMPTS} times while it was decided")

    async def _evaluate(self, question: _Question, caller: Caller) -> JSON:
        body = canonical.encode(question.input)
        evaluator = question.active.evaluator
        if question.entrypoint == GATE:
            return await evaluator.decide(body, caller=str(caller.principal), action=question.action)
        return await evaluator.evaluate(question.entrypoint, body)

    async def _record(
        self,
        question: _Question,
        caller: Caller,
        request_id: str,
        result: dict[str, JSON] | None,
        failure: CouldNotDecide | None,
    ) -> Receipt:
        # A could-not-decide leans on nothing, so it names no reads and no instant that could be stale.
        reads = question.reads if failure is None else ()
        evaluated = Evaluated(
            revision=question.active.revision,
            opa=self.runtime.opa,
            capabilities=question.active.capabilities,
            entrypoint=question.entrypoint,
            input=question.input,
            reads=reads,
            result=result,
        )
        payload = decision_payload(
            evaluated,
            caller=caller,
            caller_ref=self.runtime.ref(caller.tenant, caller.principal.person),
            request_id=request_id,
            dropped=question.dropped,
            undecided={"cause": failure.cause, "detail": failure.detail} if failure else None,
        )
        valid_until = result.get("valid_until") if result else None
        (receipt,) = await self.runtime.append(
            Append(
                tenant=caller.tenant,
                drafts=(Draft(id=uuid7(), kind="decision", payload=payload, about=question.about),),
                reads=reads,
                revision=question.active.revision,
                now=str(question.input["now"]) if failure is None else None,
                valid_until=valid_until if isinstance(valid_until, str) else None,
            )
        )
        return receipt
