"""Access Evaluation on CompanyOS: the same decision as `/v1/decisions`, recorded the same, leased the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.adapters.authzen.asking import answered, pointers, post, record, refused, size
from tests.service.running import Service, export

OWN = {"decision_id", "at"}


@pytest.fixture(scope="module")
def ada(service: Service) -> Service:
    """The service, with Ada who is trained."""
    service.person("zen-ada")
    service.train("zen-ada")
    return service


def test_the_context_is_the_whole_answer_of_a_decision(ada: Service) -> None:
    """`context` is what `/v1/decisions` answers, and `decision` its `allow`; both protocols ask the same question."""
    for user, allow in (("zen-ada", True), ("zen-nobody", False)):
        own = ada.decide(user)
        said = answered(ada, "evaluation", export(user))
        assert said.keys() == {"decision", "context"}
        assert said["decision"] is own["allow"] is allow
        assert {k: v for k, v in said["context"].items() if k not in OWN} == {
            k: v for k, v in own.items() if k not in OWN
        }


def test_a_denial_says_what_would_cure_it(ada: Service) -> None:
    """A deny is 200, and each reason comes with its remedy."""
    ada.person("zen-bo")
    denials = answered(ada, "evaluation", export("zen-bo"))["context"]["denials"]
    assert [d["code"] for d in denials] == ["export-training"]
    assert denials[0]["remedy"]["module"] == "secure-data-export"


def test_it_is_recorded_before_it_is_answered(ada: Service) -> None:
    """One entry an answer, under the caller's name and request ID, with what was dropped of the request."""
    before = size(ada)
    body = export("zen-nobody", shoe_size=43)
    said = answered(ada, "evaluation", body, headers={"X-Request-ID": "zen-1"})
    assert size(ada) == before + 1
    entry = record(ada, said["context"]["decision_id"])
    assert entry["index"] == before
    assert entry["request_id"] == "zen-1"
    assert entry["caller"]["role"] == "gateway"
    assert entry["dropped"] == ["/context/shoe_size"]
    assert entry["request"]["subject"]["id"] == "zen-nobody"


def test_a_body_leads_to_its_lease(ada: Service) -> None:
    """The same bytes again lean on the first answer, and so does the same question of the other protocol."""
    body = {**export("zen-ada", ticket="LEASE-1"), "unknown": 1}
    first, second = (answered(ada, "evaluation", body)["context"]["decision_id"] for _ in range(2))
    own = ada.decide("zen-ada", ticket="LEASE-1")["decision_id"]
    assert record(ada, first)["leans_on"] is None
    assert record(ada, second)["leans_on"] == first
    assert record(ada, own)["leans_on"] == first


def test_a_lease_of_one_protocol_opens_no_door_of_another(ada: Service) -> None:
    """Bytes that AuthZEN has answered are still malformed for `/v1/decisions`, also with what its memory adds."""
    content = json.dumps({**export("zen-ada", ticket="DOOR-1"), "unknown": 1}).encode()
    for _ in range(2):
        answered(ada, "evaluation", content)
    headers = {"Content-Type": "application/json"}
    for prefix in (b"", b"AuthZEN ", b"muster "):
        answer = ada.http("POST", "/v1/decisions", role="gateway", content=prefix + content, headers=headers)
        assert answer.status_code == 400, prefix
    assert post(ada, "evaluation", b"muster " + content).status_code == 400


def test_a_batch_in_a_body_is_no_batch_of_the_single_endpoint(ada: Service) -> None:
    """`evaluations` is an unknown field of Access Evaluation, and a lease of it is none of the batch's."""
    content = json.dumps({**export("zen-ada", ticket="BOTH-1"), "evaluations": [{}, {}]}).encode()
    for _ in range(2):
        assert answered(ada, "evaluation", content)["decision"] is True
        assert len(answered(ada, "evaluations", content)["evaluations"]) == 2


BEHIND = {"Idempotency-Key": "1"}
"""By which the hot lane hands a request on to the application behind."""


@pytest.mark.parametrize("path", ["evaluation", "evaluations"])
@pytest.mark.parametrize(
    "body",
    [
        export("zen-ada"),
        {**export("zen-ada"), "evaluations": [{}, {"subject": 1}, {"context": {"ticket": 7}}]},
        {**export("zen-ada"), "evaluations": {}},
        export("zen-nobody"),
        {**export("zen-ada"), "subject": {"type": "user"}},
        {**export("zen-ada"), "context": {"ticket": 7}},
        {},
    ],
)
def test_both_lanes_answer_alike(ada: Service, path: str, body: Any) -> None:
    """The hot lane and the application behind it give one answer, and one text for each mistake."""

    def own(value: Any) -> Any:
        if isinstance(value, list):
            return [own(v) for v in value]
        return {k: own(v) for k, v in value.items() if k not in OWN} if isinstance(value, dict) else value

    hot, behind = (post(ada, path, body, headers=headers) for headers in ({}, BEHIND))
    assert hot.status_code == behind.status_code
    assert own(hot.json()) == own(behind.json())
    assert hot.headers["content-type"] == behind.headers["content-type"]


def test_who_may_ask(ada: Service) -> None:
    """401 without a token, with the scheme; 403 for a role that may not; a person asks about themselves alone."""
    unknown = post(ada, "evaluation", export("zen-ada"), role=None)
    assert unknown.status_code == 401
    assert unknown.headers["www-authenticate"].startswith("Bearer")
    refused(ada, "evaluation", export("zen-ada"), 403, role="auditor")
    refused(ada, "evaluation", export("zen-ada"), 403, role="user:zen-bo")
    assert answered(ada, "evaluation", export("zen-bo"), role="user:zen-bo")["decision"] is False


def test_a_field_that_the_gate_types_otherwise(ada: Service) -> None:
    """400 with the place, and nothing is recorded."""
    before = size(ada)
    assert pointers(refused(ada, "evaluation", export("zen-ada", ticket=7))) == ["/context/ticket"]
    assert size(ada) == before


def test_it_is_counted_like_any_decision(ada: Service) -> None:
    """In `muster_decisions_total`, by action and verdict."""

    def count() -> float:
        lines = ada.http("GET", "/metrics").text.splitlines()
        wanted = [x for x in lines if x.startswith("muster_decisions_total") and 'verdict="deny"' in x]
        return sum(float(line.rpartition(" ")[2]) for line in wanted if 'action="data-export"' in line)

    before = count()
    answered(ada, "evaluation", export("zen-nobody"))
    answered(ada, "evaluations", {"evaluations": [export("zen-nobody"), export("zen-nobody"), {}]})
    assert count() == before + 3


def test_the_endpoints_are_documented(ada: Service) -> None:
    """OpenAPI has them, with their bodies; null is no value of a field that may be left out."""
    paths = ada.http("GET", "/openapi.json").json()["paths"]
    for path in ("evaluation", "evaluations", "search/subject", "search/resource", "search/action"):
        body = paths[f"/access/v1/{path}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert {"subject", "resource"} <= body["properties"].keys()
        assert "null" not in json.dumps(body)
    assert "get" in paths["/.well-known/authzen-configuration"]


def test_without_a_public_address_there_is_no_metadata(ada: Service) -> None:
    """404 with a sentence that says what to set: an https address cannot be guessed."""
    for path in ("/.well-known/authzen-configuration", "/.well-known/jwks.json"):
        answer = ada.http("GET", path)
        assert answer.status_code == 404
        assert "MUSTER_PUBLIC_URL" in answer.json()["detail"]
