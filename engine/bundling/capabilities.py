"""The allowlist of builtins: a policy may call what `capabilities.json` lists, and what that may list is limited here.

A decision is a pure function, so nothing that reads a clock, the network, chance or the host may be listed. OPA flags
some of these as nondeterministic; the rest is listed below, with the reason. Checked at check, at build, and again when
a revision is activated.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.bundling.errors import Finding
from engine.opa.binary import OpaBinary
from ledger import canonical, strict
from ledger.canonical import JSON
from ledger.errors import StrictError

NAME = "capabilities.json"

_KEYS = frozenset({"builtins", "allow_net", "features", "future_keywords", "wasm_abi_versions"})
_MOST_BYTES, _MOST_ITEMS = 1024 * 1024, 1024

_REFUSED = (
    (r"crypto\.x509\..*", "reads the clock to check certificates"),
    (r"io\.jwt\..*", "verifies tokens by the clock, or signs"),
    (
        r"time\.(?!date$|parse_rfc3339_ns$|weekday$).*",
        "reads a clock, a zone of the host, or adds months by overflowing",
    ),
    (r"http\..*|net\..*|providers\..*", "is about the network"),
    (r"rand\..*|uuid\.rfc4122", "is chance"),
    (r"opa\.runtime|rego\.metadata\..*|rego\.parse_module", "looks at the evaluator itself"),
    (r"print|internal\.print|trace", "leaves the decision"),
    (r"numbers\.range.*", "makes as many numbers as an input asks for"),
    (
        r"regex\.template_match|regex\.globs_match|regex\.find.*|regex\.replace|glob\..*|re_match",
        "takes patterns apart",
    ),
    (r"json\.match_schema|json\.verify_schema|graphql\..*|strings\.render_template", "takes a program as its input"),
    (r"crypto\.hmac\.md5|crypto\.md5|crypto\.(hmac\.)?sha1", "is a broken hash"),
)
"""Builtins that no allowlist may name, with the reason."""


def check(path: Path, opa: OpaBinary) -> list[Finding]:
    """What is wrong with an allowlist, for this OPA."""
    try:
        return check_text(path.read_text("utf-8"), opa, NAME)
    except FileNotFoundError:
        hint = "list the builtins that the rules use"
        return [Finding(file=NAME, line=0, field="", message="is missing", hint=hint)]
    except (OSError, UnicodeDecodeError) as exc:
        return [Finding(file=NAME, line=0, field="", message=f"cannot be read: {exc}")]


def check_text(text: str, opa: OpaBinary, name: str) -> list[Finding]:
    """The same for an allowlist's text."""
    try:
        listed = _listed(text)
        builtins = sorted(((str(b["name"]), b) for b in listed["builtins"]), key=lambda named: named[0])
    except (StrictError, KeyError, TypeError) as exc:
        return [Finding(file=name, line=0, field="builtins", message=f"is not a list of capabilities: {exc}")]
    findings = []
    known = _known(opa)
    for key in sorted(listed.keys() - _KEYS):  # OPA takes "Builtins" for "builtins", and so would be told another list
        message, hint = "is no part of an allowlist", "remove it; OPA reads keys in any case"
        findings.append(Finding(file=name, line=0, field=key, message=message, hint=hint))
    for builtin, declared in builtins:
        reason = _reason(builtin, declared, known)
        if reason:
            line = text[: text.find(f'"{builtin}"')].count("\n") + 1
            hint = "take it off the allowlist"
            findings.append(Finding(file=name, line=line, field=builtin, message=reason, hint=hint))
    if listed.get("allow_net") != []:
        message, hint = "must be there and empty", 'write "allow_net": []'
        findings.append(Finding(file=name, line=0, field="allow_net", message=message, hint=hint))
    return findings


def digest(text: str) -> str:
    """SHA-256 (hex) of an allowlist's canonical form."""
    return hashlib.sha256(canonical.encode(_listed(text))).hexdigest()


def _listed(text: str) -> dict[str, Any]:
    """An allowlist as it is written: OPA and Python differ on what a key says that is there twice."""
    value = strict.read(text.encode(), max_bytes=_MOST_BYTES, max_array=_MOST_ITEMS)
    if not isinstance(value, dict):
        raise StrictError("", "is not an object")
    return value


def _reason(name: str, declared: JSON, known: dict[str, JSON]) -> str | None:
    if name not in known:
        return "is not a builtin of this OPA"
    ours = known[name]
    assert isinstance(ours, dict)
    if ours.get("nondeterministic"):
        return "is nondeterministic"
    for pattern, reason in _REFUSED:
        if re.fullmatch(pattern, name):
            return reason
    if declared != ours:
        return "is declared otherwise than by this OPA"
    return None


@lru_cache(maxsize=4)
def _known(opa: OpaBinary) -> dict[str, JSON]:
    done = subprocess.run([str(opa.path), "capabilities", "--current"], capture_output=True, check=True)
    return {b["name"]: b for b in json.loads(done.stdout)["builtins"]}
