"""Searches: what evaluations would permit, page after page, for whoever asks with a token of this very search."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
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
    ids,
    pointers,
    post,
    refused,
    size,
)
from tests.service.running import Service, export, instant

PEOPLE = 2500
TRAINED = [f"s-{n:04}" for n in range(0, PEOPLE, 50)]
USERS, RECORDS, THINGS = ({"type": kind} for kind in ("user", "record", "thing"))
WHO_EXPORTS = {**export("nobody"), "subject": USERS}


@pytest.fixture(scope="module")
def crowd(service: Service) -> Service:
    """2,500 people, of whom each 50th may export."""
    headers = {"Authorization": f"Bearer {service.token('admin')}"}
    with httpx.Client(base_url=service.url, headers=headers, timeout=60) as http, ThreadPoolExecutor(8) as pool:

        def put(n: int) -> int:
            fields = {"persona": "engineers", "customer": "acme"}
            return http.put(f"/v1/subjects/s-{n:04}", json=fields).status_code

        assert set(pool.map(put, range(PEOPLE))) == {200}
    passes = [("secure-data-export", "completed"), ("export-scenario", "proficient")]
    rows = [
        {
            "user": user,
            "module": module,
            "version": "1.0.0",
            "tier": tier,
            "passed_at": instant(-timedelta(days=3)),
            "reason": "test",
            "provenance": "test",
        }
        for user in TRAINED
        for module, tier in passes
    ]
    for start in range(0, len(rows), 50):
        service.call("author", "POST", "/v1/results/import", {"results": rows[start : start + 50]})
    return service


def pages(service: Service, kind: str, body: Any, **page: Any) -> Iterator[Any]:
    """Every page of a search; the first is asked for with `page`, the others with their token alone."""
    answer = answered(service, f"search/{kind}", {**body, "page": page})
    while True:
        yield answer
        token = answer["page"]["next_token"]
        if not token:
            return
        answer = answered(service, f"search/{kind}", {**body, "page": {"token": token}})


def test_everybody_who_may_is_found_once(crowd: Service) -> None:
    """Over all pages: exactly the trained, in order, whatever the size of a page; and nothing is recorded."""
    before = size(crowd)
    for limit in (7, 100, 5000):
        found = [*pages(crowd, "subject", WHO_EXPORTS, limit=limit)]
        names = [name for page in found for name in ids(page)]
        assert [name for name in names if name.startswith("s-")] == TRAINED
        assert names == sorted(set(names))
        assert all(len(ids(page)) == page["page"]["count"] <= limit for page in found)
        assert len(found) > 2  # a call looks at 512 candidates at most
    assert size(crowd) == before


def test_a_search_says_that_it_decides_nothing(crowd: Service) -> None:
    """`context.recorded` is false, and the revision is named that said so."""
    context = answered(crowd, "search/action", export(TRAINED[0]))["context"]
    assert context["recorded"] is False
    assert len(context["revision"]) == 64


def test_what_is_found_follows_the_ledger(crowd: Service) -> None:
    """A revocation, and a person who is deactivated, count in the very next search."""
    lost, left = TRAINED[3], TRAINED[4]
    assert {lost, left} <= {name for page in pages(crowd, "subject", WHO_EXPORTS) for name in ids(page)}
    evidence = crowd.decide(lost)["evidence"][0]
    crowd.call("admin", "POST", f"/v1/certifications/{evidence}/revocation", {"reason": "test"})
    crowd.person(left, active=False)
    found = {name for page in pages(crowd, "subject", WHO_EXPORTS) for name in ids(page)}
    assert found & set(TRAINED) == set(TRAINED) - {lost, left}
    crowd.person(left)
    crowd.train(lost)


def test_actions_are_searched_with_the_context_given(crowd: Service) -> None:
    """What an action's gate asks of the context counts; an action whose gate takes other types is none of them."""
    assert ids(answered(crowd, "search/action", export(TRAINED[0]))) == ["data-export"]
    assert ids(answered(crowd, "search/action", export(TRAINED[0], destination="elsewhere"))) == []
    assert ids(answered(crowd, "search/action", export(TRAINED[0], destination=7))) == []


@pytest.mark.alone
def test_a_page_without_a_limit_is_bounded(breaking: Service) -> None:
    """100 results, and a token, also where nobody asked for pages."""
    readable = {**asked(ALICE, {"name": "crash"}, THINGS), "context": {"number": "1"}}
    first = answered(breaking, "search/resource", readable)
    assert first["page"]["count"] == len(ids(first)) == 100
    found = [name for page in pages(breaking, "resource", readable) for name in ids(page)]
    assert found == [f"thing-{n:03}" for n in range(300)]
    assert len(ids(answered(breaking, "search/resource", {**readable, "page": {"limit": 10**9}}))) == 256


def test_a_page_of_nothing(certified: Service) -> None:
    """A limit of 0 is asked for, and given: no results, and where they begin."""
    body = asked(USERS, READ, RECORD_1, page={"limit": 0})
    answer = answered(certified, "search/subject", body)
    assert ids(answer) == []
    assert answer["page"]["next_token"]
    assert answered(certified, "search/subject", asked({"type": "x"}, READ, RECORD_1, page={"limit": 0}))["page"] == {
        "next_token": "",
        "count": 0,
    }


REPLACED: dict[str, tuple[str, Any, list[str]]] = {
    "the resource's": ("subject", asked(USERS, WRITE, {**RECORD_2, "properties": {"status": "active"}}), ["alice"]),
    "of each resource": ("resource", asked(ALICE, WRITE, {**RECORDS, "properties": {"status": "active"}}),
                         ["record-1", "record-2"]),
    "of each subject": ("subject", asked({**USERS, "properties": {"role": "admin"}}, WRITE, RECORD_2),
                        ["alice", "bob"]),
    "whole, by others": ("subject", asked(USERS, WRITE, {**RECORD_2, "properties": {"owner": "x"}}), []),
    "whole, by none": ("resource", asked({**BOB, "properties": {}}, WRITE, RECORDS), []),
    "not, where none are given": ("resource", asked(BOB, WRITE, RECORDS), ["record-2"]),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "body", "found"), REPLACED.values(), ids=REPLACED)
def test_properties_that_are_given_replace_the_stored_ones_whole(
    certified: Service, kind: str, body: Any, found: list[str]
) -> None:
    """And an evaluation of each result says the same as the search."""
    assert ids(answered(certified, f"search/{kind}", body)) == found
    names = {"subject": ["alice", "bob"], "resource": ["record-1", "record-2"]}[kind]
    for name in names:
        said = answered(certified, "evaluation", {**body, kind: {**body[kind], "id": name}})
        assert said["decision"] is (name in found)


def test_one_undecided_candidate_leaves_the_search_undecided(breaking: Service) -> None:
    """503 with the cause: who is missing from a list was said no to, and nobody said it."""
    body = {**asked(USERS, {"name": "crash"}, RECORD_1), "context": {"number": "no number"}}
    problem = refused(breaking, "search/subject", body, 503)
    assert problem["cause"] == "opa-error"
    assert ids(answered(breaking, "search/subject", {**body, "context": {"number": "1"}})) == ["alice", "bob"]
    unfit = refused(breaking, "search/resource", asked(ALICE, WRITE, RECORDS), 503)
    assert "record/record-3" in unfit["detail"]


def test_who_may_search(service: Service) -> None:
    """Gateways, apps and admins; 403 for everybody else, 401 for nobody."""
    for role in ("gateway", "app", "admin"):
        assert post(service, "search/action", export("zen-x"), role=role).status_code == 200
    service.person("zen-se")
    for role in ("author", "auditor", "user:zen-se"):
        refused(service, "search/action", export("zen-se"), 403, role=role)
    refused(service, "search/action", export("zen-x"), 401, role=None)


@pytest.mark.parametrize(
    ("page", "place"),
    [
        ([], "/page"),
        (None, "/page"),
        ({"limit": -1}, "/page/limit"),
        ({"limit": "1"}, "/page/limit"),
        ({"limit": 1.5}, "/page/limit"),
        ({"limit": True}, "/page/limit"),
        ({"limit": None}, "/page/limit"),
        ({"token": 7}, "/page/token"),
        ({"token": None}, "/page/token"),
        ({"token": ""}, "/page/token"),
        ({"properties": []}, "/page/properties"),
    ],
)
def test_a_malformed_page(certified: Service, page: Any, place: str) -> None:
    """400 with the place."""
    assert pointers(refused(certified, "search/subject", asked(USERS, READ, RECORD_1) | {"page": page})) == [place]


PAGED = asked(USERS, READ, RECORD_1, page={"limit": 1})


@pytest.fixture(scope="module")
def token(certified: Service) -> str:
    """The token behind Alice."""
    return str(answered(certified, "search/subject", PAGED)["page"]["next_token"])


def going_on(token: str, **changed: Any) -> dict[str, Any]:
    """The next page's request."""
    return {**PAGED, "page": {"token": token}, **changed}


def test_a_forged_token(certified: Service, token: str) -> None:
    """Whatever character is changed, cut or put in: 400, and the token itself is good still."""
    turned = ["-" if c != "-" else "_" for c in token]
    forged = [token[:i] + turned[i] + token[i + 1 :] for i in range(len(token))]
    forged += [
        token[:-1],
        token[1:],
        token + "A",
        token + "=",
        token + "\n",
        " " + token,
        token[:20] + "é" + token[20:],
    ]
    forged += ["x", "a" * 16, "a" * 400, "..", token.swapcase(), token[::-1], "\ud83d\ude00"]
    for text in forged:
        problem = refused(certified, "search/subject", going_on(text))
        assert pointers(problem) == ["/page/token"]
    assert ids(answered(certified, "search/subject", going_on(token))) == ["bob"]


OTHERS: dict[str, dict[str, Any]] = {
    "another type": {"subject": {"type": "robot"}},
    "with properties": {"subject": {"type": "user", "properties": {}}},
    "another action": {"action": WRITE},
    "action properties": {"action": {**READ, "properties": {"a": 1}}},
    "another resource": {"resource": RECORD_2},
    "resource properties": {"resource": {**RECORD_1, "properties": {"status": "active"}}},
    "a context": {"context": {"a": 1}},
    "an empty context": {"context": {}},
}


@pytest.mark.parametrize("changed", OTHERS.values(), ids=OTHERS)
def test_a_token_is_good_for_its_own_search_alone(certified: Service, token: str, changed: dict[str, Any]) -> None:
    """400 where any entity or the context is another; what the specification ignores does not matter."""
    assert pointers(refused(certified, "search/subject", going_on(token, **changed))) == ["/page/token"]


def test_a_token_of_another_endpoint(certified: Service, token: str) -> None:
    """A token of a subject search is none of a resource search with the same entities."""
    body = going_on(token, subject=ALICE)
    assert pointers(refused(certified, "search/resource", body)) == ["/page/token"]
    assert pointers(refused(certified, "search/action", body)) == ["/page/token"]


def test_what_is_ignored_does_not_matter_to_a_token(certified: Service, token: str) -> None:
    """The ID of what is searched for, unknown fields, and the order of keys."""
    body = {"foo": 1, **dict(reversed(going_on(token, subject={"id": "x", "type": "user"}).items()))}
    assert ids(answered(certified, "search/subject", body)) == ["bob"]


def test_a_page_goes_on_as_it_began(certified: Service, token: str) -> None:
    """Limit and properties are left out or repeated; others are refused."""
    assert ids(answered(certified, "search/subject", going_on(token, page={"token": token, "limit": 1}))) == ["bob"]
    for more, place in (({"limit": 2}, "/page/limit"), ({"properties": {"a": 1}}, "/page/properties")):
        assert pointers(refused(certified, "search/subject", going_on(token, page={"token": token, **more}))) == [place]


def test_a_token_of_another_tenant(certified: Service, token: str) -> None:
    """The same search of another tenant knows nothing of it, nor this one of that one's."""
    certified.muster("policy", "activate", "--tenant", "other", "--reason", "test")
    made = certified.muster(
        "token", "create", "--tenant", "other", "--role", "gateway", "--principal", "system:test-gateway", "--json"
    )
    certified.tokens["other"] = json.loads(made.stdout)["token"]
    theirs = answered(certified, "search/subject", PAGED, role="other")
    assert ids(theirs) == ["alice"]
    assert pointers(refused(certified, "search/subject", going_on(token), role="other")) == ["/page/token"]
    others = theirs["page"]["next_token"]
    assert pointers(refused(certified, "search/subject", going_on(others))) == ["/page/token"]
    assert ids(answered(certified, "search/subject", going_on(others), role="other")) == ["bob"]


def test_a_token_tells_nobody_where_it_stands(certified: Service, token: str) -> None:
    """It is sealed: two of the same position differ, and neither shows an ID."""
    again = answered(certified, "search/subject", PAGED)["page"]["next_token"]
    assert again != token
    assert len(again) == len(token)
    assert ids(answered(certified, "search/subject", going_on(again))) == ["bob"]


def test_searches_are_counted_by_what_came_of_them(breaking: Service) -> None:
    """In a family of their own, with their time: a search is no decision."""

    def count(name: str) -> float:
        lines = breaking.http("GET", "/metrics").text.splitlines()
        return sum(
            float(line.rpartition(" ")[2]) for line in lines if line.startswith(name) and 'kind="subject"' in line
        )

    def counts() -> list[float]:
        by_outcome = [
            count(f'muster_searches_total{{kind="subject",outcome="{each}",')
            for each in ("page", "refused", "undecided")
        ]
        return [*by_outcome, count("muster_search_seconds_count")]

    decisions = size(breaking)
    before = counts()
    body = {"subject": USERS, "action": READ, "resource": RECORD_1}
    answered(breaking, "search/subject", body)
    refused(breaking, "search/subject", {**body, "page": {"token": "nobody's"}})
    crash = {**body, "action": {"name": "crash"}, "context": {"number": "none"}}
    assert post(breaking, "search/subject", crash).status_code == 503
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 1, 1, 3]
    assert size(breaking) == decisions
