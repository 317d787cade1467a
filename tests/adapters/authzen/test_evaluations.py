"""Access Evaluations: independent requests, each with its own record, answered in their places."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.adapters.authzen.asking import (
    ALICE,
    BOB,
    READ,
    RECORD_1,
    RECORD_2,
    WRITE,
    answered,
    asked,
    pointers,
    post,
    record,
    refused,
    size,
)
from tests.service.running import Service, export


def decisions(answer: Any) -> list[bool]:
    """The decisions of a batch, in order."""
    return [each["decision"] for each in answer["evaluations"]]


def test_each_item_has_its_own_record(certified: Service) -> None:
    """As many entries as items, each about what that item asked, and all of them under the caller's request ID."""
    before = size(certified)
    body = {"evaluations": [asked(ALICE, READ, RECORD_1), asked(BOB, WRITE, RECORD_1), asked(BOB, READ, RECORD_2)]}
    answer = answered(certified, "evaluations", body, headers={"X-Request-ID": "batch-7"})
    assert size(certified) == before + 3
    for item, said in zip(body["evaluations"], answer["evaluations"], strict=True):
        entry = record(certified, said["context"]["decision_id"])
        assert entry["request"]["subject"]["id"] == item["subject"]["id"]
        assert entry["request"]["action"]["name"] == item["action"]["name"]
        assert entry["request"]["resource"]["id"] == item["resource"]["id"]
        assert entry["answer"]["allow"] is said["decision"]
        assert entry["request_id"] == "batch-7"


def test_items_that_share_ids_are_not_mixed(certified: Service) -> None:
    """Items of equal IDs, and other types, properties or actions, get in a batch what they get alone."""
    chance = random.Random(7)
    items = [
        asked(
            {
                "type": chance.choice(["user", "record", "robot"]),
                "id": chance.choice(["alice", "bob"]),
                **chance.choice([{}, {"properties": {}}, {"properties": {"role": "admin"}}]),
            },
            chance.choice([READ, WRITE, {"name": "delete", "properties": {"soft": True}}, {"name": "delete"}]),
            {
                "type": chance.choice(["record", "record", "user"]),
                "id": chance.choice(["record-1", "record-2", "alice"]),
                **chance.choice([{}, {"properties": {"status": "archived"}}, {"properties": {"status": "active"}}]),
            },
        )
        for _ in range(200)
    ]
    alone = [answered(certified, "evaluation", item)["decision"] for item in items]
    assert decisions(answered(certified, "evaluations", {"evaluations": items})) == alone
    assert 10 < sum(alone) < 190


def test_defaults_are_whole_entities(certified: Service) -> None:
    """An item's entity replaces the default whole: nothing of the default's properties is left in it."""
    body = {
        "subject": {**BOB, "properties": {"role": "admin"}},
        "action": WRITE,
        "resource": {**RECORD_2, "properties": {"status": "archived"}},
        "evaluations": [{}, {"subject": {**BOB, "properties": {"team": "a"}}}, {"subject": BOB}],
    }
    assert decisions(answered(certified, "evaluations", body)) == [True, False, True]  # the last one has stored ones


def test_context_is_replaced_whole(breaking: Service) -> None:
    """An item's context stands in the place of the default one."""
    body = {
        **asked(ALICE, {"name": "crash"}, RECORD_1),
        "context": {"number": "1"},
        "evaluations": [{}, {"context": {"number": "2"}}, {"context": {}}, {"context": {"other": "1"}}],
    }
    assert decisions(answered(breaking, "evaluations", body)) == [True, False, False, False]


BROKEN: dict[str, tuple[Any, list[str]]] = {
    "no resource": ({}, ["/resource"]),
    "no object": (7, [""]),
    "null": (None, [""]),
    "an array": ([], [""]),
    "null for an entity": ({"resource": None}, ["/resource"]),
    "without an id": ({"resource": {"type": "record"}}, ["/resource/id"]),
    "a default does not complete it": ({"subject": {"type": "user"}, "resource": RECORD_1}, ["/subject/id"]),
    "an empty id": ({"resource": {"type": "record", "id": ""}}, ["/resource/id"]),
    "a long id": ({"resource": {"type": "record", "id": "x" * 1025}}, ["/resource/id"]),
    "context is a text": ({"resource": RECORD_1, "context": "x"}, ["/context"]),
    "properties are null": ({"resource": {**RECORD_1, "properties": None}}, ["/resource/properties"]),
    "a name is a number": ({"resource": RECORD_1, "action": {"name": 1}}, ["/action/name"]),
    "all of it": ({"subject": 1, "action": 2, "resource": 3}, ["/subject", "/action", "/resource"]),
    "a type of the gate's": (
        {"resource": {**RECORD_1, "properties": {"status": 7}}, "action": WRITE},
        ["/resource/properties/status"],
    ),
}


@pytest.mark.parametrize(("item", "places"), BROKEN.values(), ids=BROKEN)
def test_a_broken_item_is_answered_in_its_place(certified: Service, item: Any, places: list[str]) -> None:
    """It is denied with code `invalid` and the places; the items around it are as ever; nothing is recorded of it."""
    before = size(certified)
    body = {"subject": ALICE, "action": READ, "evaluations": [{"resource": RECORD_1}, item, {"resource": RECORD_2}]}
    answer = answered(certified, "evaluations", body)
    assert decisions(answer) == [True, False, True]
    context = answer["evaluations"][1]["context"]
    assert context["code"] == "invalid"
    assert context["reason"]
    assert pointers(context) == places
    assert size(certified) == before + 2


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"subject": "alice"}, "/subject"),
        ({"subject": {"type": "user"}}, "/subject/id"),
        ({"action": None}, "/action"),
        ({"context": []}, "/context"),
        ({"evaluations": {}}, "/evaluations"),
        ({"evaluations": None}, "/evaluations"),
        ({"evaluations": "all"}, "/evaluations"),
        ({"options": []}, "/options"),
        ({"options": {"evaluations_semantic": "first"}}, "/options/evaluations_semantic"),
        ({"options": {"evaluations_semantic": None}}, "/options/evaluations_semantic"),
        ({"options": {"evaluations_semantic": ["execute_all"]}}, "/options/evaluations_semantic"),
    ],
)
def test_what_is_wrong_at_the_top_is_wrong_for_all(certified: Service, changed: Any, place: str) -> None:
    """400 with the place, and nothing is decided."""
    before = size(certified)
    body = {**asked(ALICE, READ, RECORD_1), "evaluations": [{}], **changed}
    assert place in pointers(refused(certified, "evaluations", body))
    assert size(certified) == before


ALLOWED, DENIED = {"action": READ}, {"action": {"name": "delete"}}
ORDERS: dict[str, tuple[str, list[Any], list[bool], int]] = {
    "all": ("execute_all", [ALLOWED, DENIED, ALLOWED], [True, False, True], 3),
    "first deny": ("deny_on_first_deny", [ALLOWED, DENIED, ALLOWED], [True, False], 2),
    "no deny": ("deny_on_first_deny", [ALLOWED, ALLOWED], [True, True], 2),
    "a broken item is a deny": ("deny_on_first_deny", [ALLOWED, {"resource": 1}, ALLOWED], [True, False], 1),
    "first permit": ("permit_on_first_permit", [DENIED, ALLOWED, ALLOWED], [False, True], 2),
    "no permit": ("permit_on_first_permit", [DENIED, DENIED], [False, False], 2),
    "a broken item is no permit": ("permit_on_first_permit", [{"resource": 1}, ALLOWED, DENIED], [False, True], 1),
}


@pytest.mark.parametrize(("semantic", "items", "expected", "recorded"), ORDERS.values(), ids=ORDERS)
def test_where_a_batch_ends(
    certified: Service, semantic: str, items: list[Any], expected: list[bool], recorded: int
) -> None:
    """The answer ends where the evaluation did, and what was not evaluated has no record."""
    before = size(certified)
    body = {
        "subject": ALICE,
        "resource": RECORD_1,
        "evaluations": items,
        "options": {"evaluations_semantic": semantic, "another": 1},
    }
    assert decisions(answered(certified, "evaluations", body)) == expected
    assert size(certified) == before + recorded


@pytest.mark.parametrize("semantic", ["execute_all", "deny_on_first_deny", "permit_on_first_permit"])
def test_one_undecided_item_leaves_the_batch_undecided(breaking: Service, semantic: str) -> None:
    """503 with the cause and the record of it, whatever the others are; never a deny in its place."""
    crash = {"action": {"name": "crash"}, "context": {"number": "no number"}}
    first = {"execute_all": READ, "deny_on_first_deny": READ, "permit_on_first_permit": {"name": "delete"}}[semantic]
    body = {
        **asked(ALICE, first, RECORD_1),
        "evaluations": [{}, crash, {}],
        "options": {"evaluations_semantic": semantic},
    }
    answer = post(breaking, "evaluations", body)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    problem = answer.json()
    assert problem["cause"] == "opa-error"
    assert record(breaking, problem["decision_id"])["undecided"]["cause"] == "opa-error"
    assert decisions(answered(breaking, "evaluations", {**body, "evaluations": [{}, {}]}))  # and the next is answered


def test_an_item_that_is_not_reached_cannot_leave_it_undecided(breaking: Service) -> None:
    """A short circuit before it means that nobody asked."""
    crash = {"action": {"name": "crash"}, "context": {"number": "no number"}}
    body = {
        **asked(ALICE, READ, RECORD_1),
        "evaluations": [{}, crash],
        "options": {"evaluations_semantic": "permit_on_first_permit"},
    }
    assert decisions(answered(breaking, "evaluations", body)) == [True]


def test_a_source_that_does_not_fit_its_gate_decides_nothing(breaking: Service) -> None:
    """A stored property of the wrong type is no mistake of the caller's: 503; what the request says replaces it."""
    body = asked(ALICE, WRITE, {"type": "record", "id": "record-3"})
    problem = refused(breaking, "evaluation", body, 503)
    assert "record/record-3" in problem["detail"]
    assert "/resource/properties/status" in problem["detail"]
    body["resource"]["properties"] = {"status": "active"}
    assert answered(breaking, "evaluation", body)["decision"] is True


def test_items_lean_on_answers_given_before(service: Service) -> None:
    """Leases serve a batch like any question."""
    service.person("zen-cy")
    service.train("zen-cy")
    first = answered(service, "evaluation", export("zen-cy"))["context"]["decision_id"]
    answer = answered(service, "evaluations", {"evaluations": [export("zen-cy"), export("zen-cy")]})
    for each in answer["evaluations"]:
        assert record(service, each["context"]["decision_id"])["leans_on"] == first


def test_nobody_asks_about_others_in_a_batch(service: Service) -> None:
    """Access is asked for each item's subject, before anything is decided: 403 for all, and no entry."""
    service.person("zen-di")
    mine, others = export("zen-di"), export("zen-nobody")
    assert decisions(answered(service, "evaluations", {"evaluations": [mine, mine]}, role="user:zen-di"))
    before = size(service)
    problem = refused(service, "evaluations", {"evaluations": [mine, others]}, 403, role="user:zen-di")
    assert "/evaluations/1" in problem["detail"]
    assert size(service) == before


def test_the_largest_batch(certified: Service) -> None:
    """256 items are decided, each with its record."""
    before = size(certified)
    body = {**asked(ALICE, READ, RECORD_1), "evaluations": [{}] * 256}
    assert decisions(answered(certified, "evaluations", body)) == [True] * 256
    assert size(certified) == before + 256


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"evaluations": [{}] * 257}, 400),
        ({"evaluations": [{}] * 10_000}, 400),
        ({"evaluations": [asked(ALICE, READ, RECORD_1)] * 10_000}, 413),
    ],
    ids=["257", "10,000 empty ones", "10,000 whole ones"],
)
def test_larger_batches_are_refused(certified: Service, body: Any, status: int) -> None:
    """With a problem document, and nothing is decided; the next request is answered."""
    before = size(certified)
    refused(certified, "evaluations", {**asked(ALICE, READ, RECORD_1), **body}, status)
    assert size(certified) == before
    assert answered(certified, "evaluation", asked(ALICE, READ, RECORD_1))["decision"] is True


@pytest.fixture(scope="module")
def slow(new_service: Callable[[], Service]) -> Service:
    """A service that lets one caller ask once a second, ten times at first."""
    made = new_service()
    made.env |= {"MUSTER_CALLER_RATE": "1", "MUSTER_CALLER_BURST": "10"}
    return made.start()


def test_a_batch_costs_what_its_items_cost(slow: Service) -> None:
    """It is let in like one call, and whoever sent it waits until all of its items are paid for."""
    assert len(answered(slow, "evaluations", {"evaluations": [export("nobody")] * 30})["evaluations"]) == 30
    answer = post(slow, "evaluation", export("nobody"))
    assert answer.status_code == 429
    assert 15 <= int(answer.headers["retry-after"]) <= 21
    assert post(slow, "search/action", export("nobody")).status_code == 429
    assert post(slow, "evaluation", export("nobody"), role="app").status_code == 200  # another caller


def test_what_a_short_circuit_leaves_out_costs_nothing(slow: Service) -> None:
    """Only what was evaluated is paid for."""
    batch = {"evaluations": [export("nobody")] * 30, "options": {"evaluations_semantic": "deny_on_first_deny"}}
    assert len(answered(slow, "evaluations", batch, role="admin")["evaluations"]) == 1
    assert post(slow, "evaluation", export("nobody"), role="admin").status_code == 200


def test_a_search_costs_as_many_decisions_as_it_has_candidates(slow: Service) -> None:
    """Each of its candidates counts like a question of its own."""
    for n in range(20):
        slow.person(f"rate-{n}")
    slow.tokens["searcher"] = slow.call("admin", "POST", "/v1/tokens", {"role": "app", "principal": "system:s"})[
        "token"
    ]
    body = {**export("nobody"), "subject": {"type": "user"}}
    assert answered(slow, "search/subject", body, role="searcher")["results"] == []
    answer = post(slow, "search/subject", body, role="searcher")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 5
