"""Two hundred learners at once, each taking a quiz, while decisions go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.demo import answers
from tests.learning.learner import LESSON
from tests.service.running import Service, export

LEARNERS = 200


@pytest.mark.alone
def test_two_hundred_learners_at_once(new_service: Callable[[], Service]) -> None:
    """No lost answer, no double result, no 5xx: every one saves item by item and hands in twice."""
    service = new_service().start()
    app, admin, gateway = (service.token(role) for role in ("app", "admin", "gateway"))
    statuses: list[int] = []

    async def send(http: httpx.AsyncClient, token: str, method: str, path: str, body: Any = None) -> Any:
        answer = await http.request(method, path, json=body, headers={"Authorization": f"Bearer {token}"})
        statuses.append(answer.status_code)
        return answer.json()

    async def learn(http: httpx.AsyncClient, number: int) -> tuple[str, dict[str, Any], Any]:
        user = f"crowd-{number}"
        await send(http, admin, "PUT", f"/v1/subjects/{user}", {"persona": "engineers", "customer": "acme"})
        token = (await send(http, app, "POST", "/v1/sessions", {"user": user}))["token"]
        attempt = await send(http, token, "POST", f"/v1/modules/{LESSON}/attempts", {})
        path, save = f"/v1/attempts/{attempt['attempt_id']}", attempt["save"]
        right = answers.right(attempt) if number % 4 else answers.with_mistakes(attempt, 1)
        kept: dict[str, list[str]] = {}
        for item, chosen in right.items():
            kept[item] = chosen
            save = (await send(http, token, "PUT", f"{path}/draft", {"save": save, "answers": kept}))["save"]
        body = {"save": save, "answers": right}
        both = await asyncio.gather(*(send(http, token, "POST", f"{path}/answers", body) for _ in range(2)))
        assert both[0]["result_id"] == both[1]["result_id"]
        return user, right, both[0]

    async def decide(http: httpx.AsyncClient, going: asyncio.Event) -> int:
        made = 0
        while not going.is_set():
            await send(http, gateway, "POST", "/v1/decisions", export(f"crowd-{made % LEARNERS}"))
            made += 1
        return made

    async def crowd() -> tuple[list[tuple[str, dict[str, Any], Any]], int]:
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        async with httpx.AsyncClient(base_url=service.url, timeout=120, limits=limits) as http:
            over = asyncio.Event()
            deciding = [asyncio.create_task(decide(http, over)) for _ in range(8)]
            done = await asyncio.gather(*(learn(http, n) for n in range(LEARNERS)))
            over.set()
            return list(done), sum(await asyncio.gather(*deciding))

    done, decisions = asyncio.run(crowd())
    assert decisions > LEARNERS / 4, "decisions went on meanwhile"
    assert set(statuses) == {200}, {s: statuses.count(s) for s in set(statuses)}
    entries: list[Any] = []
    start: int | None = 0
    while start is not None:
        page = service.call("auditor", "GET", f"/v1/ledger/entries?start={start}&limit=1000")
        entries += page["entries"]
        start = page["next"]
    results = {}
    for entry in entries:
        if entry["kind"] == "result":
            value = json.loads(entry["payload"])
            assert value["person"]["id"] not in results, "a double result"
            results[value["person"]["id"]] = value
    assert len(results) == LEARNERS
    for user, right, told in done:
        assert results[user]["responses"] == {i: sorted(a) for i, a in right.items()}
        assert results[user]["passed"] is told["passed"] is bool(int(user.partition("-")[2]) % 4)
    service.muster("ledger", "verify")
    service.muster("replay")
