"""What gates say of themselves: METADATA read by OPA, checked, and written into the bundle as data.

No rule reads METADATA at run time; router, tests and `GET /v1/gates` all read what is written here.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import TypeAdapter, ValidationError

from engine.bundling.errors import Finding
from engine.bundling.metadata import STORED_REQUESTS, Gate, Requirement, Requires
from engine.bundling.models import TIERS
from engine.bundling.source import scope_modules, track_modules
from engine.opa.binary import OpaBinary
from ledger.canonical import JSON

_COMMON = frozenset({"subject-active", "unknown-action"})
_MET = re.compile(r'met contains "([^"]+)"')
_DIRECTORY = ("active", "persona", "customer", "locale", "zone")
_KEYWORDS = frozenset(
    {
        *("type", "enum", "const", "minLength", "maxLength", "minimum", "maximum"),
        *("items", "minItems", "maxItems", "uniqueItems"),
        *("properties", "maxProperties", "additionalProperties"),
    }
)


@dataclass(slots=True)
class Metadata:
    """`data.metadata`, and what was wrong on the way to it."""

    data: dict[str, JSON] = field(default_factory=lambda: {"gates": {}, "common": []})
    findings: list[Finding] = field(default_factory=list)
    stored: bool = False
    """Whether the router knows requests that were stored beforehand."""


def inspect(policies: Path, opa: OpaBinary, source: dict[str, JSON] | None) -> Metadata:
    """Read every gate's METADATA, and check it against the source; by itself where the source is broken (None)."""
    metadata = Metadata()
    gates: dict[str, JSON] = {}
    for annotation in _annotations(metadata, policies, opa):
        path = [str(part["value"]) for part in annotation["path"][1:]]
        file, line = _place(policies, annotation)
        custom = annotation["annotations"].get("custom", {})
        if path == ["muster", "gate"] and annotation["annotations"]["scope"] == "package":
            metadata.data["common"] = custom.get("requirements", [])
            _common(metadata, file, line)
        if path[:2] != ["muster", "gates"] or annotation["annotations"]["scope"] != "package" or len(path) != 3:
            continue
        gate = _gate(metadata, file, line, custom, path[2], source)
        if gate is not None:
            metadata.findings += _stray_codes(policies, gate)
            said = gate.model_dump(mode="json", exclude_none=True, by_alias=True)
            gates[path[2]] = {
                **said,
                **_by_code(said["requirements"]),
                "title": annotation["annotations"].get("title", path[2]),
                "description": annotation["annotations"].get("description", ""),
                "package": ".".join(path),
                "facts": _facts(gate, source or {"tracks": {}, "scopes": {}}),
                "schema": _schema(gate),
            }
    if source is not None:
        metadata.findings += _registered(policies, source, gates, {f.field for f in metadata.findings})
    if not metadata.data["common"]:
        message = "package muster.gate lists no common requirements"
        metadata.findings.append(Finding(file="muster/gate", line=0, field="custom.requirements", message=message))
    metadata.data["gates"] = gates
    return metadata


def _registered(policies: Path, source: dict[str, JSON], gates: dict[str, JSON], told: set[str]) -> Iterator[Finding]:
    """Actions and gates are one to one; a gate whose METADATA is broken (`told`) is there all the same."""
    actions, folder = source["actions"], policies / "muster" / "gates"
    assert isinstance(actions, dict)
    for action in actions:
        if action not in gates and not any(f.startswith(f"{action}.custom.") for f in told):
            message = "is registered, and has no gate with METADATA"
            hint = f"write muster/gates/{action}/{action}.rego, or take the action out"
            yield Finding(file="actions.yaml", line=0, field=action, message=message, hint=hint)
    folders = {path.parent.name for path in folder.glob("*/*.rego")} if folder.is_dir() else set()
    for action in sorted({*gates, *folders} - actions.keys()):
        message, hint = "has a gate and is not registered", "add it to actions.yaml, or take the gate out"
        yield Finding(file="actions.yaml", line=0, field=action, message=message, hint=hint)


def _common(metadata: Metadata, file: str, line: int) -> None:
    """The router's own requirements: exactly those that it looks up, none of them judged from training."""

    def wrong(where: str, message: str) -> None:
        metadata.findings.append(Finding(file=file, line=line, field=f"custom.requirements{where}", message=message))

    try:
        common = TypeAdapter(list[Requirement]).validate_python(metadata.data["common"])
    except ValidationError as exc:
        for error in exc.errors(include_url=False):
            wrong("".join(f".{part}" for part in error["loc"]), str(error["msg"]))
        return
    codes = sorted(r.code for r in common)
    metadata.stored = {*codes} >= STORED_REQUESTS
    if codes not in (sorted(_COMMON), sorted(_COMMON | STORED_REQUESTS)) or any(r.requires for r in common):
        stored = f"and, if it knows stored requests, {', '.join(sorted(STORED_REQUESTS))}"
        wrong("", f"are {', '.join(sorted(_COMMON))}, {stored}, each once and without `requires`")


def _stray_codes(policies: Path, gate: Gate) -> Iterator[Finding]:
    """Codes that a rule meets and that are no condition of its gate: a typo here would deny for ever."""
    own = {r.code for r in gate.requirements if r.requires is None}
    for path in sorted((policies / "muster" / "gates" / gate.action).glob("*.rego")):
        if path.name.endswith("_test.rego"):
            continue
        for number, text in enumerate(path.read_text("utf-8").splitlines(), 1):
            met = _MET.match(text)
            if met and met.group(1) not in own:
                message = f"{met.group(1)} is no requirement that this gate judges itself"
                hint = f"one of {', '.join(sorted(own))}"
                file = str(path.relative_to(policies))
                yield Finding(file=file, line=number, field="met", message=message, hint=hint)


def _annotations(metadata: Metadata, policies: Path, opa: OpaBinary) -> Iterator[dict[str, Any]]:
    command = [str(opa.path), "inspect", "-a", "-f", "json", "muster"]
    done = subprocess.run(command, capture_output=True, check=False, cwd=policies)
    if done.returncode != 0:
        message = f"opa inspect: {(done.stderr or done.stdout).decode('utf-8', 'replace').strip()}"
        metadata.findings.append(Finding(file="muster", line=0, field="", message=message))
        return
    yield from json.loads(done.stdout).get("annotations") or ()


def _place(policies: Path, annotation: dict[str, Any]) -> tuple[str, int]:
    location = annotation.get("location", {})
    file = str(location.get("file", ""))
    if Path(file).is_relative_to(policies):
        file = str(Path(file).relative_to(policies))
    return file, int(location.get("row", 0))


def _gate(
    metadata: Metadata, file: str, line: int, custom: dict[str, Any], folder: str, source: dict[str, JSON] | None
) -> Gate | None:
    def wrong(where: str, message: str, hint: str = "") -> None:
        field_ = f"{folder}.custom.{where}"
        metadata.findings.append(Finding(file=file, line=line, field=field_, message=message, hint=hint))

    try:
        gate = Gate.model_validate(custom)
    except ValidationError as exc:
        for error in exc.errors(include_url=False):
            wrong(".".join(str(p) for p in error["loc"]), str(error["msg"]))
        return None
    if gate.action != folder:
        wrong("action", f"is {gate.action}, the gate's folder is {folder}", "make them equal")
    codes = [r.code for r in gate.requirements]
    for code in sorted({c for c in codes if codes.count(c) > 1}):
        wrong("requirements", f"the code {code} is there twice", "each requirement has a code of its own")
    for code in sorted(set(codes) & (_COMMON | STORED_REQUESTS)):
        wrong("requirements", f"the code {code} is every gate's own", "choose another code")
    for message in _not_lent(gate, source):
        wrong("lease", message, "leave it out: then each request is asked about and recorded")
    for where, message in _references(gate, source) if source is not None else ():
        wrong(where, message)
    for where, scope in _by_expiry(gate, source) if source is not None else ():
        message = f"asks for {scope} within a time, and its renewal by expiry lets more than its validity pass between"
        wrong(where, message, "set renewal in scopes.yaml to completion or calendar, or require the scope's modules")
    for name, declared in gate.inputs.items():
        if (declared.source == "directory") != (name.removeprefix("subject.") in _DIRECTORY):
            wrong(f"inputs.{name}", f"is not a field of source {declared.source}")
        for message in _schema_mistakes(declared.schema_):
            wrong(f"inputs.{name}.schema", message)
    return gate


def _not_lent(gate: Gate, source: dict[str, Any] | None) -> Iterator[str]:
    """Why no gateway may keep an allow of this gate, where its METADATA says that one may: nobody can take it back."""
    if gate.lease != "gateway":
        return
    if (source or {"actions": {}})["actions"].get(gate.action, {}).get("risk") == "high":
        yield "is gateway, and actions.yaml says that the risk of the action is high"
    if gate.ledger:
        yield f"is gateway, and the gate reads {' and '.join(gate.ledger)}, which are good for what they name alone"
    if gate.mode == "shadow":
        yield "is gateway, and the gate is in shadow, where each request is to be seen"


def _references(gate: Gate, source: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What METADATA names and the source does not have, as (field, message)."""
    named: list[tuple[str, str, str | None]] = [
        ("policy_id", "policies", gate.policy_id),
        ("runbook_id", "runbooks", gate.runbook_id),
        *((f"scopes.{i}", "scopes", s) for i, s in enumerate(gate.scopes)),
        *((f"obligations.{i}.id", "runbooks", o.id) for i, o in enumerate(gate.obligations) if o.type == "runbook"),
    ]
    for i, requirement in enumerate(gate.requirements):
        here, remedy, required = f"requirements.{i}", requirement.remedy, requirement.requires
        named += [
            (f"{here}.remedy.module", "modules", remedy.module),
            (f"{here}.remedy.policy_id", "policies", remedy.policy_id),
        ]
        if required is not None:
            named += [(f"{here}.requires.{k}", f"{k}s", getattr(required, k)) for k in ("scope", "track", "module")]
            if not _reachable(required, source):
                yield f"{here}.requires.tier", f"nobody can reach {required.tier} here, so the gate would deny for ever"
    for where, table, name in named:
        if name is not None and name not in source[table]:
            yield where, f"there is no {name} among the source's {table}"


def _by_expiry(gate: Gate, source: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The scopes that a gate wants passed within a time, and that let their validity and a window more pass between."""
    for i, requirement in enumerate(gate.requirements):
        scope = requirement.requires.scope if requirement.requires else None
        if scope is not None and scope in source["scopes"] and source["scopes"][scope]["renewal"] == "expiry":
            yield f"requirements.{i}.requires.within", scope


def _reachable(required: Requires, source: dict[str, Any]) -> bool:
    """Whether anybody can hold a tier of a known module or track; of a scope each one can be awarded."""
    module, track = source["modules"].get(required.module), source["tracks"].get(required.track)
    if module:
        return required.tier in TIERS[: TIERS.index(module["tier"]) + 1]
    if track and required.tier in TIERS:  # judged by the modules that ask for the tier or less: there has to be one
        return any(TIERS.index(part["tier"]) <= TIERS.index(required.tier) for part in track["modules"])
    return True


def _schema_mistakes(schema: Any) -> Iterator[str]:
    if not isinstance(schema, dict):
        yield "has a part that is not a mapping of keywords"
        return
    unknown = sorted(schema.keys() - _KEYWORDS)
    if unknown:
        yield f"uses {', '.join(unknown)}; known are {', '.join(sorted(_KEYWORDS))}"
        return
    if "type" not in schema and "enum" not in schema and "const" not in schema:
        yield "says no type"
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as exc:
        yield f"is not a JSON Schema: {exc.message}"
        return
    if "items" in schema:
        yield from _schema_mistakes(schema["items"])
    for part in schema.get("properties", {}).values():
        yield from _schema_mistakes(part)
    if not isinstance(schema.get("additionalProperties", True), bool):
        yield from _schema_mistakes(schema["additionalProperties"])


def _facts(gate: Gate, source: dict[str, JSON]) -> JSON:
    """The scopes, modules and waivers whose facts a gate's input carries: what it requires, and the way there."""
    tracks, scopes = source["tracks"], source["scopes"]
    assert isinstance(tracks, dict)
    assert isinstance(scopes, dict)
    wanted_scopes, modules, waivers = set(gate.scopes), set[str](), set[str]()
    for required in (r.requires for r in gate.requirements if r.requires is not None):
        if required.scope is not None:
            wanted_scopes.add(required.scope)
            waivers.add(f"scope:{required.scope}")
            modules |= set(scope_modules(scopes[required.scope], tracks)) if required.scope in scopes else set()
        elif required.track is not None:
            waivers.add(f"track:{required.track}")
            modules |= set(track_modules(tracks[required.track])) if required.track in tracks else set()
        elif required.module is not None:
            waivers.add(f"module:{required.module}")
            modules.add(required.module)
    return {"scopes": [*sorted(wanted_scopes)], "modules": [*sorted(modules)], "waivers": [*sorted(waivers)]}


def _by_code(requirements: list[dict[str, JSON]]) -> dict[str, JSON]:
    """A gate's requirements as the router looks them up: what the gate judges itself, and what is judged centrally."""
    return {
        "conditions": {str(r["code"]): r for r in requirements if "requires" not in r},
        "training": {str(r["code"]): r for r in requirements if "requires" in r},
    }


def _schema(gate: Gate) -> JSON:
    """One JSON Schema of the asserted fields: it types them and requires none."""
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    for name, declared in gate.inputs.items():
        at = schema
        *way, last = name.split(".")
        for part in way:
            at = at["properties"].setdefault(part, {"type": "object", "properties": {}})
        at["properties"][last] = declared.schema_
    return schema
