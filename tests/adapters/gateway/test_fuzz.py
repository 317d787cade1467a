"""A valid allow, mutated in one place: none of them passes but what a second, simple reading takes for the same.

The reading without a service always takes 100,000; over HTTP and gRPC it is 2,000, and 100,000 by `make fuzz`.
`MUSTER_FUZZ` says how many, `MUSTER_FUZZ_SEED` draws others.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import re
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
import yaml

from engine.access import issuers as pinned_issuers
from engine.access.discovery import Way
from engine.access.keysets import KeySets
from engine.access.users import Users
from engine.adapters.gateway import asks, envoy, paths, subjects
from engine.adapters.gateway.asks import Ask
from engine.adapters.gateway.paths import Target
from engine.adapters.gateway.profiles import Profile
from engine.adapters.gateway.routes import Asked, RouteMap
from engine.adapters.gateway.subjects import Known
from engine.bundling.gateways import Gateway
from engine.bundling.routes import Route
from tests.access.provider import Provider
from tests.access.signing import key
from tests.adapters.gateway import conftest
from tests.adapters.gateway.edge import Edge, Stub
from tests.adapters.gateway.mutations import ALLOWED, PREFIX, Request, mutated, preflight, question, valid
from tests.gateways.mustered import Log

SEED = int(os.environ.get("MUSTER_FUZZ_SEED", "1"))
PURE = 100_000
WHOLE = int(os.environ.get("MUSTER_FUZZ", "2000"))
THREADS = 8
EVERY = 100
"""One of so many is not mutated."""
UNDECIDED = 503
"""Asked again, as a gateway's client would."""
NOW = int(time.time())
HTTP = (*conftest.KINDS, "tokens")


def profiles(provider: Provider) -> dict[str, Profile]:
    """The profiles of the running service, read without it."""
    routes = {
        group: [Route.model_validate(each) for each in said] for group, said in yaml.safe_load(conftest.ROUTES).items()
    }
    people = pinned_issuers.read("people", yaml.safe_load(conftest.issuers(provider))["people"])
    said = {name: Gateway.model_validate(each) for name, each in yaml.safe_load(conftest.gateways("a.example")).items()}
    return {
        name: Profile(
            name=name,
            said=each,
            routes=RouteMap.of(routes, each.routes),
            issuers=(people,) if each.subject.issuer is not None else (),
        )
        for name, each in said.items()
    }


def read(profile: Profile, users: Users, request: Request) -> dict[str, str] | None:
    """What Muster reads: the question as far as it is put to the gate, or None for what is refused before that."""
    kind = profile.said.gateway
    if kind == "envoy-grpc":
        ask, headers = envoy.ask(type(request.check()).FromString(request.check().SerializeToString()))
    else:
        headers = [(name.lower(), value.strip(b" \t")) for name, value in request.headers]
        ask = asks.of_http(kind, request.method.decode("latin-1"), request.path, request.query, headers)
    target = paths.read(ask.target) if isinstance(ask, Ask) else None
    if not isinstance(ask, Ask) or not isinstance(target, Target):
        return None
    if ask.method == "OPTIONS" and profile.routes.preflight(ask.host, target.segments, ask.headers, target.query):
        return {"preflight": "/".join(target.segments)}
    match = profile.routes.match(ask.host, ask.method, target.segments)
    if match is None:
        return None
    who = subjects.of(profile, users, "default", ask.headers, None, NOW * 1000)
    asked = match.asked(target.query, ask.headers)
    if not isinstance(who, Known) or not isinstance(asked, Asked):
        return None
    told = {"user": who.subject.id, "action": asked.action, "dataset": asked.resource.id}
    told |= {name: str(value) for name, value in asked.resource.properties.items()}
    return told | {name: value for name, value in asked.context.items() if isinstance(value, str)}


def drawn(dice: random.Random, number: int, base: Request) -> Request:
    """The next request: one of each hundred as it is."""
    return base if number % EVERY == 0 else mutated(dice, base)


def test_no_mutation_is_read_as_another_question() -> None:
    """100,000 asks, without a service: nothing raises, what is read is what the second reading says, or refused."""
    dice = random.Random(SEED)
    counts = {"same": 0, "other": 0, "refused": 0}

    async def run(provider: Provider) -> None:
        async with KeySets(Way(plain_http_on_loopback=True)) as keysets:
            known = profiles(provider)
            keysets.follow({"default": known["tokens"].issuers})
            assert await keysets.first(5.0) == ()
            users = Users(keysets)
            claims = {"iss": provider.issuer, "aud": "api", "sub": "ada", "iat": NOW, "exp": NOW + 3600}
            token = key("one", "ES256").token(claims)
            bases = [(name, each) for name in (*HTTP, "envoy-grpc") for each in (valid(name, token), preflight(name))]
            for number in range(PURE):
                name, base = dice.choice(bases)
                request = drawn(dice, number, base)
                got, expected = read(known[name], users, request), question(name, request, token)
                if number % EVERY == 0:
                    assert got == expected is not None, (number, name, request)
                assert got is None or got == expected, (SEED, number, name, request, got, expected)
                counts["refused" if got is None else "same" if ALLOWED(got) else "other"] += 1

    with Provider(None, key("one", "ES256")) as provider:
        asyncio.run(run(provider))
    assert all(count > PURE // 100 for count in counts.values()), counts


class Http:
    """One connection that is kept, and made again when it was closed."""

    def __init__(self, edge: Edge) -> None:
        self._where = edge.service.url.removeprefix("http://")
        self._open: http.client.HTTPConnection | None = None

    def send(self, request: Request, gateway_key: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; status 0 where the connection was closed without an answer."""
        if self._open is None:
            self._open = http.client.HTTPConnection(self._where, timeout=30)
            self._open.connect()
        data = request.on_the_wire([(b"Muster-Gateway-Key", gateway_key.encode())])
        self._open.sock.sendall(data)
        answer = http.client.HTTPResponse(self._open.sock, method="HEAD" if data.startswith(b"HEAD ") else "GET")
        try:
            answer.begin()
            body = answer.read()
        except (http.client.BadStatusLine, ConnectionError):
            self.close()
            return 0, {}, b""
        headers = {given.lower(): value for given, value in answer.getheaders()}
        broken = any(re.search(rb"[\r\n]", part) for line in request.headers for part in line)
        if headers.get("connection") == "close" or answer.will_close or answer.status == 400 or broken:
            self.close()  # after a line's end in the middle of a line, more than one answer could come
        return answer.status, headers, body

    def close(self) -> None:
        """End it."""
        if self._open is not None:
            self._open.close()
            self._open = None


ANSWERS = {200, 401, 403}
NO_HTTP = {0, 400, 404, 405, 431}
"""What the listener says of bytes that are no HTTP, and the application of a path that is not the hook's."""


@dataclass(slots=True)
class Gateways:
    """All gateways, as one thread plays them."""

    edge: Edge
    dice: random.Random
    token: str
    http: Http = field(init=False)
    statuses: Counter[int] = field(default_factory=Counter)
    decisions: dict[str, int] = field(default_factory=dict)
    """The answer to each recorded ask."""

    def __post_init__(self) -> None:
        self.http = Http(self.edge)

    def run(self, count: int) -> Gateways:
        """Send so many asks; each is looked at for itself."""
        names = [*HTTP, "envoy-grpc"]
        try:
            with grpc.insecure_channel(self.edge.check) as channel:
                stub = Stub(channel)
                for number in range(count):
                    name = self.dice.choice(names)
                    base = self.dice.choice((valid(name, self.token), valid(name, self.token), preflight(name)))
                    self._one(stub, name, drawn(self.dice, number, base), unmutated=number % EVERY == 0)
        finally:
            self.http.close()
        return self

    def _one(self, stub: Any, name: str, request: Request, *, unmutated: bool) -> None:
        expected = question(name, request, self.token)
        for _ in range(5):
            status, decision = self._sent(stub, name, request)
            self.statuses[status] += 1
            if status != UNDECIDED:
                break
        where = (SEED, name, request, status)
        if unmutated:
            assert status == 200, where
        if status == 200:
            assert expected is not None, where
            assert ALLOWED(expected), where
        if status in NO_HTTP:
            assert name != "envoy-grpc", where
            assert not _for_the_hook(request), where
        else:
            assert status in ANSWERS, where
            assert decision is not None, where
            self.decisions[decision] = status

    def _sent(self, stub: Any, name: str, request: Request) -> tuple[int, str | None]:
        """The status of an answer, as HTTP has it, and the decision's ID."""
        if name == "envoy-grpc":
            got = stub.Check(request.check(), metadata=[("muster-gateway-key", self.edge.keys[name])], timeout=30)
            status = 200 if got.status.code == 0 else got.denied_response.status.code
            assert (got.status.code, status) in {(0, 200), (7, 403), (16, 401), (14, 503)}
            return status, got.dynamic_metadata["decision_id"] or None
        status, headers, body = self.http.send(request, self.edge.keys[name])
        if status in NO_HTTP:
            return status, None
        if status == 200:
            assert body == b""
        else:
            assert json.loads(body)["status"] == status
        return status, headers.get("muster-decision-id")


@pytest.mark.timeout(max(120, WHOLE // 20))
def test_no_mutation_passes_that_is_not_the_same_question(edge: Edge) -> None:
    """Over HTTP and gRPC: allowed is what the second reading says, each answer has its record, and none is a 500."""
    began, log = time.monotonic(), Log(edge)
    token = edge.bearer("ada", exp=int(time.time()) + 7200)[1].removeprefix("Bearer ")
    played = [Gateways(edge, random.Random(f"{SEED} {each}"), token) for each in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as threads:
        done = list(threads.map(lambda each: each.run(WHOLE // THREADS), played))
    took = time.monotonic() - began
    statuses = sum((each.statuses for each in done), Counter[int]())
    sys.stdout.write(f"{WHOLE} asks of seed {SEED} in {took:.0f} s: {sorted(statuses.items())}\n")
    assert statuses[200] > WHOLE // EVERY
    assert statuses[403] > 0
    assert statuses[401] > 0
    assert statuses[UNDECIDED] <= WHOLE // EVERY, "a busy machine is one thing"
    decisions = {decision: status for each in done for decision, status in each.decisions.items()}
    assert len(decisions) == sum(statuses[each] for each in ANSWERS)
    recorded = {record.id: record.allow for record in log.every() if record.id in decisions}
    assert recorded == {decision: status == 200 for decision, status in decisions.items()}
    assert edge.ask("nginx", "ada").status == 200


METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE"})


def _for_the_hook(request: Request) -> bool:
    """Whether the bytes are a request of HTTP/1.1, to the hook: a method, a target, names and values as it has them."""
    target = request.path + (b"?" + request.query if request.query else b"")
    return (
        request.method in METHODS
        and re.fullmatch(re.escape(PREFIX) + rb"(?:[/*?#][!-~]*)?", target) is not None
        and all(
            re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) and not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value)
            for name, value in request.headers
        )
    )
