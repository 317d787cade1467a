"""Checks rules: what OPA itself checks, and what no tool of OPA's does, read from the syntax tree.

Package equals folder (else one room's rules could be changed from another), a gate states only what is met, time is
the calendar's alone and in UTC, and no pattern or format comes from anywhere but the rule.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.bundling import capabilities
from engine.bundling.errors import Finding
from engine.opa.binary import OpaBinary

_PUBLIC_IN_GATES = ("met", "evidence", "instants")
_CALENDAR = ("muster", "lib", "calendar")


def files(policies: Path) -> list[Path]:
    """The rules of a policy root, their tests left out, sorted."""
    return sorted(p for p in (policies / "muster").rglob("*.rego") if not p.name.endswith("_test.rego"))


def check(policies: Path, opa: OpaBinary) -> list[Finding]:
    """Every mistake in the rules of a policy root, which is an absolute path."""
    findings = _opa_check(policies, opa)
    for path in files(policies):
        findings += _shape(policies, path, opa)
    return findings


def _opa_check(policies: Path, opa: OpaBinary) -> list[Finding]:
    command = [str(opa.path), "check", "--strict", "--format", "json"]
    if (policies / capabilities.NAME).is_file():
        command += ["--capabilities", str(policies / capabilities.NAME)]
    if (policies / "schemas").is_dir():
        command += ["--schema", "schemas"]
    done = subprocess.run([*command, "muster"], capture_output=True, check=False, cwd=policies)
    if done.returncode == 0:
        return []
    try:
        errors = json.loads(done.stderr or done.stdout)["errors"]
    except (ValueError, KeyError):
        message = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
        return [Finding(file="muster", line=0, field="", message=message)]
    return [
        Finding(
            file=str((e.get("location") or {}).get("file", "muster")),
            line=int((e.get("location") or {}).get("row", 0)),
            field=str(e.get("code", "")),
            message=str(e.get("message", "")),
        )
        for e in errors
    ]


def _shape(policies: Path, path: Path, opa: OpaBinary) -> Iterator[Finding]:
    name = path.relative_to(policies)
    try:
        path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as exc:
        yield Finding(file=str(name), line=0, field="", message=f"is not UTF-8: byte {exc.start}")
        return
    command = [str(opa.path), "parse", "--format", "json", "--json-include", "locations", str(name)]
    done = subprocess.run(command, capture_output=True, check=False, cwd=policies)
    if done.returncode != 0:
        return  # OPA's own check says why
    tree = json.loads(done.stdout)
    for line, field, message, hint in (*_package(tree, name.parts[:-1]), *_heads(tree, name), *_uses(tree, name)):
        yield Finding(file=str(name), line=line, field=field, message=message, hint=hint)


def _package(tree: dict[str, Any], folder: tuple[str, ...]) -> Iterator[tuple[int, str, str, str]]:
    if tuple(str(part["value"]) for part in tree["package"]["path"][1:]) != folder:
        message = f"its package is not its folder, {'/'.join(folder)}"
        yield _line(tree["package"]), "package", message, "another room's rules would be changed from here"


def _heads(tree: dict[str, Any], name: Path) -> Iterator[tuple[int, str, str, str]]:
    if name.parts[:2] != ("muster", "gates"):
        return
    for rule in tree.get("rules") or ():
        head = str(rule["head"]["ref"][0]["value"])
        if head not in _PUBLIC_IN_GATES and not head.startswith("_"):
            hint = "state what is met, and let the router decide; a rule of the gate's own begins with _"
            yield _line(rule), head, "a gate has no such rule", hint


def _uses(tree: dict[str, Any], name: Path) -> Iterator[tuple[int, str, str, str]]:
    for line, builtin, operands in _calls(tree):
        if builtin.startswith("time."):
            if name.parts[:-1] != _CALENDAR:
                yield line, builtin, "time is the calendar's alone", "use data.muster.lib.calendar"
            elif any(operand["type"] == "array" for operand in operands):
                yield line, builtin, "may name a zone of the host", "give it nanoseconds: all of it is UTC"
        elif (builtin == "sprintf" or builtin.startswith("regex.")) and operands[0]["type"] != "string":
            yield line, builtin, "takes a pattern or format that is not a constant", "write the pattern out"


def _calls(node: Any) -> Iterator[tuple[int, str, list[Any]]]:
    """Every call in a syntax tree, (line, name, operands): whole expressions, and calls within them."""
    if isinstance(node, dict):
        terms = node.get("value") if node.get("type") == "call" else node.get("terms")
        if isinstance(terms, list) and terms and terms[0].get("type") == "ref":
            yield _line(terms[0]), ".".join(str(part["value"]) for part in terms[0]["value"]), terms[1:]
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _calls(child)


def _line(node: dict[str, Any]) -> int:
    return int(node["location"]["row"])
