"""What the source knows of entities: of the revision that decides, and in every process of a service."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.opa.binary import OpaBinary
from tests.adapters.authzen.asking import ALICE, EXAMPLE, READ, RECORD_1, answered, asked, ids, record
from tests.service.running import PLAIN, ROOT, Service, environment, export, make_home


def codes(answer: Any) -> list[str]:
    """What an answer denies for."""
    return [denial["code"] for denial in answer["context"]["denials"]]


def test_an_activation_changes_what_is_stored(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """Stored properties are a revision's: what a body led to under the one before is not given under the next."""
    bundle = tmp_path / "companyos"
    shutil.copytree(ROOT / "bundles" / "companyos", bundle)
    service = new_service()
    service.env["MUSTER_BUNDLE"] = str(bundle)
    service.start()
    service.person("ada")
    service.train("ada")
    body = export("ada")
    del body["resource"]["properties"]

    def activated(customer: str) -> Any:
        (bundle / "entities.yaml").write_text(f"dataset:\n  customers: {{customer: {customer}, owner: nobody}}\n")
        service.muster("policy", "activate")
        return [answered(service, "evaluation", body) for _ in range(3)]

    assert codes(answered(service, "evaluation", body)) == ["customer-named", "dual-approval", "approvers-independent"]
    for said in activated("acme"):
        assert said["decision"] is True
    entry = record(service, said["context"]["decision_id"])
    assert entry["leans_on"] is not None
    assert entry["request"]["resource"]["properties"] == {"customer": "acme"}
    assert entry["dropped"] == []  # what the source says and no gate declares, nobody has sent
    for said in activated("other"):
        assert codes(said) == ["dual-approval", "approvers-independent"]
    replaced = {**body, "resource": {**body["resource"], "properties": {"customer": "acme"}}}
    assert answered(service, "evaluation", replaced)["decision"] is True
    none = {**body, "resource": {**body["resource"], "properties": {}}}
    assert "customer-named" in codes(answered(service, "evaluation", none))
    service.muster("replay")


@pytest.fixture
def workers(tmp_path: Path, opa_binary: OpaBinary) -> Service:
    """The certification fixture, answered by two workers; not started yet."""
    policies, bundle = str(EXAMPLE / "policies"), str(EXAMPLE / "bundle")
    env = environment(tmp_path / "home", opa_binary.path, MUSTER_POLICIES=policies, MUSTER_BUNDLE=bundle)
    made = Service(home=tmp_path / "home", env=env, tokens={"admin": make_home(env)})
    made.arguments = ("serve", "--workers", "2")
    return made


def test_workers_share_a_search(workers: Service) -> None:
    """A token that one worker has sealed is opened by each; a batch is decided whole by whichever has it."""
    workers.start()
    try:
        body = asked({"type": "user"}, READ, RECORD_1, page={"limit": 1})
        headers = {"Authorization": f"Bearer {workers.token('gateway')}"}

        def fresh(path: str, body: Any) -> Any:
            """By a connection of its own, so by either worker."""
            answer = httpx.post(f"{workers.url}/access/v1/{path}", json=body, headers=headers, timeout=30, verify=PLAIN)
            assert answer.status_code == 200, answer.text
            return answer.json()

        token = fresh("search/subject", body)["page"]["next_token"]
        for _ in range(12):
            assert ids(fresh("search/subject", {**body, "page": {"token": token}})) == ["bob"]
            said = fresh("evaluations", {**asked(ALICE, READ, RECORD_1), "evaluations": [{}] * 20})
            assert [each["decision"] for each in said["evaluations"]] == [True] * 20
    finally:
        workers.stop()
