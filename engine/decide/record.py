"""What an entry of an evaluation says: all that replay needs to make the same answer again, and who asked."""

from __future__ import annotations

from dataclasses import dataclass

from engine.access.caller import Caller
from engine.opa.binary import OpaBinary
from ledger.model import JSON
from ledger.reduce import REDUCER

GATE = "muster/gate/decision"
CERTIFIED = "muster/certification/certified"
AWARD = "muster/certification/award"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """One evaluation, whole: `decision = rego(revision, input)`, and what the input was read from."""

    revision: str
    opa: OpaBinary
    capabilities: str
    entrypoint: str
    input: JSON
    reads: tuple[tuple[str, int], ...]
    result: JSON

    def payload(self) -> dict[str, JSON]:
        """The part of an entry that replay works on."""
        return {
            "input": self.input,
            "reads": [[name, version] for name, version in self.reads],
            "revision": self.revision,
            "entrypoint": self.entrypoint,
            "strict": True,
            "opa": {"version": self.opa.version, "sha256": self.opa.sha256},
            "capabilities": self.capabilities,
            "reducer": REDUCER,
            "result": self.result,
        }


def decision_payload(
    evaluated: Evaluated,
    *,
    caller: Caller,
    caller_ref: str | None,
    request_id: str,
    dropped: tuple[str, ...] = (),
    undecided: dict[str, JSON] | None = None,
) -> dict[str, JSON]:
    """The payload of a `decision` entry; `undecided` is the cause where there is no result."""
    result = evaluated.result if isinstance(evaluated.result, dict) else {}
    return {
        **evaluated.payload(),
        "caller": caller.named(caller_ref),
        "request_id": request_id,
        "dropped": list(dropped),
        "mode": result.get("mode"),
        "evidence": result.get("evidence", []),
        "evaluator": "own",
        "undecided": undecided,
    }
