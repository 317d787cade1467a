"""Replay gives every answer again, and names whatever was bent."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.service.rewrite import rewrite
from tests.service.running import ROOT, Service, environment, export


@pytest.fixture(scope="module")
def told(new_service: Callable[[], Service], tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A stopped service whose log has decisions, certifications and approvals under two revisions."""
    service = new_service().start()
    for user in ("ada", "bea", "cem"):
        service.person(user)
    service.decide("ada")
    service.train("ada")
    service.decide("ada")
    asked = export("ada", customer="globex")
    approvals = [service.call(f"user:{u}", "POST", "/v1/approvals", asked)["approval_id"] for u in ("bea", "cem")]
    service.decide("ada", customer="globex", approvals=approvals)
    service.call("gateway", "GET", "/v1/is-certified?user=ada&scope=data-export")
    service.call("gateway", "POST", "/v1/decisions", {**export("ada"), "action": {"name": "fly"}})
    service.decide("stranger")
    source = tmp_path_factory.mktemp("source") / "companyos"
    shutil.copytree(ROOT / "bundles" / "companyos", source)
    text = (source / "exports.yaml").read_text("utf-8")
    (source / "exports.yaml").write_text(text.replace("warehouse://analytics", "warehouse://elsewhere"), "utf-8")
    service.muster("policy", "activate", MUSTER_BUNDLE=str(source))
    assert not service.decide("ada")["allow"]
    service.stop()
    return service


def replayed(service: Service, home: Path | None = None) -> Any:
    """The report of a replay."""
    more = {"MUSTER_HOME": str(home)} if home else {}
    return json.loads(service.muster("replay", "--json", want=None, **more).stdout)


def test_every_record_is_given_again_under_two_revisions(told: Service) -> None:
    """Decisions and certifications of both revisions, with no finding."""
    report = replayed(told)
    assert report["findings"] == []
    assert report["replayed"] >= 9


def test_it_works_in_a_fresh_directory(told: Service, tmp_path: Path) -> None:
    """Only the ledger, the bundles and the public key are needed."""
    for name in ("ledger.db", "version"):
        shutil.copy(told.home / name, tmp_path / name)
    shutil.copytree(told.home / "bundles", tmp_path / "bundles")
    (tmp_path / "keys").mkdir()
    shutil.copy(told.home / "keys" / "bundle.pub.pem", tmp_path / "keys" / "bundle.pub.pem")
    assert replayed(told, tmp_path)["findings"] == []


def bent(told: Service, tmp_path: Path, change: Callable[[dict[str, Any]], bool]) -> Any:
    """The findings about a copy of the log in which an operator changed payloads and made the tree anew."""
    home = tmp_path / "home"
    shutil.copytree(told.home, home)
    rewrite(home / "ledger.db", change)
    told.muster("ledger", "verify", want=None, MUSTER_HOME=str(home))
    return replayed(told, home)["findings"]


def test_an_invented_fact_is_named(told: Service, tmp_path: Path) -> None:
    """A certification that the ledger does not hold, in an input and its result, by an operator who owns every key."""

    def invent(payload: dict[str, Any]) -> bool:
        facts = payload.get("input", {}).get("facts", {})
        if payload.get("entrypoint") != "muster/gate/decision":
            return False
        tiers = facts.get("scopes", {}).get("data-export", {}).get("tiers")
        if not tiers or "proficient" not in tiers:
            return False
        tiers["proficient"]["expires_at"] = "2100-01-01T00:00:00.000Z"
        return True

    findings = bent(told, tmp_path, invent)
    assert any(f["check"] == "facts" for f in findings)


def test_a_changed_answer_is_named(told: Service, tmp_path: Path) -> None:
    """A deny that was turned into an allow."""

    def turn(payload: dict[str, Any]) -> bool:
        result = payload.get("result")
        if payload.get("entrypoint") != "muster/gate/decision" or not result or result["verdict"] != "deny":
            return False
        result.update(verdict="allow", allow=True, denials=[])
        return True

    assert any(f["check"] == "result" for f in bent(told, tmp_path, turn))


def test_another_revision_is_named(told: Service, tmp_path: Path) -> None:
    """A decision that claims a revision which was not active."""
    revisions = sorted(p.name.split(".")[0] for p in (told.home / "bundles").glob("*.tar.gz"))

    def swap(payload: dict[str, Any]) -> bool:
        if payload.get("entrypoint") != "muster/gate/decision":
            return False
        payload["revision"] = next(r for r in revisions if r != payload["revision"])
        return True

    assert any(f["check"] == "revision" for f in bent(told, tmp_path, swap))


@pytest.mark.parametrize(
    ("change", "which"),
    [
        ({"undecided": {"cause": "timeout", "detail": "x"}}, "record"),
        ({"evidence": []}, "record"),
        ({"strict": False}, "record"),
        ({"capabilities": "0" * 64}, "revision"),
        ({"caller": {"role": "app", "token": None, "principal": {"type": "system", "id": "operator"}}}, "caller"),
        ({"input": {}}, "record"),
        ({"reads": [["a"]]}, "record"),
    ],
)
def test_a_bent_record_is_named(told: Service, tmp_path: Path, change: dict[str, Any], which: str) -> None:
    """What a record says of itself has to fit; one that is none of ours is a finding, and the run goes on."""

    def bend(payload: dict[str, Any]) -> bool:
        result = payload.get("result")
        if payload.get("entrypoint") != "muster/gate/decision" or not result or result["verdict"] != "allow":
            return False
        payload.update(change)
        return True

    findings = bent(told, tmp_path, bend)
    assert any(f["check"] == which for f in findings), findings


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ((), "scope"),
        ((), "tier"),
        (("subject",), "properties"),
        (("subject",), "persona_of_old"),
        (("resource",), "owner"),
        (("action",), "reason"),
        (("context",), "incident"),
        (("facts",), "note"),
    ],
)
def test_what_no_rule_reads_is_named(told: Service, tmp_path: Path, path: tuple[str, ...], name: str) -> None:
    """The answer is the same whatever is added to an input; whoever reads the record would read that, too."""

    def add(payload: dict[str, Any]) -> bool:
        result = payload.get("result")
        if payload.get("entrypoint") != "muster/gate/decision" or not result or not result["gate"]:
            return False
        place = payload["input"]
        for part in path:
            place = place[part]
        place[name] = {"x": "y"}
        return True

    findings = bent(told, tmp_path, add)
    assert {f["check"] for f in findings} == {"facts"}
    assert any("its input has" in f["detail"] or "is not what the ledger held" in f["detail"] for f in findings)


@pytest.mark.parametrize("named", [None, [], "ada", [None]])
def test_an_entry_without_an_author_is_named(told: Service, tmp_path: Path, named: object) -> None:
    """Of whatever kind: a token, somebody of the directory, a result, a decision."""

    def strip(payload: dict[str, Any]) -> bool:
        for field in ("by", "caller"):
            if field in payload:
                payload[field] = named
                return True
        return False

    findings = [f for f in bent(told, tmp_path, strip) if f["check"] == "caller"]
    assert len({f["index"] for f in findings}) > 15
    assert {f["detail"] for f in findings} == {"it names nobody as its author"}


def test_a_token_that_was_never_issued_is_named(told: Service, tmp_path: Path) -> None:
    """A waiver, say, under a token that only stood in the projection."""

    def forge(payload: dict[str, Any]) -> bool:
        if "caller" not in payload or payload["caller"]["token"] is None:
            return False
        payload["caller"]["token"] = "01890000-0000-7000-8000-000000000000"
        return True

    assert any(f["check"] == "caller" for f in bent(told, tmp_path, forge))


def test_a_changed_byte_of_a_bundle_is_named(told: Service, tmp_path: Path) -> None:
    """A bundle whose content is not what its name says is not evaluated."""
    home = tmp_path / "home"
    shutil.copytree(told.home, home)
    bundle = next((home / "bundles").glob("*.tar.gz"))
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.chmod(0o600)
    bundle.write_bytes(data)
    findings = replayed(told, home)["findings"]
    assert findings
    assert any(bundle.name.split(".")[0] in f["detail"] for f in findings)


def test_a_selection_replays_only_what_it_takes(told: Service) -> None:
    """By subject, action and ID; an ID that is not there is said."""
    one = json.loads(told.muster("replay", "--json", "--subject", "stranger").stdout)
    assert one["replayed"] == 1
    assert json.loads(told.muster("replay", "--json", "--action", "fly").stdout)["replayed"] == 1
    assert told.muster("replay", "--id", "01890000-0000-7000-8000-000000000000", want=2).stderr


def test_the_environment_is_whole(told: Service, tmp_path: Path) -> None:
    """A home that is not there is a sentence, not a traceback."""
    env = environment(tmp_path / "none", told.home)
    done = told.muster("replay", want=2, **{k: v for k, v in env.items() if k == "MUSTER_HOME"})
    assert "muster init" in done.stderr
