"""Is what OPA answered an answer? Anything else is "could not decide", never an allow or a deny."""

from __future__ import annotations

from engine.opa.errors import CouldNotDecide
from ledger import instants
from ledger.model import JSON

_DENIAL = {"code", "title", "message", "requirement", "remedy"}
_GATE = {
    "verdict", "allow", "mode", "gate", "policy_id", "runbook_id", "denials", "evidence", "obligations", "valid_until"
}  # fmt: skip
_CERTIFIED = {
    "certified", "status", "tier", "within", "scope", "issued_at", "expires_at", "evidence", "valid_until"
}  # fmt: skip
STATUSES = ("none", "valid", "expiring", "grace", "expired", "revoked", "waived")


def gate(result: JSON) -> dict[str, JSON]:
    """A gate's decision, coherent: a deny has reasons, an allow has none, and only shadow mode lets a deny pass."""
    value = _keys(result, _GATE)
    verdict, allow, mode, denials = value["verdict"], value["allow"], value["mode"], value["denials"]
    _need(verdict in ("allow", "deny"), "verdict is neither allow nor deny")
    _need(mode in ("enforce", "shadow"), "mode is neither enforce nor shadow")
    _need(
        isinstance(denials, list) and all(isinstance(d, dict) and d.keys() >= _DENIAL for d in denials),
        "denials",
    )
    _need((verdict == "deny") == bool(denials), "a verdict that its denials contradict")
    _need(allow is (verdict == "allow" or mode == "shadow"), "allow contradicts verdict and mode")
    _need(isinstance(value["obligations"], list), "obligations is not a list")
    return _common(value)


def certified(result: JSON) -> dict[str, JSON]:
    """The answer of `isCertified`."""
    value = _keys(result, _CERTIFIED)
    _need(isinstance(value["certified"], bool), "certified is not a boolean")
    _need(value["status"] in STATUSES, "an unknown status")
    for name in ("issued_at", "expires_at"):
        _need(_instant_or_null(value[name]), f"{name} is not an instant")
    return _common(value)


def _common(value: dict[str, JSON]) -> dict[str, JSON]:
    evidence = value["evidence"]
    _need(
        isinstance(evidence, list) and all(isinstance(e, str) for e in evidence),
        "evidence is not a list of IDs",
    )
    _need(_instant_or_null(value["valid_until"]), "valid_until is not an instant")
    return value


def _keys(result: JSON, keys: set[str]) -> dict[str, JSON]:
    if not isinstance(result, dict) or result.keys() != keys:
        raise CouldNotDecide("bad-shape", "OPA's answer does not have the keys of this entrypoint")
    return result


def _instant_or_null(value: JSON) -> bool:
    return value is None or (isinstance(value, str) and instants.is_instant(value))


def _need(condition: bool, what: str) -> None:
    if not condition:
        raise CouldNotDecide("bad-shape", f"OPA's answer makes no sense: {what}")
