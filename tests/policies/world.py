"""The rules with a small source, as a bundle's data, and a real OPA that serves them over a Unix socket.

`data.metadata` is read here from the annotations, and the ways in it are asked of the rules, apart from the engine's
own build, so that the two can disagree.
"""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import yaml

HERE = Path(__file__).parent
POLICIES = HERE.parent.parent / "policies"
CAPABILITIES = POLICIES / "capabilities.json"

Object = dict[str, Any]


def metadata(opa: Path, policies: Path = POLICIES) -> Object:
    """`data.metadata`: what the annotations of the router and of every gate say."""
    command = [str(opa), "inspect", "-a", "-f", "json", str(policies / "muster")]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    packages = {
        tuple(part["value"] for part in a["path"][1:]): a["annotations"]["custom"]
        for a in found["annotations"]
        if a["annotations"]["scope"] == "package" and "custom" in a["annotations"]
    }
    gates = {path[2]: by_code(c) for path, c in packages.items() if path[:2] == ("muster", "gates")}
    told = {"gates": gates, "common": packages["muster", "gate"]["requirements"]}
    for action, ways in _ways(opa, policies, told).items():
        for code, way in ways.items():
            gates[action]["training"][code] = {**gates[action]["training"][code], "way": way}
    return told


def _ways(opa: Path, policies: Path, told: Object) -> Object:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as data:
        json.dump({"source": source(), "metadata": told}, data)
        data.flush()
        command = [str(opa), "eval", "--format", "raw", "--ignore", "*_test.rego", "--data", data.name]
        command += ["--data", str(policies / "muster"), "data.muster.gate.ways"]
        answer: Object = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return answer


def by_code(gate: Object) -> Object:
    """A gate as the router reads it: with its requirements by code, those of its own and those about training."""
    conditions: Object = {}
    training: Object = {}
    for requirement in gate["requirements"]:
        (training if "requires" in requirement else conditions)[requirement["code"]] = requirement
    return {"obligations": [], **gate, "conditions": conditions, "training": training}


def with_recertified(data: Object) -> Object:
    """A source, with the modules whose major version changed."""
    changed = {name: module["recertify"] for name, module in data["modules"].items() if "recertify" in module}
    return {**data, "recertified": changed}


def source() -> Object:
    """`data.source` of the fixture."""
    return with_recertified(cast(Object, yaml.safe_load((HERE / "source.yaml").read_text("utf-8"))))


@dataclass(frozen=True, slots=True)
class Served:
    """Rules that OPA serves; every answer is given with strict builtin errors."""

    http: httpx.Client
    metadata: Object

    def ask(self, entrypoint: str, question: object) -> Any:
        """The result, None where it is undefined."""
        answer = self.http.post(
            f"/v1/data/{entrypoint}", params={"strict-builtin-errors": "true"}, json={"input": question}
        )
        assert answer.status_code == 200, answer.text
        return answer.json().get("result")

    def decide(self, requests: Sequence[object]) -> list[Any]:
        """Many decisions in a few calls, in order; None where one is undefined."""
        answers: list[Any] = []
        for start in range(0, len(requests), 500):
            asked = {str(i): request for i, request in enumerate(requests[start : start + 500])}
            found = cast(Mapping[str, Any], self.ask("muster/gate/decisions", {"requests": asked}))
            answers += [found.get(key) for key in asked]
        return answers


@contextmanager
def serving(opa: Path, policies: Path = POLICIES) -> Iterator[Served]:
    """Serve a policy folder, without its tests, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="muster-") as folder:
        path, data = Path(folder) / "s", Path(folder) / "data.json"
        told = metadata(opa, policies)
        data.write_text(json.dumps({"source": source(), "metadata": told}), "utf-8")
        command = [str(opa), "run", "--server", "--addr", f"unix://{path}", "--log-level", "error"]
        command += ["--ignore", "*_test.rego", "--disable-telemetry", str(policies / "muster"), str(data)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        try:
            _wait(process, path)
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://opa", timeout=60) as http:
                yield Served(http, told)
        finally:
            process.terminate()
            process.communicate(timeout=10)


def _wait(process: subprocess.Popen[bytes], path: Path) -> None:
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        time.sleep(0.01)  # between two looks; the condition is the answer
    output = process.stderr.read() if process.poll() is not None and process.stderr else b"no answer"
    raise AssertionError(f"OPA does not serve the rules: {output!r}")
