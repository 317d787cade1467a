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
from typing import Annotated, Any, Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import BaseModel, Field, ValidationError, model_validator

from engine.bundling.errors import Finding
from engine.bundling.models import Days, Duration, Id, PolicyId, RunbookId, Strict, Text, TrackId
from engine.bundling.source import scope_modules, track_modules
from engine.opa.binary import OpaBinary
from ledger.canonical import JSON

_MET = re.compile(r'met contains "([^"]+)"')
_DIRECTORY = ("active", "persona", "customer", "locale", "zone")
_PATHS = re.compile(
    r"subject\.(active|persona|customer|locale|zone)"
    r"|subject\.properties\.[A-Za-z_][A-Za-z0-9_]*"
    r"|(action|resource)\.properties\.[A-Za-z_][A-Za-z0-9_]*"
    r"|context\.[A-Za-z_][A-Za-z0-9_]*"
)
_KEYWORDS = frozenset(
    {
        *("type", "enum", "const", "minLength", "maxLength", "minimum", "maximum"),
        *("items", "minItems", "maxItems", "uniqueItems"),
        *("properties", "maxProperties", "additionalProperties"),
    }
)


class Requires(Strict):
    """A training requirement: exactly one of scope, track, module; judged centrally."""

    scope: Id | None = None
    track: TrackId | None = None
    module: Id | None = None
    tier: Literal["completed", "proficient", "certified"]
    within: Duration | Days

    @model_validator(mode="after")
    def _one(self) -> Requires:
        if sum(v is not None for v in (self.scope, self.track, self.module)) != 1:
            raise ValueError("name exactly one of scope, track, module")
        return self


class Remedy(BaseModel):
    """What would cure a denial."""

    model_config = {"extra": "allow", "strict": True}
    kind: Literal["lesson", "approval", "request", "text"]
    module: Id | None = None


class Requirement(Strict):
    """One thing that a gate asks."""

    code: Id
    title: Text
    message: Text
    remedy: Remedy
    requires: Requires | None = None


class Input(Strict):
    """One field that a gate reads."""

    source: Literal["asserted", "directory"]
    schema_: dict[str, Any] = Field(alias="schema")


class Gate(Strict):
    """The `custom` part of a gate's METADATA."""

    action: Id
    policy_id: PolicyId
    runbook_id: RunbookId
    mode: Literal["enforce", "shadow"]
    inputs: dict[Annotated[str, Field(pattern=_PATHS.pattern)], Input]
    requirements: list[Requirement] = Field(min_length=1, max_length=64)
    ledger: list[Literal["approvals", "change_windows"]] = Field(default_factory=list)
    obligations: list[dict[str, Any]] = Field(default_factory=list)
    scopes: list[Id] = Field(default_factory=list)


@dataclass(slots=True)
class Metadata:
    """`data.metadata`, and what was wrong on the way to it."""

    data: dict[str, JSON] = field(default_factory=lambda: {"gates": {}, "common": []})
    findings: list[Finding] = field(default_factory=list)


def inspect(policies: Path, opa: OpaBinary, source: dict[str, JSON]) -> Metadata:
    """Read every gate's METADATA, and check it against the source."""
    metadata = Metadata()
    gates: dict[str, JSON] = {}
    actions = source["actions"]
    assert isinstance(actions, dict)
    for annotation in _annotations(policies, opa):
        path = [str(part["value"]) for part in annotation["path"][1:]]
        file, line = _place(policies, annotation)
        custom = annotation["annotations"].get("custom", {})
        if path == ["muster", "gate"] and annotation["annotations"]["scope"] == "package":
            metadata.data["common"] = custom.get("requirements", [])
        if path[:2] != ["muster", "gates"] or annotation["annotations"]["scope"] != "package" or len(path) != 3:
            continue
        gate = _gate(metadata, file, line, custom, path[2], source)
        if gate is not None:
            metadata.findings += _stray_codes(policies, gate)
            gates[path[2]] = {
                **gate.model_dump(mode="json", exclude_none=True, by_alias=True),
                "title": annotation["annotations"].get("title", path[2]),
                "description": annotation["annotations"].get("description", ""),
                "package": ".".join(path),
                "facts": _facts(gate, source),
                "schema": _schema(gate),
            }
    for action in actions:
        folder = policies / "muster" / "gates" / action
        if action not in gates and not any(f.field.startswith(action) for f in metadata.findings):
            message = "is registered, and has no gate with METADATA"
            hint = f"write {folder.relative_to(policies)}/{action}.rego, or take the action out"
            metadata.findings.append(Finding(file="actions.yaml", line=0, field=action, message=message, hint=hint))
    for action in gates:
        if action not in actions:
            message, hint = "has a gate and is not registered", "add it to actions.yaml, or take the gate out"
            metadata.findings.append(Finding(file="actions.yaml", line=0, field=action, message=message, hint=hint))
    if not metadata.data["common"]:
        message = "package muster.gate lists no common requirements"
        metadata.findings.append(Finding(file="muster/gate", line=0, field="custom.requirements", message=message))
    metadata.data["gates"] = gates
    return metadata


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


def _annotations(policies: Path, opa: OpaBinary) -> Iterator[dict[str, Any]]:
    command = [str(opa.path), "inspect", "-a", "-f", "json", "muster"]
    done = subprocess.run(command, capture_output=True, check=False, cwd=policies)
    if done.returncode == 0:
        yield from json.loads(done.stdout).get("annotations") or ()


def _place(policies: Path, annotation: dict[str, Any]) -> tuple[str, int]:
    location = annotation.get("location", {})
    file = str(location.get("file", ""))
    if Path(file).is_relative_to(policies):
        file = str(Path(file).relative_to(policies))
    return file, int(location.get("row", 0))


def _gate(
    metadata: Metadata, file: str, line: int, custom: dict[str, Any], folder: str, source: dict[str, JSON]
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
    for code in sorted(set(codes) & {"subject-active", "unknown-action"}):
        wrong("requirements", f"the code {code} is every gate's own", "choose another code")
    named: list[tuple[str, str, str]] = [
        ("policy_id", "policies", gate.policy_id),
        ("runbook_id", "runbooks", gate.runbook_id),
        *((f"scopes.{i}", "scopes", s) for i, s in enumerate(gate.scopes)),
    ]
    for i, requirement in enumerate(gate.requirements):
        here = f"requirements.{i}"
        if requirement.remedy.module is not None:
            named.append((f"{here}.remedy.module", "modules", requirement.remedy.module))
        required = requirement.requires
        if required is not None:
            named += [
                (f"{here}.requires.{kind}", f"{kind}s", name)
                for kind in ("scope", "track", "module")
                if (name := getattr(required, kind)) is not None
            ]
    for where, table, name in named:
        known = source[table]
        if isinstance(known, dict) and name not in known:
            wrong(where, f"there is no {name} among the source's {table}")
    for name, declared in gate.inputs.items():
        if (declared.source == "directory") != (name.removeprefix("subject.") in _DIRECTORY):
            wrong(f"inputs.{name}", f"is not a field of source {declared.source}")
        for message in _schema_mistakes(declared.schema_):
            wrong(f"inputs.{name}.schema", message)
    return gate


def _schema_mistakes(schema: dict[str, Any]) -> Iterator[str]:
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
