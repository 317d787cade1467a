"""The certification scenario of AuthZEN's Authorization API 1.0, line by line, on `examples/authzen` as it is shipped.

The ID of each test is that of the scenario's section: c-2-2-1 is section 2.2.1 of chapter 2.
"""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.adapters.authzen.asking import (
    ACTIVE,
    ADMIN,
    ALICE,
    ARCHIVED,
    BOB,
    CONTEXT,
    PUBLIC,
    READ,
    RECORD_1,
    RECORD_2,
    WRITE,
    answered,
    asked,
    ids,
    post,
)
from tests.service.running import Service

SOFT = {"name": "delete", "properties": {"soft": True}}
HARD = {"name": "delete", "properties": {"soft": False}}

RULES = {
    "c-1-4 rule 1": (asked(ALICE, READ, RECORD_1), True),
    "c-1-4 rule 2": (asked(ALICE, WRITE, RECORD_1), True),
    "c-1-4 rule 3": (asked(BOB, READ, RECORD_1), True),
    "c-1-4 rule 4": (asked(BOB, WRITE, RECORD_1), False),
    "c-1-4 rule 5, another ID": (asked(ALICE, WRITE, {**RECORD_1, "properties": {"status": "archived"}}), False),
    "c-1-4 rule 6, another ID": (
        asked({**ALICE, "properties": {"role": "admin"}}, WRITE, {**RECORD_1, "properties": {"status": "archived"}}),
        True,
    ),
    "c-2-2-1": (asked(ALICE, READ, RECORD_1), True),
    "c-2-2-2": (asked(BOB, WRITE, RECORD_1), False),
    "c-2-2-3": (asked(ALICE, READ, RECORD_1, context=CONTEXT), True),
    "c-2-2-4": (asked(ALICE, WRITE, ARCHIVED), False),
    "c-2-2-5": (asked(ADMIN, WRITE, ARCHIVED), True),
    "c-2-2-6": (asked(ALICE, SOFT, RECORD_1), True),
    "c-2-2-7": (asked(ALICE, HARD, RECORD_1), False),
    "c-2-2-8": (
        asked(
            {**ALICE, "properties": {"department": "Sales", "role": "manager"}},
            {**READ, "properties": {"method": "GET"}},
            {**RECORD_1, "properties": {"status": "active", "owner": "bob"}},
        ),
        True,
    ),
    "c-2-2-9": (asked(ALICE, READ, RECORD_1, foo="bar", futureField={"nested": True}), True),
}


@pytest.mark.parametrize(("body", "decision"), RULES.values(), ids=RULES)
def test_evaluation(certified: Service, body: Any, decision: bool) -> None:
    """The decision is the fixture's, a boolean, and the context an object (c-2-3-1, c-2-3-2)."""
    answer = answered(certified, "evaluation", body)
    assert answer["decision"] is decision
    assert isinstance(answer["context"], dict)


@pytest.mark.parametrize(("body", "decision"), RULES.values(), ids=RULES)
def test_context_changes_no_decision_of_the_fixture(certified: Service, body: Any, decision: bool) -> None:
    """c-1-6: the eight decisions hold whether context is there or not."""
    assert answered(certified, "evaluation", {**body, "context": CONTEXT})["decision"] is decision


MALFORMED: dict[str, Any] = {
    "c-2-4-1 no subject": asked(None, READ, RECORD_1),
    "c-2-4-1 no action": asked(ALICE, None, RECORD_1),
    "c-2-4-1 no resource": asked(ALICE, READ, None),
    "c-2-4-2 subject without type": asked({"id": "alice"}, READ, RECORD_1),
    "c-2-4-2 subject without id": asked({"type": "user"}, READ, RECORD_1),
    "c-2-4-2 action without name": asked(ALICE, {}, RECORD_1),
    "c-2-4-2 resource without type": asked(ALICE, READ, {"id": "record-1"}),
    "c-2-4-2 resource without id": asked(ALICE, READ, {"type": "record"}),
    "c-2-4-4 malformed": b'{"subject": ',
    "c-2-4-5 empty": b"",
    "c-2-4-6 subject is a string": asked("alice", READ, RECORD_1),
    "c-2-4-6 action.name is a number": asked(ALICE, {"name": 123}, RECORD_1),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("path", ["evaluation", "evaluations"])
def test_malformed(certified: Service, path: str, body: Any) -> None:
    """c-2-4: 400, also where the batch endpoint is asked one question."""
    assert post(certified, path, body).status_code == 400


@pytest.mark.parametrize("path", ["evaluation", "evaluations", "search/subject", "search/resource", "search/action"])
def test_c_2_4_3_another_content_type(certified: Service, path: str) -> None:
    """400 for a Content-Type that is not application/json."""
    headers = {"Content-Type": "text/plain"}
    assert post(certified, path, asked(ALICE, READ, RECORD_1), headers=headers).status_code == 400


@pytest.mark.parametrize("path", ["evaluation", "evaluations", "search/subject", "search/resource", "search/action"])
def test_c_2_5_request_id(certified: Service, path: str) -> None:
    """c-2-5-1, c-5: a request's ID comes back, on answers and on refusals; c-2-5-2: without one all is well."""
    body, sent = asked(ALICE, READ, RECORD_1), {"X-Request-ID": "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"}
    answer = post(certified, path, body, headers=sent)
    assert answer.status_code == 200
    assert answer.headers.get_list("x-request-id") == list(sent.values())
    assert post(certified, path, b"", headers=sent).headers.get_list("x-request-id") == list(sent.values())
    assert post(certified, path, body).status_code == 200


def test_c_2_6_idempotency(certified: Service) -> None:
    """The same request gets the same decision each time."""
    said = {answered(certified, "evaluation", asked(BOB, WRITE, RECORD_1))["decision"] for _ in range(10)}
    assert said == {False}


BATCHES: dict[str, tuple[Any, list[bool]]] = {
    "c-3-2-1": (
        {"subject": ALICE, "action": READ, "evaluations": [{"resource": RECORD_1}, {"resource": RECORD_2}]},
        [True, True],
    ),
    "c-3-2-2": (
        {"subject": BOB, "resource": RECORD_1, "evaluations": [{"action": READ}, {"action": WRITE}]},
        [True, False],
    ),
    "c-3-2-3": (
        {"subject": ALICE, "action": WRITE, "evaluations": [{"resource": ACTIVE}, {"resource": ARCHIVED}]},
        [True, False],
    ),
    "c-3-2-4": (
        {"action": WRITE, "resource": ARCHIVED, "evaluations": [{"subject": ALICE}, {"subject": ADMIN}]},
        [False, True],
    ),
    "c-3-2-5": (
        {"evaluations": [asked(ALICE, READ, RECORD_1), asked(BOB, WRITE, RECORD_1)]},
        [True, False],
    ),
    "c-3-2-6": (
        {
            "subject": ALICE,
            "action": READ,
            "context": {"time": "2025-06-27T18:03-07:00"},
            "evaluations": [
                {"resource": RECORD_1},
                {"resource": RECORD_2, "context": {"time": "2025-06-27T19:00-07:00", "source": "batch-override"}},
            ],
        },
        [True, True],
    ),
    "c-3-2-7": (
        {"subject": ALICE, "action": WRITE, "resource": ACTIVE, "evaluations": [{}, {"resource": ARCHIVED}]},
        [True, False],
    ),
    "c-3-4-1": (
        {
            "subject": ALICE,
            "action": READ,
            "options": {"evaluations_semantic": "execute_all"},
            "evaluations": [{"resource": RECORD_1}, {}],
        },
        [True, False],
    ),
}


@pytest.mark.parametrize(("body", "decisions"), BATCHES.values(), ids=BATCHES)
def test_batch(certified: Service, body: Any, decisions: list[bool]) -> None:
    """As many answers as questions (c-3-3-1), in their order (c-3-3-2), each a boolean, none at the top (c-3-3-4)."""
    answer = answered(certified, "evaluations", body)
    assert [each["decision"] for each in answer["evaluations"]] == decisions
    assert all(isinstance(each.get("context", {}), dict) for each in answer["evaluations"])
    assert "decision" not in answer


@pytest.mark.parametrize("more", [{}, {"evaluations": []}], ids=["c-3-4-2 missing", "c-3-4-3 empty"])
def test_a_batch_of_nothing_is_one_evaluation(certified: Service, more: Any) -> None:
    """c-3-4-2 and c-3-4-3: the answer of an Access Evaluation."""
    answer = answered(certified, "evaluations", {**asked(ALICE, READ, RECORD_1), **more})
    assert answer["decision"] is True
    assert "evaluations" not in answer


USERS, RECORDS = {"type": "user"}, {"type": "record"}
SEARCHES: dict[str, tuple[str, Any, set[str]]] = {
    "c-4-2-1": ("subject", asked(USERS, READ, RECORD_1), {"alice", "bob"}),
    "c-4-2-2": ("subject", asked(USERS, READ, RECORD_1, context=CONTEXT), {"alice", "bob"}),
    "c-4-2-3": ("subject", asked(ALICE, READ, RECORD_1), {"alice", "bob"}),
    "c-4-2-4": ("subject", asked(USERS, WRITE, ARCHIVED), {"bob"}),
    "c-4-3-1": ("resource", asked(ALICE, READ, RECORDS), {"record-1", "record-2"}),
    "c-4-3-2": ("resource", asked(ALICE, READ, RECORDS, context=CONTEXT), {"record-1", "record-2"}),
    "c-4-3-3": ("resource", asked(ALICE, READ, RECORD_1), {"record-1", "record-2"}),
    "c-4-3-4": ("resource", asked(ADMIN, WRITE, RECORDS), {"record-2"}),
    "c-4-4-1": ("action", asked(ALICE, None, RECORD_1), {"read", "write"}),
    "c-4-4-2": ("action", asked(ALICE, None, RECORD_1, context=CONTEXT), {"read", "write"}),
    "c-4-4-3": ("action", asked(ADMIN, None, ARCHIVED), {"read", "write"}),
    "c-4-5-4": ("subject", asked(USERS, READ, RECORD_1, page={}), {"alice", "bob"}),
    "c-4-6-1 subject": ("subject", asked(USERS, READ, {**RECORD_1, "id": "nonexistent-record"}), set()),
    "c-4-6-1 resource": ("resource", asked({**ALICE, "id": "nonexistent-user"}, READ, RECORDS), set()),
    "c-4-6-1 action": ("action", asked({**ALICE, "id": "nonexistent-user"}, None, RECORD_1), set()),
    "c-4-6-2 subject": ("subject", asked({"type": "spaceship"}, READ, RECORD_1), set()),
    "c-4-6-2 resource": ("resource", asked(ALICE, READ, {"type": "spaceship"}), set()),
    "c-4-6-2 action": ("action", asked({"type": "spaceship", "id": "1"}, None, RECORD_1), set()),
}


@pytest.mark.parametrize(("kind", "body", "found"), SEARCHES.values(), ids=SEARCHES)
def test_search(certified: Service, kind: str, body: Any, found: set[str]) -> None:
    """Exactly who is permitted; entities of the type that was asked for, or actions by name."""
    answer = answered(certified, f"search/{kind}", body)
    assert set(ids(answer)) == found
    for each in answer["results"]:
        assert each.keys() == ({"name"} if kind == "action" else {"type", "id"})
        assert kind == "action" or each["type"] == body[kind]["type"]


@pytest.mark.parametrize(("kind", "body", "found"), SEARCHES.values(), ids=SEARCHES)
def test_what_was_found_is_permitted(certified: Service, kind: str, body: Any, found: set[str]) -> None:
    """Section 8.1 of the specification: a result, asked about by itself, is permitted."""
    for name in found:
        asks = {**body, kind: {"name": name} if kind == "action" else {**body[kind], "id": name}}
        assert answered(certified, "evaluation", asks)["decision"] is True


def test_c_4_5_pages(certified: Service) -> None:
    """c-4-5-1 to c-4-5-3: a page of one, and the rest by its token, without the limit as in c-4-5-2."""
    body = asked(USERS, READ, RECORD_1, page={"limit": 1})
    first = answered(certified, "search/subject", body)
    assert ids(first) == ["alice"]
    assert first["page"]["count"] == 1
    assert first["page"]["next_token"]
    second = answered(certified, "search/subject", {**body, "page": {"token": first["page"]["next_token"]}})
    assert ids(second) == ["bob"]
    assert second["page"] == {"next_token": "", "count": 1}


SEARCHES_MALFORMED: dict[str, tuple[str, Any]] = {
    "c-4-7-1 subject without action": ("subject", asked(USERS, None, RECORD_1)),
    "c-4-7-1 resource without subject": ("resource", asked(None, READ, RECORDS)),
    "c-4-7-1 action without resource": ("action", asked(ALICE, None, None)),
    "c-4-7-2 subject, resource without id": ("subject", asked(USERS, READ, RECORDS)),
    "c-4-7-2 resource, subject without id": ("resource", asked(USERS, READ, RECORDS)),
    "c-4-7-2 action, subject without id": ("action", asked(USERS, None, RECORD_1)),
}


@pytest.mark.parametrize(("kind", "body"), SEARCHES_MALFORMED.values(), ids=SEARCHES_MALFORMED)
def test_a_malformed_search(certified: Service, kind: str, body: Any) -> None:
    """c-4-7: 400; what may be left out depends on what is searched for."""
    assert post(certified, f"search/{kind}", body).status_code == 400


def test_c_5_unknown_fields_are_ignored_everywhere(certified: Service) -> None:
    """c-5 (5): also inside entities, items, options and pages."""
    odd = {"foo": {"bar": [1]}}
    entities = {"subject": {**ALICE, **odd}, "action": {**READ, **odd}, "resource": {**RECORD_1, **odd}}
    batch = {**entities, "evaluations": [odd], "options": odd}
    assert answered(certified, "evaluation", {**entities, **odd})["decision"] is True
    assert answered(certified, "evaluations", batch)["evaluations"][0]["decision"] is True
    assert ids(answered(certified, "search/action", {**entities, "page": odd})) == ["read", "write"]


def part(text: str) -> bytes:
    """One part of a JWT."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_c_6_metadata(certified: Service) -> None:
    """c-6-1 to c-6-5: the endpoints are those that answer, and the signature is by a key of the published set."""
    answer = certified.http("GET", "/.well-known/authzen-configuration")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document["policy_decision_point"] == PUBLIC
    endpoints = {name: url for name, url in document.items() if name.endswith("_endpoint")}
    assert endpoints.keys() == {
        "access_evaluation_endpoint",
        "access_evaluations_endpoint",
        "search_subject_endpoint",
        "search_resource_endpoint",
        "search_action_endpoint",
    }
    for url in endpoints.values():
        assert url.startswith(f"{PUBLIC}/")
        path = urlsplit(url).path.removeprefix("/access/v1/")
        assert post(certified, path, asked(ALICE, READ, RECORD_1)).status_code == 200
    assert "capabilities" not in document  # parameters without values are omitted

    keys = certified.http("GET", urlsplit(document["jwks_uri"]).path).json()["keys"]
    signed, _, signature = document["signed_metadata"].rpartition(".")
    header, claims = (json.loads(part(text)) for text in signed.split("."))
    key = next(key for key in keys if key["kid"] == header["kid"])
    assert (header["alg"], key["crv"]) == ("EdDSA", "Ed25519")
    Ed25519PublicKey.from_public_bytes(part(key["x"])).verify(part(signature), signed.encode())
    assert claims["iss"] == PUBLIC
    assert "signed_metadata" not in claims
    assert {name: claims[name] for name in document if name != "signed_metadata"} == {
        name: value for name, value in document.items() if name != "signed_metadata"
    }
