"""Requests that are stored beforehand: an application says who is to do what, and a gateway's ask cites it later.

A gateway reads no body; so whatever of a request is in its body is stored here first, by the host application, and the
ask names it. What is stored is bound to one person, checked like a decision's request, and good until an instant. It
is never changed: it is withdrawn, and another one is stored. It belongs to that person, whose erasure takes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.access import tokens
from engine.bundling.catalogue import GateInfo
from engine.decide import inputs
from engine.decide.inputs import Asserted
from engine.decide.request import Request
from engine.entries.writer import Once, Writer
from engine.errors import BadRequest, Conflict, FieldError, NotFound
from ledger import instants
from ledger.ids import is_uuid7, uuid7
from ledger.model import JSON, Append, Draft, Entry, Person

DEFAULT = "PT1H"
LONGEST_MS = 7 * 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Requests:
    """Stores requests, and withdraws them."""

    writer: Writer

    async def store(self, request: Request, expires_in: str, once: Once) -> tuple[Entry, bool]:
        """Store a request for `expires_in`, an ISO 8601 duration; raises BadRequest, NotFound."""
        runtime, tenant = self.writer.runtime, once.caller.tenant
        gate = runtime.active(tenant).catalogue.gate(request.action)
        asserted = _checked(gate, request)

        async def build() -> Append:
            person = Person(type=request.subject.type, id=request.subject.id)
            ref, seen = self._known(tenant, person)
            payload = once.marked(
                {
                    "event": "stored",
                    "person": {"type": person.type, "id": person.id},
                    "ref": ref,
                    "action": asserted.action,
                    "resource": self._resource(tenant, request, asserted),
                    "context": asserted.context,
                    "request_digest": inputs.request_digest(tenant, request, asserted),
                    "expires_at": _ends(runtime.now(tenant), expires_in),
                    "by": self.writer.by(once.caller),
                }
            )
            draft = Draft(id=uuid7(), kind="request", payload=payload, about=person)
            return Append(tenant=tenant, drafts=(draft,), reads=(seen,))

        return await self.writer.write(once, build)

    async def withdraw(self, request_id: str, reason: str, once: Once) -> tuple[Entry, bool]:
        """Withdraw a request, whatever its time; raises NotFound, and Conflict where it was withdrawn before."""
        tenant = once.caller.tenant

        async def build() -> Append:
            version, state = self._held(tenant, request_id)
            if "withdrawn_at" in state:
                raise Conflict(f"request {request_id} was withdrawn at {state['withdrawn_at']}")
            stored = self._stored(tenant, request_id)
            payload: dict[str, JSON] = {"event": "withdrawn", "request": request_id, "reason": reason}
            payload = once.marked({**payload, "by": self.writer.by(once.caller)})
            draft = Draft(id=uuid7(), kind="request", payload=payload, about=stored.about)
            return Append(tenant=tenant, drafts=(draft,), reads=((f"request/{request_id}", version),))

        return await self.writer.write(once, build)

    def get(self, tenant: str, request_id: str) -> tuple[Entry, dict[str, JSON]]:
        """The entry that stored a request, and how the request stands; raises NotFound."""
        _, state = self._held(tenant, request_id)
        return self._stored(tenant, request_id), state

    def stored_by(self, tenant: str, request_id: str) -> Person:
        """Who stored a request: an application, or an admin, who as a person stands by `ref`; raises NotFound."""
        _, state = self._held(tenant, request_id)
        by = state["stored_by"]
        assert isinstance(by, dict)
        return Person(type=str(by["type"]), id=str(by.get("id", by.get("ref"))))

    def _held(self, tenant: str, request_id: str) -> tuple[int, dict[str, JSON]]:
        name = f"request/{request_id}"
        found = self.writer.runtime.reader.objects(tenant, [name])[name] if is_uuid7(request_id) else (-1, None)
        version, state = found
        if not isinstance(state, dict):
            raise NotFound(f"there is no stored request {request_id}")
        return version, state

    def _stored(self, tenant: str, request_id: str) -> Entry:
        entry = self.writer.runtime.reader.entry(tenant, request_id)
        if entry is None or entry.payload is None:  # erased since its state was read
            raise NotFound(f"there is no stored request {request_id}")
        return entry

    def _known(self, tenant: str, person: Person) -> tuple[str, tuple[str, int]]:
        known = self.writer.known(tenant, person)
        if known is None:
            raise NotFound(f"there is no {person.type} {person.id} in the directory: add the person first")
        return known

    def _resource(self, tenant: str, request: Request, asserted: Asserted) -> dict[str, JSON]:
        """The resource as it is written down: a person stands by `ref`, since the entry is another's."""
        kind, identifier = request.resource.type, request.resource.id
        named: dict[str, JSON] = {"type": kind, "id": identifier}
        if kind == "user":
            named = {"type": kind, "ref": self._known(tenant, Person(type=kind, id=identifier))[0]}
        return {**named, "properties": asserted.resource_properties} if asserted.resource_properties else named


def _checked(gate: GateInfo | None, request: Request) -> Asserted:
    """What the gate will see of a request; raises BadRequest for what it does not know, or not as it is."""
    if gate is None:
        detail = f"there is no action {request.action}: GET /v1/gates lists them"
        raise BadRequest("unknown action", (FieldError("/action/name", detail),))
    if not gate.stored:
        detail = "the rules of the active revision know no stored requests: activate newer ones"
        raise BadRequest("nothing can be stored", (FieldError("/action/name", detail),))
    asserted = inputs.assert_declared(gate, request)
    if asserted.dropped:
        detail = f"the gate {request.action} does not know this field"
        raise BadRequest(
            "a stored request says only what the gate will see", tuple(FieldError(p, detail) for p in asserted.dropped)
        )
    question: JSON = {
        "action": asserted.action,
        "resource": {"properties": asserted.resource_properties},
        "context": asserted.context,
    }
    wrong = tuple(FieldError(pointer, detail) for pointer, detail in gate.wrong_fields(question))
    if wrong:
        raise BadRequest(f"the request does not fit what the gate {request.action} declares", wrong)
    return asserted


def _ends(now: str, life: str) -> str:
    """The instant at which a request that is stored now ends."""
    ends = tokens.after(now, life)
    if ends is None or ends > instants.from_ms(instants.parse(now) + LONGEST_MS):
        detail = "expected a duration such as PT30M or P1D, at most P7D"
        raise BadRequest("wrong duration", (FieldError("/expires_in", detail),))
    return ends
