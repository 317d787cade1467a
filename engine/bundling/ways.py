"""What the rules say once for all questions of a revision: the way to each requirement, asked of OPA at build.

No rule is written a second time for it: the router's own `ways` is evaluated over the data that the bundle will hold.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from engine.bundling.errors import Finding
from engine.opa.binary import OpaBinary
from ledger import canonical
from ledger.canonical import JSON

_QUERY: Final = "data.muster.gate.ways"


def write(policies: Path, data: dict[str, Any], opa: OpaBinary) -> list[Finding]:
    """Put each requirement's `way` beside it, in `training` of its gate. A router that knows no ways gets none."""
    command = [str(opa.path), "eval", "--format", "json", "--strict-builtin-errors", "--ignore", "*_test.rego"]
    with tempfile.TemporaryDirectory(prefix="muster-ways-") as folder:
        held = Path(folder) / "data.json"
        held.write_bytes(canonical.encode(data))
        command += ["--data", "muster", "--data", str(held), _QUERY]
        done = subprocess.run(command, capture_output=True, check=False, cwd=policies)
    if done.returncode != 0:
        message = f"opa eval {_QUERY}: {(done.stderr or done.stdout).decode('utf-8', 'replace').strip()}"
        return [Finding(file="muster/gate", line=0, field="ways", message=message)]
    answers: list[Any] = json.loads(done.stdout).get("result") or []
    ways: dict[str, dict[str, JSON]] = answers[0]["expressions"][0]["value"] if answers else {}
    for action, gate in data["metadata"]["gates"].items():
        told = ways.get(action, {})
        gate["training"] = {c: {**r, "way": told[c]} if c in told else r for c, r in gate["training"].items()}
    return []
