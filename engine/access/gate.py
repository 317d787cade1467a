"""Asks Rego whether a caller may call: `policies/muster/access` decides, nothing here does.

The verdict is a pure function of revision, caller, operation and target, so it is remembered by exactly these; where
the policy says that it is the same whoever is asked about (`anyone`), the target is left out. So a handful of verdicts
stands behind millions of calls, and a new revision starts with an empty memory.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TypeAlias

from engine.access.caller import Caller
from engine.errors import Forbidden, Undecided
from engine.opa.errors import CouldNotDecide
from engine.runtime import DEFAULT_TENANT, Active, Runtime
from ledger import canonical
from ledger.model import JSON, Person

ENTRYPOINT = "muster/access/decision"
_REMEMBERED = 4096
_Key: TypeAlias = tuple[str, str, str, str, str, str, Person | None]


@dataclass(slots=True)
class AccessGate:
    """The access policy of the active revision, as a function."""

    runtime: Runtime
    _memory: OrderedDict[_Key, dict[str, JSON]] = field(default_factory=OrderedDict)

    async def require(self, caller: Caller, operation: str, target: Person | None = None) -> str:
        """The revision whose policy says that the caller may; raises Forbidden if not, Undecided if OPA cannot say."""
        judge = self._judged_by(caller)
        if self.runtime.behind(judge):
            await self.runtime.caught_up(judge)
        active = self.runtime.active(judge)
        answer = self._memory.get(_key(active, caller, operation, None)) if target else None
        if answer is None or not answer.get("anyone"):
            answer = await self._verdict(active, caller, operation, target)
        if not answer["allow"]:
            raise Forbidden(str(answer.get("reason") or f"role {caller.role} may not {operation}"))
        return active.revision

    async def _verdict(self, active: Active, caller: Caller, operation: str, target: Person | None) -> dict[str, JSON]:
        key = _key(active, caller, operation, target)
        if key in self._memory:
            return self._memory[key]
        question: JSON = {
            "caller": {
                "tenant": caller.tenant,
                "role": caller.role,
                "principal": {"type": caller.principal.type, "id": caller.principal.id},
            },
            "operation": operation,
            "target": {"type": target.type, "id": target.id} if target else None,
        }
        try:
            answer = await active.evaluator.evaluate(ENTRYPOINT, canonical.encode(question))
        except CouldNotDecide as exc:
            raise Undecided(exc.cause, exc.detail) from exc
        if not isinstance(answer, dict) or not isinstance(answer.get("allow"), bool):
            raise Undecided("bad-shape", "the access policy gave no answer")
        self._memory[key] = answer
        if answer.get("anyone") is True:
            self._memory[_key(active, caller, operation, None)] = answer
        while len(self._memory) > _REMEMBERED:
            self._memory.popitem(last=False)
        return answer

    def _judged_by(self, caller: Caller) -> str:
        """Whose access policy judges: the tenant's own; the operator may begin a tenant that has none yet."""
        if caller.token_id is None and not self.runtime.has(caller.tenant):
            return DEFAULT_TENANT
        return caller.tenant


def _key(active: Active, caller: Caller, operation: str, target: Person | None) -> _Key:
    """All that the policy is asked with."""
    who = caller.principal
    return active.revision, caller.tenant, caller.role, who.type, who.id, operation, target
