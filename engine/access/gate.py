"""Asks Rego whether a caller may call: `policies/muster/access` decides, nothing here does.

The verdict is a pure function of revision, caller, operation and target, so it is remembered by exactly these; a
handful of kinds of call stands behind thousands, and a new revision starts with an empty memory.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from engine.access.caller import Caller
from engine.errors import Forbidden, Undecided
from engine.opa.errors import CouldNotDecide
from engine.runtime import DEFAULT_TENANT, Runtime
from ledger import canonical
from ledger.model import JSON, Person

ENTRYPOINT = "muster/access/decision"
_REMEMBERED = 4096


@dataclass(slots=True)
class AccessGate:
    """The access policy of the active revision, as a function."""

    runtime: Runtime
    _memory: OrderedDict[tuple[str, bytes], JSON] = field(default_factory=OrderedDict)

    async def require(self, caller: Caller, operation: str, target: Person | None = None) -> None:
        """Return if the caller may; raise Forbidden if not, Undecided if OPA cannot say."""
        active = self.runtime.active(self._judged_by(caller))
        question: JSON = {
            "caller": {
                "tenant": caller.tenant,
                "role": caller.role,
                "principal": {"type": caller.principal.type, "id": caller.principal.id},
            },
            "operation": operation,
            "target": {"type": target.type, "id": target.id} if target else None,
        }
        body = canonical.encode(question)
        key = (active.revision, body)
        if key not in self._memory:
            try:
                self._memory[key] = await active.evaluator.evaluate(ENTRYPOINT, body)
            except CouldNotDecide as exc:
                raise Undecided(exc.cause, exc.detail) from exc
            while len(self._memory) > _REMEMBERED:
                self._memory.popitem(last=False)
        answer = self._memory[key]
        if not isinstance(answer, dict) or not isinstance(answer.get("allow"), bool):
            raise Undecided("bad-shape", "the access policy gave no answer")
        if not answer["allow"]:
            raise Forbidden(str(answer.get("reason") or f"role {caller.role} may not {operation}"))

    def _judged_by(self, caller: Caller) -> str:
        """Whose access policy judges: the tenant's own; the operator may begin a tenant that has none yet."""
        if caller.token_id is None and caller.tenant not in self.runtime.tenants():
            return DEFAULT_TENANT
        return caller.tenant
