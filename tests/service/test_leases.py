"""Answers by lease: what OPA would say at that instant, from the ledger as it stands, and never a moment longer."""

from __future__ import annotations

import asyncio
import functools
import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import runtime as running_runtime
from engine.api.app import OperatorSocket, create_app
from engine.api.hot import HotLane
from engine.decide.asking import Asking, Decided
from engine.decide.decider import Decider
from engine.decide.facts import gather
from engine.decide.questions import Question
from engine.decide.record import GATE
from engine.decide.request import Entity, Request
from engine.home import Home
from engine.opa.binary import OpaBinary
from engine.runtime import DEFAULT_TENANT, Runtime
from engine.settings import load
from ledger import canonical, instants
from ledger.sqlite import SqliteLedger
from tests.service.running import Service, copy_home, environment, export

STEPS = 400
DAY_MS = 86_400_000
PEOPLE = ("ana", "bo", "cy")
MODULES = (("secure-data-export", "completed"), ("export-scenario", "proficient"))


class Hand:
    """A clock that is moved by hand."""

    def __init__(self, start_ms: int) -> None:
        self.ms = start_ms

    def wall_ns(self) -> int:
        """See Clock."""
        return self.ms * 1_000_000

    def boot_ns(self) -> int:
        """See Clock."""
        return self.ms * 1_000_000


class Inside:
    """Muster in this process, under a clock that the test moves."""

    def __init__(self, runtime: Runtime, public: httpx.AsyncClient, operator: httpx.AsyncClient, clock: Hand) -> None:
        self.runtime, self.public, self.operator, self.clock = runtime, public, operator, clock
        self.leased: Counter[bool] = Counter()
        self.gateway, self.expires_ms = "", 0

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request of the operator's."""
        answer = await self.operator.request(method, path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def ask(self, body: dict[str, Any]) -> Any:
        """One question of a gateway's, by the hot lane."""
        if self.clock.ms >= self.expires_ms:
            wanted = {"role": "gateway", "principal": "system:edge", "expires": "P3650D"}
            self.gateway = (await self.call("POST", "/v1/tokens", wanted))["token"]
            self.expires_ms = self.clock.ms + 3650 * DAY_MS
        headers = {"Authorization": f"Bearer {self.gateway}"}
        answer = await self.public.post("/v1/decisions", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def passed(self, user: str, module: str, tier: str, days_ago: int) -> None:
        """A result from elsewhere."""
        at = instants.from_ms(self.clock.ms - days_ago * DAY_MS)
        row = {"user": user, "module": module, "version": "1.0.0", "tier": tier, "passed_at": at}
        await self.call("POST", "/v1/results/import", {"results": [{**row, "reason": "t", "provenance": "t"}]})

    async def opa_says(self, body: dict[str, Any]) -> Any:
        """What OPA answers to a body now, over the ledger as it stands."""
        active, reader = self.runtime.active(DEFAULT_TENANT), self.runtime.reader
        request = Request(
            subject=Entity(**body["subject"]),
            action=body["action"]["name"],
            resource=Entity(**body["resource"]),
            context=body["context"],
        )
        gate = active.catalogue.gate(request.action)
        seen = gather(reader, DEFAULT_TENANT, gate, request)
        question = {
            "subject": seen.subject,
            "action": seen.asserted.action,
            "resource": seen.resource,
            "context": seen.asserted.context,
            "facts": seen.facts,
            "now": self.runtime.now(DEFAULT_TENANT),
        }
        return await active.evaluator.evaluate(GATE, canonical.encode(question))

    async def decide(self, body: dict[str, Any]) -> Any:
        """The answer, held against what OPA says."""
        answer = await self.ask(body)
        record = await self.call("GET", f"/v1/decisions/{answer['decision_id']}")
        self.leased[record["leans_on"] is not None] += 1
        own = {k: v for k, v in answer.items() if k not in ("decision_id", "revision", "at")}
        assert own == await self.opa_says(body), f"leans on {record['leans_on']}"
        assert own == record["answer"]
        return answer


@asynccontextmanager
async def inside(home: Path, opa: OpaBinary, patch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """Start it on a copy of a home."""
    reader = SqliteLedger(home / "ledger.db")
    clock = Hand(instants.parse(reader.now(DEFAULT_TENANT)) + 1000)
    reader.close()
    patch.setattr(running_runtime, "SqliteLedger", functools.partial(SqliteLedger, clock=clock))
    settings = load(environment(home, opa.path))
    async with Runtime(settings=settings, home=Home(home), opa=opa) as runtime:
        app = create_app(runtime)
        public, operator = (
            httpx.AsyncClient(transport=httpx.ASGITransport(lane), base_url="http://muster")
            for lane in (HotLane(app, app.state.services, app.state.gateways), OperatorSocket(app))
        )
        async with public, operator:
            yield Inside(runtime, public, operator, clock)


def test_no_leased_answer_differs_from_what_opa_says(
    template: tuple[Path, str], tmp_path: Path, opa_binary: OpaBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Facts and time move at random, often to the very instant at which an answer ends; each answer is OPA's."""
    copy_home(template[0], tmp_path / "home")

    async def run() -> Inside:
        async with inside(tmp_path / "home", opa_binary, monkeypatch) as muster:
            await wander(muster, random.Random(20261126))
            return muster

    muster = asyncio.run(run())
    assert muster.leased[True] > STEPS // 5, muster.leased
    assert muster.leased[False] > STEPS // 20, muster.leased


async def wander(muster: Inside, chance: random.Random) -> None:
    """Random steps of time, facts and questions."""
    for user in PEOPLE:
        await muster.call("PUT", f"/v1/subjects/{user}", {"persona": "engineers", "customer": "acme"})
    last: Any = {}
    for _ in range(STEPS):
        user = chance.choice(PEOPLE)
        what = chance.random()
        if what < 0.12:
            module, tier = chance.choice(MODULES)
            await muster.passed(user, module, tier, chance.randrange(1, 360))
        elif what < 0.15:
            directory = {"persona": "engineers", "customer": "acme", "active": chance.random() < 0.7}
            await muster.call("PUT", f"/v1/subjects/{user}", directory)
        elif what < 0.18:
            until = instants.from_ms(muster.clock.ms + chance.randrange(1, 5 * DAY_MS))
            scope = {"scope": "data-export", "until": until, "reason": "t"}
            await muster.call("POST", "/v1/waivers", {"user": user, **scope})
        elif what < 0.35 and last.get("valid_until") and last["valid_until"] > instants.from_ms(muster.clock.ms):
            muster.clock.ms = instants.parse(last["valid_until"]) + chance.choice((-1, 0, 1))
        elif what < 0.45:
            muster.clock.ms += chance.choice((1, 1000, DAY_MS, 30 * DAY_MS))
        asked = export(user, **{"ticket": "REQ-1"} if chance.random() < 0.9 else {"ticket": "none"})
        last = await muster.decide(asked)
        if chance.random() < 0.5:
            last = await muster.decide(asked)


def test_many_who_ask_the_same_at_once_are_evaluated_once(
    template: tuple[Path, str], tmp_path: Path, opa_binary: OpaBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is asked of OPA and the others wait for it: each has a record of its own, which leans on that one."""
    copy_home(template[0], tmp_path / "home")

    async def run() -> None:
        async with inside(tmp_path / "home", opa_binary, monkeypatch) as muster:
            await muster.call("PUT", "/v1/subjects/ana", {"persona": "engineers", "customer": "acme"})
            await muster.ask(export("ana", ticket="REQ-1"))
            for number in (2, 3):
                asked = export("ana", ticket=f"REQ-{number}")
                answers = await asyncio.gather(*(muster.ask(asked) for _ in range(16)))
                records = [await muster.call("GET", f"/v1/decisions/{each['decision_id']}") for each in answers]
                leans = Counter(record["leans_on"] for record in records)
                assert leans.pop(None) == 1
                [(first, count)] = leans.items()
                assert (first in {each["decision_id"] for each in answers}, count) == (True, 15)

    asyncio.run(run())


@pytest.mark.within
def test_a_fact_that_moves_meanwhile_is_asked_about_once_more(
    template: tuple[Path, str], tmp_path: Path, opa_binary: OpaBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one's answer is stale; of those who waited for it one asks anew, and the others wait for that one."""
    copy_home(template[0], tmp_path / "home")
    evaluated, evaluate = list[str](), Decider._evaluated

    async def run() -> None:
        async with inside(tmp_path / "home", opa_binary, monkeypatch) as muster:

            async def moving(self: Decider, question: Question, asking: Asking) -> Decided | None:
                evaluated.append(question.body.decode())
                if len(evaluated) == 1:
                    await muster.call("PUT", "/v1/subjects/ana", {"persona": "engineers", "customer": "globex"})
                return await evaluate(self, question, asking)

            await muster.call("PUT", "/v1/subjects/ana", {"persona": "engineers", "customer": "acme"})
            await muster.ask(export("bo", ticket="REQ-1"))  # a token, and a verdict on who may ask
            monkeypatch.setattr(Decider, "_evaluated", moving)
            answers = await asyncio.gather(*(muster.ask(export("ana", ticket="REQ-1")) for _ in range(16)))
            assert len({each["decision_id"] for each in answers}) == 16

    asyncio.run(run())
    assert ["acme" in evaluated[0], "globex" in evaluated[1]] == [True, True]
    assert len(evaluated) == 2


def test_a_fact_ends_every_lease_on_it(service: Service) -> None:
    """What an admin or a learner has been told is done holds in the very next answer, allow or deny."""
    service.person("lea")
    assert service.decide("lea")["allow"] is service.decide("lea")["allow"] is False
    service.train("lea")
    assert service.decide("lea")["allow"] is service.decide("lea")["allow"] is True
    service.person("lea", active=False)
    assert service.decide("lea")["allow"] is False
    service.person("lea")
    assert service.decide("lea")["allow"] is True


def test_a_revoked_token_asks_nothing_by_lease(service: Service) -> None:
    """The token is looked at again with each record: after its revocation there is no further answer."""
    service.person("rev")
    wanted = {"role": "gateway", "principal": "system:short"}
    made = service.call("admin", "POST", "/v1/tokens", wanted)
    service.tokens["short"] = made["token"]
    assert [service.decide("rev", role="short")["verdict"] for _ in range(3)] == ["deny"] * 3
    service.call("admin", "DELETE", f"/v1/tokens/{made['id']}")
    assert service.http("POST", "/v1/decisions", role="short", json=export("rev")).status_code == 401


def test_a_lease_is_recorded_as_exactly_as_the_first(service: Service) -> None:
    """Each answer by lease is an entry of its own, with its own instant and caller, and replay gives it again."""
    service.person("twice")
    first, *others = (service.decide("twice", role) for role in ("gateway", "gateway", "app"))
    records = [service.call("auditor", "GET", f"/v1/decisions/{o['decision_id']}") for o in others]
    assert [record["leans_on"] for record in records] == [first["decision_id"]] * 2
    assert [record["caller"]["role"] for record in records] == ["gateway", "app"]
    assert len({record["index"] for record in records}) == 2
    assert all({**o, "decision_id": 0, "at": 0} == {**first, "decision_id": 0, "at": 0} for o in others)


def test_what_is_dropped_is_named_by_each(service: Service) -> None:
    """Two requests that differ in what the gate does not read share a lease, and each names what it sent in vain."""
    service.person("drop")
    first = service.decide("drop")
    second = service.decide("drop", unread="x")
    third = service.decide("drop", unread="x")
    records = [service.call("auditor", "GET", f"/v1/decisions/{d['decision_id']}") for d in (second, third)]
    assert [record["dropped"] for record in records] == [["/context/unread"]] * 2
    assert {record["leans_on"] for record in records} == {first["decision_id"]}


def test_strangers_and_unknown_actions_get_no_lease(service: Service) -> None:
    """Whom the directory does not have could be erased without any object moving: each time the rules are asked."""
    service.person("known")
    for body in (export("nobody-at-all"), {**export("known"), "action": {"name": "no-such-action"}}):
        answers = [service.call("gateway", "POST", "/v1/decisions", body) for _ in range(2)]
        for answer in answers:
            record = service.call("auditor", "GET", f"/v1/decisions/{answer['decision_id']}")
            assert record["leans_on"] is None


def test_a_gate_may_forbid_leases(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """`lease: false` in a gate's METADATA: every answer is evaluated anew."""
    service = new_service()
    policies = tmp_path / "policies"
    shutil.copytree(service.env["MUSTER_POLICIES"], policies)
    gate = policies / "muster" / "gates" / "data-export" / "data-export.rego"
    text = gate.read_text("utf-8")
    assert "#   mode: enforce\n" in text
    gate.write_text(text.replace("#   mode: enforce\n", "#   mode: enforce\n#   lease: false\n"), "utf-8")
    service.env["MUSTER_POLICIES"] = str(policies)
    service.arguments = ("serve", "--demo")
    service.start()
    service.person("fresh")
    for _ in range(3):
        answer = service.decide("fresh")
        assert service.call("auditor", "GET", f"/v1/decisions/{answer['decision_id']}")["leans_on"] is None
    service.stop()


def test_what_leases_do_is_measured(service: Service) -> None:
    """How many there are and what they take, how often they helped, and where the time of decisions went."""
    service.person("measured")
    for _ in range(3):
        service.decide("measured")
    text = service.http("GET", "/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    for name in (
        "muster_leases",
        "muster_lease_bytes",
        'muster_leases_total{outcome="hit"}',
        "muster_commit_entries_count",
    ):
        assert float(values[name]) > 0, name
    assert float(values['muster_facts_cache_total{outcome="hit"}']) > 0
    assert float(values['muster_decision_stage_seconds_count{stage="commit"}']) > 0
