"""What an entry of an evaluation says: all that replay needs to make the same answer again, and who asked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.access.caller import Caller
from engine.opa.binary import OpaBinary
from ledger import canonical
from ledger.encoded import Encoded
from ledger.model import JSON
from ledger.reduce import REDUCER

GATE = "muster/gate/decision"
CERTIFIED = "muster/certification/certified"
AWARD = "muster/certification/award"
GATEWAY = "muster/gateway/decision"
"""What becomes of a request at a gateway that is no question to a gate."""


class Evaluated(NamedTuple):
    """One evaluation, whole: `decision = rego(revision, input)`, and what the input was read from."""

    revision: str
    opa: OpaBinary
    capabilities: str
    entrypoint: str
    input: JSON | Encoded
    reads: tuple[tuple[str, int], ...]
    result: JSON

    def payload(self) -> dict[str, JSON]:
        """The part of an entry that replay works on."""
        return {
            "input": self.input.part() if isinstance(self.input, Encoded) else self.input,
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
    request_id: str,
    dropped: tuple[str, ...] = (),
    undecided: dict[str, JSON] | None = None,
    via: dict[str, JSON] | None = None,
) -> dict[str, JSON]:
    """The payload of a `decision` entry; `undecided` is the cause where there is no result.

    `via` is there where a gateway asked: which, by which route, about which request, and what says who the subject is.
    """
    result = evaluated.result if isinstance(evaluated.result, dict) else {}
    return {
        **({"via": via} if via is not None else {}),
        **evaluated.payload(),
        "caller": caller.document.part(),
        "request_id": request_id,
        "dropped": list(dropped),
        "mode": result.get("mode"),
        "evidence": result.get("evidence", []),
        "evaluator": "own",
        "undecided": undecided,
    }


def leased_payload(
    *,
    leans_on: str,
    lease: str,
    now: str,
    caller: Caller,
    request_id: str,
    dropped: Sequence[str],
    via: dict[str, JSON] | None = None,
) -> dict[str, JSON]:
    """The payload of a `decision` entry that was answered by a lease: all else is as in the entry that it leans on.

    `lease` is the lease's key, SHA-256 (hex) of revision and canonical input without `now`: by it the two are joined.
    """
    return {
        **({"via": via} if via is not None else {}),
        "leans_on": leans_on,
        "lease": lease,
        "now": now,
        "caller": caller.document.part(),
        "request_id": request_id,
        "dropped": list(dropped),
    }


def lease_key(revision: str, question: Mapping[str, JSON]) -> str:
    """The key of a lease: SHA-256 (hex) of the revision's 64 characters and the canonical input without `now`."""
    return key_of(revision, canonical.encode({key: value for key, value in question.items() if key != "now"}))


def key_of(revision: str, timeless: bytes) -> str:
    """The same, of what is canonical already."""
    return hashlib.sha256(revision.encode() + timeless).hexdigest()


def canonical_input(question: Mapping[str, JSON], now: str) -> tuple[bytes, bytes]:
    """A gate's canonical input without `now`, and with it. `question` has the five other parts of an input."""
    before = canonical.encode({part: question[part] for part in ("action", "context", "facts")})[:-1]
    after = canonical.encode({part: question[part] for part in ("resource", "subject")})[1:]
    return before + b"," + after, b'%b,"now":"%b",%b' % (before, now.encode(), after)
