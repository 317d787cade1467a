"""The canonical input of a decision: pure functions from a request and ledger states, so that replay can call them too.

The input is exactly `{subject, action, resource, context, facts, now}`. Of what a caller sends only the fields that the
gate declares get in; everything else is dropped, and named. People other than the subject stand as `ref` only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from engine.bundling.catalogue import GateInfo
from engine.decide.request import Request
from ledger import canonical
from ledger.model import JSON, Person, unknown_object

_ENTRY_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

_NONE: Final = frozenset[str]()

States = Mapping[str, JSON | None]
"""Ledger objects by name, as of one version each; None where there is no such object."""


class Asserted(NamedTuple):
    """What a caller said, cut to what the gate declares; `dropped` names the rest as JSON pointers, sorted."""

    action: dict[str, JSON]
    subject_properties: dict[str, JSON]
    resource_properties: dict[str, JSON]
    context: dict[str, JSON]
    dropped: tuple[str, ...]


def assert_declared(gate: GateInfo | None, request: Request) -> Asserted:
    """Cut a request to the fields that its gate declares; without a gate nothing is declared."""
    allowed = gate.asserted if gate else {}
    dropped: list[str] = []

    def keep(part: str, values: Mapping[str, JSON]) -> dict[str, JSON]:
        names = allowed.get(part, _NONE)
        kept = {key: value for key, value in values.items() if key in names}
        if len(kept) < len(values):
            at = "/" + part.replace(".", "/") + "/"
            dropped.extend(at + key.replace("~", "~0").replace("/", "~1") for key in values if key not in names)
        return kept

    properties = keep("action.properties", request.action_properties)
    action: dict[str, JSON] = {"name": request.action}
    if properties:
        action["properties"] = properties
    return Asserted(
        action=action,
        subject_properties=keep("subject.properties", request.subject.properties),
        resource_properties=keep("resource.properties", request.resource.properties),
        context=keep("context", request.context),
        dropped=tuple(sorted(dropped)),
    )


def request_digest(tenant: str, request: Request, asserted: Asserted) -> str:
    """What an approval is bound to: SHA-256 (hex) of who asks for what, the cited approvals themselves left out."""
    resource: dict[str, JSON] = {"type": request.resource.type, "id": request.resource.id}
    if asserted.resource_properties:
        resource["properties"] = asserted.resource_properties
    bound: JSON = {
        "tenant": tenant,
        "subject": {"type": request.subject.type, "id": request.subject.id},
        "action": asserted.action,
        "resource": resource,
        "context": {k: v for k, v in asserted.context.items() if k != "approvals"},
    }
    return hashlib.sha256(canonical.encode(bound)).hexdigest()


def subject_object(kind: str, identifier: str, ref: str | None) -> str:
    """The ledger object that stands for a subject."""
    return f"person/{ref}" if ref else unknown_object(Person(kind, identifier))


def cited(gate: GateInfo | None, context: Mapping[str, JSON]) -> tuple[str, ...]:
    """The ledger objects that a request cites and its gate reads; what cannot be an entry's ID names nothing."""
    names: list[str] = []
    if gate and "approvals" in gate.ledger:
        approvals = context.get("approvals")
        names += [f"approval/{i}" for i in _ids(approvals if isinstance(approvals, list) else ())]
    if gate and "change_windows" in gate.ledger:
        names += [f"change_window/{i}" for i in _ids((context.get("change_window"),))]
    return tuple(dict.fromkeys(names))


def approvers(states: States) -> tuple[str, ...]:
    """The people behind the approvals among these states, as ledger objects."""
    found = (s.get("approver") for n, s in states.items() if n.startswith("approval/") and isinstance(s, dict))
    return tuple(sorted({f"person/{ref}" for ref in found}))


def subject_part(gate: GateInfo | None, kind: str, identifier: str, state: JSON | None) -> dict[str, JSON]:
    """`input.subject`: who is asked about, with the directory fields that the gate declares."""
    if not isinstance(state, dict):
        return {"type": kind, "id": identifier, "known": False}
    directory = state["directory"]
    assert isinstance(directory, dict)
    fields = {k: directory[k] for k in (gate.directory if gate else ()) if directory.get(k) is not None}
    return {"type": kind, "id": identifier, "known": True, "ref": state["ref"], **fields}


def facts_part(
    gate: GateInfo | None,
    person: JSON | None,
    states: States,
    context: Mapping[str, JSON],
    digest: str,
    personal: dict[str, JSON] | None = None,
) -> dict[str, JSON]:
    """`input.facts`: what the ledger holds, cut to what the gate declares. All six keys are always there.

    `personal`: what `facts_of_person` says, where that is known already.
    """
    approvals: dict[str, JSON] = {}
    windows: dict[str, JSON] = {}
    for name in cited(gate, context):
        state = states.get(name)
        identifier = name.partition("/")[2]
        if not isinstance(state, dict):
            continue
        if name.startswith("approval/"):
            approvals[identifier] = {
                **state,
                "approver_active": _active(states.get(f"person/{state['approver']}")),
            }
        else:
            windows[identifier] = state
    return {
        **(facts_of_person(gate, person) if personal is None else personal),
        "approvals": approvals,
        "change_windows": windows,
        "request_digest": digest,
    }


def facts_of_person(gate: GateInfo | None, person: JSON | None) -> dict[str, JSON]:
    """What a gate reads of a person's scopes, modules and waivers."""
    if gate is None:
        return personal_facts(person, scopes=(), modules=(), waivers=())
    return personal_facts(person, scopes=gate.scopes, modules=gate.modules, waivers=gate.waivers)


def personal_facts(
    person: JSON | None, *, scopes: Iterable[str], modules: Iterable[str], waivers: Iterable[str]
) -> dict[str, JSON]:
    """A person's scopes, modules and waivers, cut to the names given; a scope never touched has standing `none`."""
    state = person if isinstance(person, dict) else {}
    held = {part: _table(state.get(part)) for part in ("scopes", "modules", "waivers")}
    return {
        "modules": {m: held["modules"][m] for m in modules if m in held["modules"]},
        "scopes": {s: held["scopes"].get(s, {"standing": "none", "tiers": {}}) for s in scopes},
        "waivers": {w: held["waivers"][w] for w in waivers if w in held["waivers"]},
    }


def _ids(values: Iterable[JSON]) -> list[str]:
    return [v for v in values if isinstance(v, str) and _ENTRY_ID.fullmatch(v)]


def _active(person: JSON | None) -> bool:
    return isinstance(person, dict) and _table(person.get("directory")).get("active") is True


def _table(value: JSON | None) -> dict[str, JSON]:
    return value if isinstance(value, dict) else {}
