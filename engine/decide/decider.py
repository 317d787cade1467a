"""Decides: request -> facts -> lease? -> OPA -> record -> commit -> answer, in one line.

No answer leaves here before its entry is durable. A record that leans on a state which has moved meanwhile is refused
by the ledger as stale, and decided again: three times at most, then there is no answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.access.caller import Caller
from engine.decide import questions
from engine.decide.asking import Asking, Beside, Decided, Outdated
from engine.decide.company import Company
from engine.decide.leases import Lease, Leases, rendered
from engine.decide.questions import Question
from engine.decide.record import CERTIFIED, GATE, Evaluated, decision_payload, leased_payload
from engine.decide.request import Request
from engine.errors import Undecided
from engine.observing import stages as at
from engine.opa.errors import CouldNotDecide
from engine.runtime import Active, Runtime
from ledger.cache import Cache
from ledger.encoded import Encoded
from ledger.errors import Stale
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Person

ATTEMPTS = 3


@dataclass(slots=True)
class Decider:
    """Answers gates and `is-certified`, and records every answer."""

    runtime: Runtime
    facts: Cache = field(init=False)
    leases: Leases = field(init=False, default_factory=Leases)
    company: Company = field(init=False, default_factory=Company)

    def __post_init__(self) -> None:
        self.facts = Cache(self.runtime.reader)
        for memory in (self.facts, self.leases):
            self.runtime.watch(memory.moved, memory.clear)

    def known(self, body: bytes, asking: Asking) -> tuple[Lease, tuple[str, ...]] | None:
        """The lease that a body has led to before, and what is dropped of it."""
        tenant = asking.caller.tenant
        return self.leases.by_body(tenant, body, self.runtime.active(tenant).revision, self.runtime.now(tenant))

    async def decide(self, request: Request, asking: Asking, body: bytes | None = None) -> Decided:
        """May this person do this now? Raises BadRequest for a field of the wrong type, Undecided, Unavailable.

        `body`: the bytes that the request was read from, by which a lease may be found the next time.
        """

        def ask() -> Question:
            return questions.of_gate(self.runtime, self.facts, request, asking.caller)

        return await self._answer(ask, asking, body)

    async def again(self, lease: Lease, dropped: tuple[str, ...], asking: Asking) -> Decided | None:
        """Give the answer of a lease again; None where something has moved, so that it has to be decided anew."""
        now, active = self.runtime.now(lease.tenant), self.runtime.active(lease.tenant)
        if not lease.holds(active.revision, now):
            return None
        if asking.judged_by != lease.revision and not await asking.may(lease.revision):
            return None
        caller = asking.caller
        asking.lent_until = _lent(active, lease.action, lease.result, now, asking)
        payload = leased_payload(
            leans_on=lease.first,
            lease=lease.key,
            now=now,
            caller=caller,
            request_id=asking.request_id,
            dropped=dropped,
            via=asking.told(),
        )
        append = Append(
            tenant=lease.tenant,
            drafts=(Draft(id=uuid7(), kind="decision", payload=payload, about=lease.about),),
            reads=lease.reads + caller.seen,
            revision=lease.revision,
            now=now,
            valid_until=lease.until,
        )
        asking.stages.mark(at.LEASE)
        moved: str | None = None
        try:
            (receipt,) = await self.runtime.append(append)
        except Stale as exc:
            moved = exc.what
        finally:
            asking.stages.mark(at.COMMIT)
        if moved is not None:
            self.leases.drop(lease)
            asking.leases.append("stale")
            await self._moved(moved, asking)
            return None
        return Decided(
            decision_id=receipt.id,
            index=receipt.index,
            at=receipt.at,
            revision=lease.revision,
            now=now,
            result=lease.result,
            leased=True,
            rendered=lease.rendered,
        )

    async def beside(self, said: Beside, asking: Asking) -> Decided:
        """What becomes of a request that is no question to a gate: mostly a no. Raises Undecided, Unavailable."""

        def ask() -> Question:
            return questions.beside(self.runtime, self.facts, said, asking.caller)

        return await self._answer(ask, asking)

    async def certified(
        self, person: Person, scope: str, tier: str | None, within: str | None, asking: Asking
    ) -> Decided:
        """`isCertified(scope, user)` as a recorded decision."""

        def ask() -> Question:
            return questions.of_certification(self.runtime, self.facts, person, scope, tier, within, asking.caller)

        return await self._answer(ask, asking)

    async def display_certified(
        self, person: Person, scope: str, tier: str | None, within: str | None, caller: Caller
    ) -> tuple[str, dict[str, JSON]]:
        """The same answer with its instant, shown and not recorded: never a gate."""
        question = questions.of_certification(self.runtime, self.runtime.reader, person, scope, tier, within, caller)
        try:
            answer = await question.active.evaluator.evaluate(CERTIFIED, question.body)
            return question.now, question.check(answer)
        except CouldNotDecide as exc:
            raise Undecided(exc.cause, exc.detail) from exc

    async def look(self, request: Request, caller: Caller) -> dict[str, JSON]:
        """What the gate says now, shown and not recorded: never a decision. Raises BadRequest, Undecided, Unavailable.

        Read past what is remembered, since no append will check it. What fails is not held against the caller's own
        decisions: it is another asker that is quarantined for it.
        """
        question = questions.of_gate(self.runtime, self.runtime.reader, request, caller)
        evaluator, asker = question.active.evaluator, f"{caller.principal} (search)"
        try:
            return question.check(await evaluator.decide(question.body, caller=asker, action=question.action))
        except CouldNotDecide as exc:
            raise Undecided(exc.cause, exc.detail) from exc

    async def _answer(self, ask: Callable[[], Question], asking: Asking, body: bytes | None = None) -> Decided:
        """Attempts, until one is recorded; raises Outdated where the request was read by what is active no more."""
        attempts, patience = 0, self.company.patience(asking.until)
        while attempts < ATTEMPTS:
            # Before it is put, since its gate may refuse it: no other revision says what is wrong with it.
            if asking.read_by not in (None, self.runtime.active(asking.caller.tenant).revision):
                raise Outdated
            question = ask()
            asking.stages.mark(at.FACTS)
            decided: Decided | None = None
            if await asking.may(question.active.revision):
                lease = self._lease(question)
                if question.lease is None:
                    asking.leases.append("forbidden")
                    decided = await self._evaluated(question, asking)
                elif lease is None and await self.company.waited((asking.caller.name, question.lease), patience):
                    asking.stages.mark(at.LEASE)
                    continue  # which is no attempt
                else:
                    decided = await self._answered(question, question.lease, lease, asking, body)
            if decided is not None:
                return decided
            attempts += 1
        raise Undecided("contended", f"the facts of this request moved {ATTEMPTS} times while it was decided")

    def _lease(self, question: Question) -> Lease | None:
        if question.lease is None:
            return None
        return self.leases.by_key(question.lease, question.active.revision, question.now)

    async def _answered(
        self, question: Question, key: str, lease: Lease | None, asking: Asking, body: bytes | None
    ) -> Decided | None:
        """Answer by lease, or else evaluate and grant one; None where something has moved meanwhile."""
        if lease is not None:
            decided = await self.again(lease, question.dropped, asking)
        else:
            asking.leases.append("miss")
            with self.company.first((asking.caller.name, key)):
                decided = await self._evaluated(question, asking)
                lease = None if decided is None else self._granted(question, key, decided, asking.caller)
        if lease is not None and decided is not None and body is not None:
            self.leases.remember(lease, body, question.dropped)
        return decided

    async def _evaluated(self, question: Question, asking: Asking) -> Decided | None:
        """Have it evaluated and recorded; None where something has moved meanwhile. Raises Undecided, Unavailable."""
        stages = asking.stages
        failure: CouldNotDecide | None = None
        result: dict[str, JSON] | None = None
        try:
            result = question.check(await self._evaluate(question, asking))
        except CouldNotDecide as exc:
            failure = exc
        stages.mark(at.OPA)
        now = question.now
        asking.lent_until = _lent(question.active, question.action, result, now, asking)
        append = self._append(question, asking, result, failure)
        stages.mark(at.RECORD)
        moved: str | None = None
        try:
            (receipt,) = await self.runtime.append(append)
        except Stale as exc:
            moved = exc.what
        finally:
            stages.mark(at.COMMIT)
        if moved is not None:
            await self._moved(moved, asking)
            return None
        if failure is not None:
            raise Undecided(failure.cause, failure.detail, receipt.id) from failure
        assert result is not None
        return Decided(
            decision_id=receipt.id,
            index=receipt.index,
            at=receipt.at,
            revision=question.active.revision,
            now=now,
            result=result,
            rendered=rendered(result),
        )

    def _granted(self, question: Question, key: str, decided: Decided, caller: Caller) -> Lease:
        """A lease on an answer, for whoever asks the same again."""
        until = decided.result["valid_until"]
        lease = Lease(
            key=key,
            tenant=caller.tenant,
            revision=decided.revision,
            first=decided.decision_id,
            since=decided.now,
            until=until if isinstance(until, str) else None,
            reads=question.checked[: len(question.checked) - len(caller.seen)],
            about=question.about,
            action=question.action,
            result=decided.result,
            rendered=decided.rendered or rendered(decided.result),
            owner=caller.name,
        )
        self.leases.grant(lease)
        return lease

    async def _moved(self, what: str, asking: Asking) -> None:
        """Look anew at what has moved, whoever of the workers moved it, before the question is put again."""
        caller = asking.caller
        self.facts.forget(caller.tenant, what)
        if what == "revision":
            await self.runtime.caught_up(caller.tenant)
        if any(what == name for name, _ in caller.seen):
            asking.caller = asking.again()

    async def _evaluate(self, question: Question, asking: Asking) -> JSON:
        asking.stages.mark(at.LEASE)
        if question.failure is not None:
            raise question.failure
        if asking.until is None:
            return await self._ask(question, asking)
        try:
            async with asyncio.timeout_at(asking.until):
                return await self._ask(question, asking)
        except TimeoutError as exc:
            raise CouldNotDecide("timeout", "there was no time left to evaluate it") from exc

    async def _ask(self, question: Question, asking: Asking) -> JSON:
        evaluator = question.active.evaluator
        if question.entrypoint == GATE:
            caller = str(asking.caller.principal)
            return await evaluator.decide(question.body, caller=caller, action=question.action, asked=asking.sent)
        return await evaluator.evaluate(question.entrypoint, question.body)

    def _append(
        self, question: Question, asking: Asking, result: dict[str, JSON] | None, failure: CouldNotDecide | None
    ) -> Append:
        caller = asking.caller
        # A could-not-decide leans on nothing, so it names no reads and no instant that could be stale.
        reads = question.reads if failure is None else ()
        evaluated = Evaluated(
            revision=question.active.revision,
            opa=self.runtime.opa,
            capabilities=question.active.capabilities,
            entrypoint=question.entrypoint,
            input=Encoded(question.body),
            reads=reads,
            result=result,
        )
        payload = decision_payload(
            evaluated,
            caller=caller,
            request_id=asking.request_id,
            dropped=question.dropped,
            undecided={"cause": failure.cause, "detail": failure.detail} if failure else None,
            via=asking.told(),
        )
        valid_until = result.get("valid_until") if result else None
        return Append(
            tenant=caller.tenant,
            drafts=(Draft(id=uuid7(), kind="decision", payload=payload, about=question.about),),
            reads=question.checked if failure is None else caller.seen,
            revision=question.active.revision,
            now=question.now if failure is None else None,
            valid_until=valid_until if isinstance(valid_until, str) else None,
        )


def _lent(active: Active, action: str, result: dict[str, JSON] | None, now: str, asking: Asking) -> str | None:
    """Until when the gateway that asks may keep an answer: an allow alone, and only where its gate says so, in the
    revision that answers; by now another may be active."""
    if asking.lend is None or result is None or result.get("verdict") != "allow":
        return None
    gate = active.catalogue.gate(action)
    return asking.lend.until(now, result.get("valid_until")) if gate is not None and gate.lent else None
