"""What every endpoint that decides does with a question that has been read, whichever lane it came by.

Rate, room, access, decision; then what is counted and traced of it, and how it is written. An adapter of a gateway
calls the same functions.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from engine.access.caller import Caller
from engine.api.services import Services
from engine.decide.asking import Asking, Decided
from engine.decide.leases import rendered
from engine.decide.request import Request
from engine.errors import Overloaded, TooMany, Undecided
from engine.observing import stages as at
from engine.observing.traces import Parent
from ledger.model import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How an answer is counted and traced."""

    action: str
    verdict: str
    mode: str
    gate: str | None


Tell: TypeAlias = Callable[[Decided, Told], None]


async def decided(
    found: Services, asking: Asking, operation: str, target: Person, decide: Callable[[], Awaitable[Decided]]
) -> Decided:
    """Decide for a caller who has been authenticated; raises TooMany, Overloaded, Forbidden, Undecided, Unavailable."""
    admitted(found, asking.caller)
    return await in_turn(found, asking, operation, target, decide)


def admitted(found: Services, caller: Caller) -> None:
    """Take one token of the caller's rate; raises TooMany."""
    wait = found.limits.allow(_bucket(caller), time.monotonic())
    if wait:
        found.metrics.refuse("rate")
        raise TooMany("this caller asks more often than it may", wait)


def owed(found: Services, caller: Caller, more: int) -> None:
    """Take further tokens, also those that are not there yet: the caller's next call waits until they have come.

    So a call that asks many things is let in like any other, and costs as much as they would cost one by one.
    """
    bucket, now = _bucket(caller), time.monotonic()
    for _ in range(more):
        wait = found.limits.allow(bucket, now)
        if wait:
            now += wait
            found.limits.allow(bucket, now)


def _bucket(caller: Caller) -> str:
    return f"{caller.tenant} {caller.principal}"


async def in_turn(
    found: Services, asking: Asking, operation: str, target: Person, decide: Callable[[], Awaitable[Decided]]
) -> Decided:
    """Decide for a caller whose rate allows it; raises Overloaded, Forbidden, Undecided, Unavailable."""
    with Room(found):
        asking.permit = lambda caller: found.access.require(caller, operation, target)
        asking.judged_by = await asking.permitted()
        asking.stages.mark(at.ACCESS)
        return await decide()


class Room:
    """Room for so many among what is under way, all or none, for as long as it is held; raises Overloaded."""

    __slots__ = ("_entered", "_found", "_places")

    def __init__(self, found: Services, places: int = 1) -> None:
        self._found, self._places, self._entered = found, places, 0

    def __enter__(self) -> None:
        admission = self._found.admission
        while self._entered < self._places:
            if not admission.enter(time.monotonic()):
                self._leave()
                self._found.metrics.refuse("overload")
                raise Overloaded("more decisions wait than can be made soon: send it again")
            self._entered += 1

    def __exit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        for _ in range(self._entered):
            self._found.admission.leave(time.monotonic())


def person(request: Request) -> Person:
    """Whom a question is about."""
    return Person(type=request.subject.type, id=request.subject.id)


def of_gate(action: str, decided: Decided) -> Told:
    """How a gate's answer is counted: an action that nobody registered is `other`."""
    gate, result = decided.result["gate"], decided.result
    return Told(
        action=action if gate is not None else "other",
        verdict=str(result["verdict"]),
        mode=str(result["mode"]),
        gate=str(gate) if gate is not None else None,
    )


def of_scope(decided: Decided) -> Told:
    """How an answer of `isCertified` is counted."""
    verdict = "certified" if decided.result["certified"] else "not-certified"
    return Told(action="is-certified", verdict=verdict, mode="enforce", gate=None)


def document(decided: Decided) -> bytes:
    """The answer of a gate as JSON."""
    members = decided.rendered or rendered(decided.result)
    return b'{"decision_id":"%b",%b,"revision":"%b","at":"%b"}' % (
        decided.decision_id.encode(),
        members,
        decided.revision.encode(),
        decided.at.encode(),
    )


@contextmanager
def counted(found: Services, asking: Asking, parent: Parent | None = None) -> Iterator[Tell]:
    """Count what is decided inside, and trace it where its caller does: an answer by what is told of it."""
    tenant, stages, tracing = asking.caller.tenant, asking.stages, found.tracing

    def tell(decided: Decided, told: Told) -> None:
        found.metrics.decided(tenant, told.action, told.verdict, told.mode, stages, decided.leased, asking.batch)
        for outcome in asking.leases:
            found.metrics.lease(outcome)
        if parent is not None and tracing is not None:
            tracing.decided(
                parent,
                stages,
                tenant=tenant,
                action=told.action,
                verdict=told.verdict,
                gate=told.gate,
                decision_id=decided.decision_id,
                revision=decided.revision,
                leased=decided.leased,
                batch=asking.batch,
            )

    try:
        yield tell
    except Undecided as exc:
        found.metrics.not_decided(tenant, exc.cause, stages)
        if parent is not None and tracing is not None:
            tracing.not_decided(parent, stages, tenant=tenant, cause=exc.cause, decision_id=exc.decision_id)
        raise
