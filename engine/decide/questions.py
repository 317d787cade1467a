"""Questions: what is to be evaluated, on what it was read, and whom its entry is about. Each attempt puts its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

from engine.access.caller import Caller
from engine.decide import inputs, shape, stored
from engine.decide.asking import Beside
from engine.decide.facts import Seen, gather
from engine.decide.record import CERTIFIED, GATE, GATEWAY, canonical_input, key_of
from engine.decide.request import Request
from engine.errors import BadRequest, FieldError
from engine.opa.errors import Cause, CouldNotDecide
from engine.runtime import Active, Runtime
from ledger import canonical
from ledger.model import JSON, Person
from ledger.store import States


class Question(NamedTuple):
    """One attempt at a question: what to evaluate, on what it was read, and whom the entry is about.

    `checked` is `reads`, and what else must not have moved: nobody who is not the subject may be named in a record.
    """

    active: Active
    entrypoint: str
    body: bytes
    """The canonical input, as OPA is sent it."""
    now: str
    reads: tuple[tuple[str, int], ...]
    checked: tuple[tuple[str, int], ...]
    about: Person
    action: str
    check: Callable[[JSON], dict[str, JSON]]
    dropped: tuple[str, ...] = ()
    lease: str | None = None
    """The key of its lease, where there may be one."""
    failure: CouldNotDecide | None = None
    """Why it cannot be evaluated."""


def of_gate(runtime: Runtime, states: States, request: Request, caller: Caller) -> Question:
    """May this person do this now? Raises BadRequest for a field of the wrong type, Unavailable."""
    active = runtime.active(caller.tenant)
    gate = active.catalogue.gate(request.action)
    gathered = gather(states, caller.tenant, gate, request)
    asserted = gathered.asserted
    question: dict[str, JSON] = {
        "subject": gathered.subject,
        "action": asserted.action,
        "resource": gathered.resource,
        "context": asserted.context,
    }
    wrong = gate.wrong_fields(question) if gate else ()
    if wrong:
        raise BadRequest(
            f"the request does not fit what the gate {request.action} declares",
            tuple(FieldError(pointer, detail) for pointer, detail in wrong),
        )
    # Not for a person who is unknown: when they are erased, no object of theirs moves that a lease could lean on.
    leased = gate is not None and gate.lease and gathered.ref is not None
    now = runtime.now(caller.tenant)
    question["facts"] = gathered.facts
    timeless, body = canonical_input(question, now)
    return Question(
        active=active,
        entrypoint=GATE,
        now=now,
        body=body,
        reads=gathered.reads,
        checked=gathered.checked + caller.seen,
        about=Person(type=request.subject.type, id=request.subject.id),
        action=request.action,
        check=shape.gate,
        dropped=asserted.dropped,
        lease=key_of(active.revision, timeless) if leased else None,
        failure=stored.unknown(gate) if request.stored is not None else None,
    )


def of_certification(
    runtime: Runtime, states: States, person: Person, scope: str, tier: str | None, within: str | None, caller: Caller
) -> Question:
    """The question behind `isCertified`; a scope nobody knows is asked all the same, and answered with a no."""
    active = runtime.active(caller.tenant)
    seen = Seen.none(states, caller.tenant)
    state = seen.person(person.type, person.id)
    scopes, modules, waivers = active.catalogue.scope_facts(scope)
    now = runtime.now(caller.tenant)  # behind the facts: none of them is of later
    question: dict[str, JSON] = {
        "subject": inputs.subject_part(None, person.type, person.id, state),
        "scope": scope,
        "facts": inputs.personal_facts(state, scopes=scopes, modules=modules, waivers=waivers),
        "now": now,
    }
    question.update({k: v for k, v in (("tier", tier), ("within", within)) if v is not None})
    return Question(
        active=active,
        entrypoint=CERTIFIED,
        now=now,
        body=canonical.encode(question),
        reads=seen.reads,
        checked=seen.reads + caller.seen,
        about=person,
        action=f"is-certified:{scope}",
        check=shape.certified,
    )


def beside(runtime: Runtime, states: States, said: Beside, caller: Caller) -> Question:
    """What becomes of a request that is no question to a gate?"""
    active, about = runtime.active(caller.tenant), Person(type="gateway", id=said.gateway)
    seen = Seen.none(states, caller.tenant)
    state = seen.person(about.type, about.id)
    now = runtime.now(caller.tenant)
    question: dict[str, JSON] = {
        "subject": inputs.subject_part(None, about.type, about.id, state),
        "reason": said.reason,
        "detail": said.detail,
        "route": said.route,
        "asked": said.asked,
        "facts": {},
        "now": now,
    }
    return Question(
        active=active,
        entrypoint=GATEWAY,
        now=now,
        body=canonical.encode(question),
        reads=seen.reads,
        checked=seen.reads + caller.seen,
        about=about,
        action=f"gateway:{said.reason}",
        check=shape.gate,
        failure=None
        if said.unknowable is None
        else CouldNotDecide(cast(Cause, said.unknowable[0]), said.unknowable[1]),
    )
