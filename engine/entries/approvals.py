"""Approvals: made under the approver's own credential, bound to one request, and expiring.

The binding is the digest of who asks for what (`engine.decide.inputs.request_digest`), so an approval of one export
opens no other. Whether an approver counts is the gate's business, not ours: this room only records who said yes.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.decide import inputs
from engine.decide.request import Request
from engine.entries.writer import Once, Writer
from engine.errors import BadRequest, Conflict, FieldError
from ledger import instants
from ledger.ids import uuid7
from ledger.model import Append, Draft, Entry, Person

DEFAULT_MS = 24 * 3_600_000
LONGEST_MS = 7 * 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Approvals:
    """Records approvals."""

    writer: Writer

    async def create(self, request: Request, expires_at: str | None, once: Once) -> tuple[Entry, bool]:
        """Record that the caller approves this request until `expires_at` (default: a day; at most a week)."""
        runtime, caller = self.writer.runtime, once.caller
        approver = caller.principal.person
        if approver is None:
            raise Conflict("only a person can approve")
        gate = runtime.active(caller.tenant).catalogue.gate(request.action)
        if gate is None or "approvals" not in gate.ledger:
            raise BadRequest(
                "nothing to approve",
                (FieldError("/action/name", f"the gate {request.action} reads no approvals"),),
            )
        asserted = inputs.assert_declared(gate, request)
        if asserted.dropped:
            errors = tuple(
                FieldError(p, f"the gate {request.action} does not know this field") for p in asserted.dropped
            )
            raise BadRequest("an approval names only what the gate will see", errors)

        async def build() -> Append:
            known = self.writer.known(caller.tenant, approver)
            if known is None:
                raise Conflict(f"{caller.principal} is not in the directory, so their approval could not count")
            ref, seen = known
            now = runtime.now(caller.tenant)
            until = expires_at or instants.from_ms(instants.parse(now) + DEFAULT_MS)
            if not now < until <= instants.from_ms(instants.parse(now) + LONGEST_MS):
                raise BadRequest(
                    "wrong expiry", (FieldError("/expires_at", "in the future, at most seven days ahead"),)
                )
            subject = Person(type=request.subject.type, id=request.subject.id)
            payload = once.marked(
                {
                    "person": {"type": approver.type, "id": approver.id},
                    "ref": ref,
                    "action": request.action,
                    "subject_ref": runtime.ref(caller.tenant, subject),
                    "request_digest": inputs.request_digest(caller.tenant, request, asserted),
                    "expires_at": until,
                }
            )
            return Append(
                tenant=caller.tenant,
                drafts=(Draft(id=uuid7(), kind="approval", payload=payload, about=approver),),
                reads=(seen,),
            )

        return await self.writer.write(once, build)
