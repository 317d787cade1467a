"""`Muster-Assertion` in Python, JavaScript and Go: each says the same of every case, and nothing but its own request
passes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from muster_client import Unproven, strict
from muster_client.assertions import Verifier
from muster_client.keys import parsed

from tests.adapters.gateway.edge import Edge
from tests.clients.cases import Case, cases
from tests.clients.conftest import KITS
from tests.clients.javascript import node


@pytest.fixture(scope="module")
def table(edge: Edge) -> list[Case]:
    """The cases of the running service."""
    return cases(edge)


def in_python(case: Case) -> str:
    """What the Python kit says."""
    verifier = Verifier(
        issuer=case["issuer"],
        audience=case["audience"],
        tenant=case["tenant"],
        key_of=parsed(json.dumps(case["jwks"]).encode()).get,
        clock=lambda: float(case["now"]),
    )
    path = case["target"].partition("?")[0].encode()
    try:
        proven = verifier.verify(case["token"], method=case["method"], path=path, decision_id=case["decision"])
    except Unproven as exc:
        return exc.code
    assert (proven.subject_type, proven.subject_id, proven.action) == ("user", "ada", "data-export")
    return "ok"


def test_python(table: list[Case]) -> None:
    """Each case is taken for what it is."""
    assert {each["name"]: in_python(each) for each in table} == {each["name"]: each["want"] for each in table}
    assert len({each["name"] for each in table}) == len(table) > 90


def test_javascript(table: list[Case]) -> None:
    """The same in JavaScript."""
    told = node([{**each, "what": "verify"} for each in table])
    got = {each["name"]: answer["got"] for each, answer in zip(table, told, strict=True)}
    assert got == {each["name"]: each["want"] for each in table}
    assert all(("claims" in answer) == (answer["got"] == "ok") for answer in told)


def test_go(table: list[Case], tmp_path: Path) -> None:
    """The same in Go, as its own test reads them; the folder is formatted and vetted."""
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(table))
    folder = KITS / "go"
    env = {**os.environ, "MUSTER_CASES": str(file)}
    words = ["go", "test", "-count=1", "-v", "./..."]
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("    --- PASS: TestCases/") == len(table)
    assert subprocess.run(["go", "vet", "./..."], cwd=folder, check=False).returncode == 0
    assert subprocess.run(["gofmt", "-l", "."], cwd=folder, capture_output=True, check=True).stdout == b""


def test_the_cases_that_ship_with_go_are_these(table: list[Case]) -> None:
    """`go test` alone has every case, of a service that ran once."""
    shipped = json.loads((KITS / "go" / "testdata" / "cases.json").read_text())
    assert [(each["name"], each["want"]) for each in shipped] == [(each["name"], each["want"]) for each in table]


@pytest.mark.parametrize(
    "document",
    ["", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "AA"}]}',
     '{"keys": [{"kty": "RSA", "kid": "a"}]}', '{"keys": [], "keys": []}', '{"keys": [1]}'],
)  # fmt: skip
def test_a_set_without_a_usable_key_is_none(document: str) -> None:
    """It does not replace the one that is there."""
    with pytest.raises(strict.NotJSON):
        parsed(document.encode())
