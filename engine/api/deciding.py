"""What every endpoint that decides does with a question that has been read, whichever lane it came by.

Rate, room, access, decision; then what is counted and traced of it, and how it is written. An adapter of a gateway
calls the same functions.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeAlias

from engine.access.caller import Caller
from engine.api.services import Services
from engine.decide.asking import Asking, Decided
from engine.decide.leases import rendered
from engine.decide.request import Request
from engine.errors import Overloaded, TooMany, Undecided
from engine.observing import stages as at
from engine.observing.traces import Parent
from ledger.model import Person

NO_ROOM: Final = "more decisions wait than can be made soon: send it again"


class Told(NamedTuple):
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
    if not asking.paid:
        admitted(found, asking.caller)
        asking.paid = True
    return await in_turn(found, asking, operation, target, decide)


def admitted(found: Services, caller: Caller) -> None:
    """Take one token of the caller's rate; raises TooMany."""
    wait = found.limits.allow(caller.name, time.monotonic())
    if wait:
        found.metrics.refuse("rate")
        raise TooMany("this caller asks more often than it may", wait)


def owed(found: Services, caller: Caller, more: int) -> None:
    """Take further tokens, also those that are not there yet: the caller's next call waits until they have come.

    So a call that asks many things is let in like any other, and costs as much as they would cost one by one.
    """
    bucket, now = caller.name, time.monotonic()
    for _ in range(more):
        wait = found.limits.allow(bucket, now)
        if wait:
            now += wait
            found.limits.allow(bucket, now)


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
        admission, now = self._found.admission, time.monotonic()
        while self._entered < self._places:
            if not admission.enter(now):
                self.__exit__()
                self._found.metrics.refuse("overload")
                raise Overloaded(NO_ROOM)
            self._entered += 1

    def __exit__(self, *_exc: object) -> None:
        admission, now = self._found.admission, time.monotonic()
        for _ in range(self._entered):
            admission.leave(now)


def person(request: Request) -> Person:
    """Whom a question is about."""
    return Person(type=request.subject.type, id=request.subject.id)


def of_gate(action: str, decided: Decided) -> Told:
    """How a gate's answer is counted: an action that nobody registered is `other`."""
    gate, result = decided.result["gate"], decided.result
    verdict, mode = str(result["verdict"]), str(result["mode"])
    return Told("other", verdict, mode, None) if gate is None else Told(action, verdict, mode, str(gate))


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


class Counted:
    """Count what is decided inside, and trace it where its caller does: an answer by what is told of it."""

    __slots__ = ("_asking", "_found", "_parent", "_tenant")

    def __init__(self, found: Services, asking: Asking, parent: Parent | None = None) -> None:
        self._found, self._asking, self._parent = found, asking, parent
        self._tenant = asking.caller.tenant

    def __enter__(self) -> Tell:
        return self._tell

    def _tell(self, decided: Decided, told: Told) -> None:
        asking, metrics, tracing = self._asking, self._found.metrics, self._found.tracing
        metrics.decided(self._tenant, told.action, told.verdict, told.mode, asking.stages, decided.leased, asking.batch)
        for outcome in asking.leases:
            metrics.lease(outcome)
        if self._parent is not None and tracing is not None:
            tracing.decided(
                self._parent,
                asking.stages,
                tenant=self._tenant,
                action=told.action,
                verdict=told.verdict,
                gate=told.gate,
                decision_id=decided.decision_id,
                revision=decided.revision,
                leased=decided.leased,
                batch=asking.batch,
            )

    def __exit__(self, _kind: object, exc: BaseException | None, _traceback: object) -> None:
        if not isinstance(exc, Undecided):
            return
        found, stages = self._found, self._asking.stages
        found.metrics.not_decided(self._tenant, exc.cause, stages)
        if self._parent is not None and found.tracing is not None:
            found.tracing.not_decided(
                self._parent, stages, tenant=self._tenant, cause=exc.cause, decision_id=exc.decision_id
            )
