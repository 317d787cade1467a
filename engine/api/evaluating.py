"""What AuthZEN's evaluations go through, whichever lane they came by: one request, or a batch of them.

A request is completed by the source and decided like any other; an item of a batch is a request of its own, with a
record of its own. What is common to all protocols stands in `engine.api.deciding`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from engine.adapters.authzen import answers, reading, stored
from engine.adapters.authzen.answers import Answered
from engine.adapters.authzen.reading import Batch, Invalid
from engine.api import deciding
from engine.api.services import Services
from engine.decide.asking import Asking, Decided
from engine.decide.decider import ATTEMPTS
from engine.decide.request import Request
from engine.errors import BadRequest, Forbidden, Undecided
from engine.observing import stages as at
from engine.observing.stages import Stages
from engine.observing.traces import Parent
from ledger.model import JSON

BATCH_LIMIT: Final = 256 * 1024
"""Bytes of a batch: 1 KiB for each of the 256 items that an array may have."""
_TOGETHER: Final = 32
"""Items of a batch that are under way at once: what OPA is asked in one call."""


def key(found: Services, tenant: str, body: bytes) -> bytes:
    """By what a body leads to a lease: of this revision, since its source completes what the body says."""
    return b"AuthZEN " + found.runtime.active(tenant).revision.encode() + body


def document(decided: Decided) -> bytes:
    """A decision as AuthZEN has it."""
    return _answered(decided).document


def _answered(decided: Decided) -> Answered:
    return answers.decision(decided.result["allow"] is True, deciding.document(decided))


async def decide(found: Services, request: Request, asking: Asking, body_key: bytes | None = None) -> Decided:
    """Decide a request as the source completes it: its properties and the rules are of one revision, or it begins anew.

    Raises BadRequest, Undecided, Unavailable.
    """
    tenant = asking.caller.tenant
    for _ in range(ATTEMPTS):
        active = found.runtime.active(tenant)
        whole = stored.completed(request, active.catalogue)
        decided = await found.decider.decide(whole, asking, body_key)
        if whole is request or decided.revision == active.revision:
            return decided
    raise Undecided("contended", f"the active revision moved {ATTEMPTS} times while this was decided")


async def one(found: Services, asking: Asking, parent: Parent | None, request: Request) -> bytes:
    """The answer to one request; raises TooMany, Overloaded, Forbidden, BadRequest, Undecided, Unavailable."""
    asking.stages.mark(at.READ)
    deciding.admitted(found, asking.caller)
    return (await _evaluate(found, asking, parent, request)).document


async def many(found: Services, asking: Asking, parent: Parent | None, value: JSON) -> bytes:
    """The answer to Access Evaluations; raises BadRequest where the whole is wrong, Undecided where any item is."""
    asked = reading.evaluations(value)
    if not isinstance(asked, Batch):
        return await one(found, asking, parent, asked)
    deciding.admitted(found, asking.caller)
    for number, item in enumerate(asked.items):
        if isinstance(item, Request):
            await _may(found, asking, number, item)
    whole = _all if asked.semantic == "execute_all" else _in_order
    return answers.evaluations(await whole(found, asking, parent, asked))


async def _may(found: Services, asking: Asking, number: int, item: Request) -> None:
    """Before anything is decided: a batch that asks about whom its caller may not ask about is refused whole."""
    try:
        await found.access.require(asking.caller, "decide", deciding.person(item))
    except Forbidden as exc:
        raise Forbidden(f"/evaluations/{number}: {exc}") from exc


async def _all(found: Services, asking: Asking, parent: Parent | None, batch: Batch) -> list[Answered]:
    """Every item's answer: a wave of them is asked and recorded together."""
    deciding.owed(found, asking.caller, sum(isinstance(item, Request) for item in batch.items) - 1)
    told: list[Answered] = []
    for start in range(0, len(batch.items), _TOGETHER):
        wave = batch.items[start : start + _TOGETHER]
        done = await asyncio.gather(*(_item(found, asking, parent, i) for i in wave), return_exceptions=True)
        failed = [each for each in done if isinstance(each, BaseException)]
        if failed:  # one that has a record says more than one that was not let in
            raise next((each for each in failed if isinstance(each, Undecided)), failed[0])
        told += [each for each in done if isinstance(each, Answered)]
    return told


async def _in_order(found: Services, asking: Asking, parent: Parent | None, batch: Batch) -> list[Answered]:
    """The answers up to the one that ends the batch; what comes behind it is not evaluated, so it has no record."""
    told: list[Answered] = []
    for number, item in enumerate(batch.items):
        if number and isinstance(item, Request):
            deciding.owed(found, asking.caller, 1)
        told.append(await _item(found, asking, parent, item))
        if answers.ends(batch.semantic, told[-1]):
            break
    return told


async def _item(found: Services, asking: Asking, parent: Parent | None, item: Request | Invalid) -> Answered:
    """One item's answer, in its place; raises whatever leaves it undecided."""
    if isinstance(item, Invalid):
        return answers.invalid(item)
    own = replace(asking, stages=Stages(), leases=[], batch=None, permit=None, judged_by=None)
    try:
        return await _evaluate(found, own, parent, item)
    except BadRequest as exc:  # of the gate's own types
        return answers.invalid(Invalid(exc.errors))


async def _evaluate(found: Services, asking: Asking, parent: Parent | None, request: Request) -> Answered:
    """Decide for a caller whose rate allows it, record, count, and write the answer."""
    with deciding.Counted(found, asking, parent) as tell:
        decided = await deciding.in_turn(
            found, asking, "decide", deciding.person(request), lambda: decide(found, request, asking)
        )
        answer = _answered(decided)
        asking.stages.mark(at.ANSWER)
        tell(decided, deciding.of_gate(request.action, decided))
    return answer
