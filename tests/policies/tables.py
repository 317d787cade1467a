"""The rules in a bundle with the source of the tables of dates, and many questions in one evaluation of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from engine.bundling.source import scope_modules
from tests.policies.world import CAPABILITIES, HERE, POLICIES, Object, with_recertified

DATES = HERE / "dates"


def source() -> Object:
    """`data.source` of the tables, with the derived awards."""
    data: Object = yaml.safe_load((DATES / "source.yaml").read_text("utf-8"))
    by_scope = {name: scope_modules(scope, data["tracks"]) for name, scope in data["scopes"].items()}
    data["awards"] = {
        module: {"scopes": scopes, "modules": sorted({m for s in scopes for m in by_scope[s]})}
        for module in data["modules"]
        for scopes in [sorted(s for s, modules in by_scope.items() if module in modules)]
    }
    return with_recertified(data)


def bundle(opa: Path, folder: Path, policies: Path = POLICIES, gates: Object | None = None) -> Path:
    """The rules, without their tests, and the tables' source, as OPA packs them."""
    data = {"source": source(), "metadata": {"gates": gates or {}, "common": []}}
    shutil.copytree(policies / "muster", folder / "muster", ignore=shutil.ignore_patterns("*_test.rego"))
    (folder / "data.json").write_text(json.dumps(data), "utf-8")
    command = [str(opa), "build", "--capabilities", str(CAPABILITIES), "-b", ".", "-o", "../bundle.tar.gz"]
    subprocess.run(command, check=True, cwd=folder)
    return folder.parent / "bundle.tar.gz"


def answers(opa: Path, packed: Path, query: str, questions: object) -> Any:
    """What a query answers for an input, in one evaluation."""
    command = [str(opa), "eval", "--bundle", str(packed), "--stdin-input", "--format", "raw"]
    command += ["--strict-builtin-errors", query]
    done = subprocess.run(command, input=json.dumps(questions).encode(), check=True, capture_output=True)
    return json.loads(done.stdout)
