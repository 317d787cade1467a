"""Decisions over HTTP: what a gateway is told, and what stands in the record."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.service.running import Service, export, instant


def codes(answer: dict[str, Any]) -> list[str]:
    """The codes of an answer's denials, in their order."""
    return [d["code"] for d in answer["denials"]]


def test_a_deny_names_every_reason_at_once(service: Service) -> None:
    """An empty request by an untrained person is denied for every requirement of the gate."""
    service.person("ann")
    asked = {**export("ann"), "context": {}, "resource": {"type": "dataset", "id": "customers"}}
    answer = service.call("gateway", "POST", "/v1/decisions", asked)
    gates = service.call("gateway", "GET", "/v1/gates")["gates"]
    gate = next(g for g in gates if g["action"] == "data-export")
    assert codes(answer) == [r["code"] for r in gate["requirements"]]
    assert answer["allow"] is False
    for denial in answer["denials"]:
        assert denial["title"]
        assert denial["message"]
        assert denial["requirement"]
        assert denial["remedy"]


def test_a_pass_holds_in_the_very_next_decision(service: Service) -> None:
    """Denied, then trained, then allowed with the certification as evidence."""
    service.person("bob")
    denied = service.decide("bob")
    assert codes(denied) == ["export-training"]
    assert denied["denials"][0]["requirement"] == {
        "scope": "data-export",
        "tier": "proficient",
        "within": "P12M",
    }
    assert denied["denials"][0]["remedy"]["module"] == "secure-data-export"
    service.passed("bob", "secure-data-export", "completed")
    assert service.decide("bob")["denials"][0]["remedy"]["module"] == "export-scenario"
    earned = service.passed("bob", "export-scenario", "proficient")["certifications"]
    assert {c["tier"] for c in earned} >= {"proficient", "certified"}
    allowed = service.decide("bob")
    assert (allowed["allow"], allowed["verdict"], allowed["mode"], allowed["denials"]) == (
        True,
        "allow",
        "enforce",
        [],
    )
    assert set(allowed["evidence"]) & {c["id"] for c in earned}
    assert allowed["valid_until"] > allowed["at"]


def test_the_record_says_all_that_was_asked_and_seen(service: Service) -> None:
    """A decision is read back with its request, facts, caller and what was dropped of it."""
    service.person("cleo")
    answer = service.decide("cleo", mood="curious")
    record = service.call("auditor", "GET", f"/v1/decisions/{answer['decision_id']}")
    assert record["dropped"] == ["/context/mood"]
    assert record["caller"]["role"] == "gateway"
    assert record["caller"]["principal"] == {"type": "system", "id": "test-gateway"}
    assert record["answer"]["verdict"] == "deny"
    assert record["revision"] == answer["revision"]
    assert record["now"] <= record["at"] == answer["at"]
    assert "mood" not in record["request"]["context"]


def test_unknown_people_and_actions_are_recorded_denies(service: Service) -> None:
    """Nobody, and nothing that is registered: 200, a deny, and a record."""
    nobody = service.decide("nobody-at-all")
    assert "subject-active" in codes(nobody)
    other = service.call("gateway", "POST", "/v1/decisions", {**export("nobody"), "action": {"name": "fly"}})
    assert codes(other) == ["unknown-action"]
    robot = service.call("gateway", "POST", "/v1/decisions", {**export("x"), "subject": {"type": "robot", "id": "r2"}})
    assert robot["allow"] is False
    for answer in (nobody, other, robot):
        assert service.call("auditor", "GET", f"/v1/decisions/{answer['decision_id']}")["answer"]["verdict"] == "deny"


def test_inactive_people_are_denied(service: Service) -> None:
    """A leaver keeps their training and loses the right."""
    service.person("dan")
    service.train("dan")
    assert service.decide("dan")["allow"]
    service.person("dan", active=False)
    assert codes(service.decide("dan")) == ["subject-active"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"destination": "warehouse://analytics/"}, "destination-allowlisted"),
        ({"destination": "WAREHOUSE://ANALYTICS"}, "destination-allowlisted"),
        ({"ticket": ""}, "ticket-present"),
        ({"ticket": "REQ-1\n"}, "ticket-present"),
        ({"columns": []}, "columns-safe"),
        ({"columns": ["customer_id", "password_hash"]}, "columns-safe"),
        ({"columns": ["Customer_Id"]}, "columns-safe"),
        ({"customer": ""}, "customer-named"),
        ({"customer": "globex"}, "dual-approval"),
    ],
)
def test_each_condition_denies_by_itself(service: Service, changed: dict[str, Any], code: str) -> None:
    """One thing wrong in an export is one more reason for a no."""
    service.person("eve")
    assert code in codes(service.decide("eve", **changed))


def test_approvals_count_for_one_request_by_two_others(service: Service) -> None:
    """Two different active approvers of exactly this request, neither of them its subject."""
    for user in ("fay", "gus", "hal", "ida"):
        service.person(user)
    service.train("fay")
    request = export("fay", customer="globex")

    def approve(user: str, asked: dict[str, Any] = request) -> str:
        return str(service.call(f"user:{user}", "POST", "/v1/approvals", asked)["approval_id"])

    gus, hal, own = approve("gus"), approve("hal"), approve("fay")
    twice = approve("gus")

    def ask(*approvals: str) -> list[str]:
        return codes(service.decide("fay", customer="globex", approvals=list(approvals)))

    assert ask(gus, hal) == []
    assert ask(gus) == ["dual-approval"]
    assert ask(gus, gus) == ["dual-approval"]
    assert ask(gus, twice) == ["dual-approval"]
    assert "approvers-independent" in ask(gus, hal, own)
    assert "dual-approval" in ask(gus, "01890000-0000-7000-8000-000000000000")
    other = approve("hal", export("fay", customer="globex", ticket="REQ-2"))
    assert ask(gus, other) == ["dual-approval"]
    service.person("hal", active=False)
    assert ask(gus, hal) == ["dual-approval"]


def test_a_waiver_lets_pass_and_certifies_nothing(service: Service) -> None:
    """A waived requirement is met, with the waiver as evidence; `certified` stays false, the status says why."""
    service.person("jan")
    until = instant(timedelta(days=2))
    waiver = {"user": "jan", "scope": "data-export", "reason": "migration weekend", "until": until}
    made = service.call("admin", "POST", "/v1/waivers", waiver)
    answer = service.decide("jan")
    assert answer["allow"] is True
    assert made["waiver_id"] in answer["evidence"]
    assert answer["valid_until"] == until
    certified = service.call("app", "GET", "/v1/is-certified?user=jan&scope=data-export")
    assert (certified["certified"], certified["status"]) == (False, "waived")


def test_a_revocation_ends_the_right_until_it_is_earned_anew(service: Service) -> None:
    """Revoked: denied, status `revoked`; passes from before do not help, new ones do."""
    service.person("kay")
    service.train("kay")
    held = service.call("app", "GET", "/v1/subjects/kay")["scopes"]["data-export"]["tiers"]["proficient"]["evidence"]
    service.call("admin", "POST", f"/v1/certifications/{held}/revocation", {"reason": "shared a password"})
    assert codes(service.decide("kay")) == ["export-training"]
    assert service.call("app", "GET", "/v1/is-certified?user=kay&scope=data-export")["status"] == "revoked"
    service.passed("kay", "secure-data-export", "completed", days_ago=1)
    service.passed("kay", "export-scenario", "proficient", days_ago=1)
    assert codes(service.decide("kay")) == ["export-training"]
    service.passed("kay", "secure-data-export", "completed", days_ago=0)
    service.passed("kay", "export-scenario", "proficient", days_ago=0)
    assert service.decide("kay")["allow"]


def test_training_ends_after_its_window(service: Service) -> None:
    """Passed thirteen months ago: denied, expired."""
    service.person("leo")
    service.passed("leo", "secure-data-export", "completed", days_ago=400)
    service.passed("leo", "export-scenario", "proficient", days_ago=400)
    assert codes(service.decide("leo")) == ["export-training"]
    answer = service.call("app", "GET", "/v1/is-certified?user=leo&scope=data-export")
    assert (answer["certified"], answer["status"], answer["remaining_days"]) == (False, "expired", 0)


def test_production_change_asks_for_both_tracks_and_a_window(service: Service) -> None:
    """Core and Advanced of Operations, in a window declared for this resource, with a change ticket."""
    service.person("mia", persona="operations")
    window = {
        "title": "t", "reason": "r", "starts_at": instant(-timedelta(minutes=5)),
        "ends_at": instant(timedelta(minutes=5)), "resources": [{"type": "service", "id": "billing"}],
    }  # fmt: skip
    declared = service.call("admin", "POST", "/v1/change-windows", window)["change_window_id"]
    asked = {
        "subject": {"type": "user", "id": "mia"}, "action": {"name": "prod-change"},
        "resource": {"type": "service", "id": "billing"}, "context": {"change": "CHG-1", "change_window": declared},
    }  # fmt: skip
    assert codes(service.call("gateway", "POST", "/v1/decisions", asked)) == [
        "core-training",
        "advanced-training",
    ]
    for need in service.call("app", "GET", "/v1/next-required-training?user=mia&action=prod-change")["required"]:
        service.passed("mia", need["module"], need["tier_after"])
    answer = service.call("gateway", "POST", "/v1/decisions", asked)
    assert answer["allow"], answer
    assert answer["valid_until"] == window["ends_at"]
    assert declared in answer["evidence"]
    elsewhere = {**asked, "resource": {"type": "service", "id": "search"}}
    assert codes(service.call("gateway", "POST", "/v1/decisions", elsewhere)) == ["change-window"]


def test_is_certified_is_recorded_for_gateways_and_shown_to_learners(service: Service) -> None:
    """A gateway's question has a record; a person's own is a display, about themselves only."""
    service.person("nia")
    service.train("nia")
    asked = service.call("gateway", "GET", "/v1/is-certified?user=nia&scope=data-export&tier=proficient")
    assert asked["certified"] is True
    assert 355 <= asked["remaining_days"] <= 365
    record = service.call("auditor", "GET", f"/v1/decisions/{asked['decision_id']}")
    assert record["answer"]["certified"] is True
    shown = service.call("user:nia", "GET", "/v1/is-certified?user=nia&scope=data-export")
    assert "decision_id" not in shown
    assert shown["certified"] is True
    service.call("user:nia", "GET", "/v1/is-certified?user=bob&scope=data-export", want=403)


def test_a_person_as_resource_stands_by_ref(service: Service) -> None:
    """Nobody's ID but the subject's gets into a record."""
    service.person("ora")
    service.person("pia")
    asked = {**export("ora"), "resource": {"type": "user", "id": "pia"}}
    answer = service.call("gateway", "POST", "/v1/decisions", asked)
    text = service.http("GET", f"/v1/ledger/entries/{answer['decision_id']}", role="auditor").text
    assert "pia" not in text
    assert "ora" in text
