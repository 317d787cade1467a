"""`nextRequiredTraining(action)`: what a person still has to learn, in order; a display, so it is not recorded."""

from __future__ import annotations

from dataclasses import dataclass

from engine.decide import inputs
from engine.decide.facts import Seen
from engine.errors import NotFound, Undecided
from engine.opa.errors import CouldNotDecide
from engine.runtime import Runtime
from ledger import canonical
from ledger.model import JSON, Person

ENTRYPOINT = "muster/training/next"


@dataclass(frozen=True, slots=True)
class NextTraining:
    """Asks Rego which modules stand between a person and an action."""

    runtime: Runtime

    async def required(self, tenant: str, person: Person, action: str) -> dict[str, JSON]:
        """`{required, minutes}`: what a person has to take for an action, in order; also what ends soon."""
        active = self.runtime.active(tenant)
        gate = active.catalogue.gate(action)
        if gate is None:
            raise NotFound(f"there is no gate for the action {action}")
        state = Seen.none(self.runtime.reader, tenant).person(person.type, person.id)
        question: JSON = {
            "subject": inputs.subject_part(None, person.type, person.id, state),
            "action": {"name": action},
            "facts": inputs.personal_facts(state, scopes=gate.scopes, modules=gate.modules, waivers=gate.waivers),
            "now": self.runtime.now(tenant),
        }
        try:
            answer = await active.evaluator.evaluate(ENTRYPOINT, canonical.encode(question))
        except CouldNotDecide as exc:
            raise Undecided(exc.cause, exc.detail) from exc
        if not isinstance(answer, dict) or not isinstance(answer.get("required"), list):
            raise Undecided("bad-shape", "the training path is not a list")
        return answer
