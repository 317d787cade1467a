"""A thousand mixed requests through each real gateway: the log and what reached the application explain each other."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from engine.gateways.check.backend import Seen
from engine.gateways.check.wire import Client, chunked, request
from tests.access.signing import b64, key
from tests.adapters.gateway.edge import EXPORT, Edge
from tests.gateways import mustered
from tests.gateways.mustered import PAGE, Log, Record, Way, digest
from tests.service.running import until

MIXED: Final = 1000
SOME: Final = 200
THEIRS: Final = "theirs"
CLIENTS: Final = 8
NO_ANSWER: Final = 0
"""The connection ended instead."""
UNDECIDED: Final = frozenset({503, NO_ANSWER})
"""What a busy machine excuses: then, and only then, an allow in the log need not have reached the application."""

PASSED: Final = frozenset({200})
DENIED: Final = frozenset({403})
UNKNOWN: Final = frozenset({401})
ADA: Final = ("X-User", "ada")
BOB: Final = ("X-User", "bob")
TICKET: Final = ("X-Ticket", "REQ-1")
MADE_UP: Final = (
    ("Muster-Decision-Id", "00000000-0000-7000-8000-000000000000"),
    ("Muster-Assertion", "made.up.one"),
    ("Muster-Problem", "made up"),
)
ELSEWHERE: Final = (
    *(("X-Original-URI", EXPORT), ("X-Original-Method", "POST"), ("X-Forwarded-Host", "api.example")),
    *(("X-Forwarded-Uri", EXPORT), ("X-Forwarded-Method", "POST"), ("X-Rewrite-Url", EXPORT)),
)
SOCKET: Final = (
    *(("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)
PREFLIGHT: Final = (("Origin", "https://app.example"), ("Access-Control-Request-Method", "POST"))


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request, and what a client may be told of it. `{n}` in a header is its number."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    told: frozenset[int]
    body: Callable[[int], bytes] | None = None
    framing: tuple[tuple[str, str], ...] = ()
    host: str = "api.example"

    @property
    def may_pass(self) -> bool:
        """Whether it is of a kind that is allowed."""
        return bool(self.told & {200, 101})

    def raw(self, number: int) -> bytes:
        """Its bytes."""
        headers = [(name, value.replace("{n}", str(number))) for name, value in (*self.headers, *self.framing)]
        body = None if self.body is None else self.body(number)
        return request(self.sent(number), *headers, method=self.method, host=self.host, body=body)

    def sent(self, number: int) -> str:
        """Its target, which no other request has."""
        return f"{self.target}{'&' if '?' in self.target else '?'}n={number}"


KINDS: Final[Mapping[str, Kind]] = {
    "allowed": Kind("POST", EXPORT, (ADA, TICKET), PASSED),
    "asked for the first time": Kind("POST", EXPORT, (ADA, ("X-Ticket", "REQ-9{n}")), PASSED),
    "a page": Kind("GET", PAGE, (ADA,), PASSED),
    "HEAD": Kind("HEAD", PAGE, (ADA,), PASSED),
    "a body": Kind("POST", EXPORT, (ADA, TICKET), PASSED, body=lambda n: b"x" * (n * 7)),
    "chunks": Kind(
        "POST", EXPORT, (ADA, TICKET), PASSED, lambda n: chunked(b"x" * n, 100), (("Transfer-Encoding", "chunked"),)
    ),
    "a websocket": Kind("GET", PAGE, (ADA, *SOCKET), frozenset({101})),
    "a preflight": Kind("OPTIONS", EXPORT, PREFLIGHT, PASSED),
    "an ID of its own": Kind("POST", EXPORT, (ADA, TICKET, *MADE_UP), PASSED),
    "a key of its own": Kind("POST", EXPORT, (ADA, TICKET, ("Muster-Gateway-Key", "made-up")), PASSED),
    "said to be elsewhere": Kind("POST", EXPORT, (ADA, TICKET, *((n, "/nowhere") for n, _ in ELSEWHERE)), PASSED),
    "untrained": Kind("POST", EXPORT, (BOB, TICKET), DENIED),
    "untrained, with a body": Kind("POST", EXPORT, (BOB, TICKET), DENIED, body=lambda n: b"x" * n),
    "untrained, with an ID": Kind("POST", EXPORT, (BOB, TICKET, *MADE_UP), DENIED),
    "untrained, by a browser": Kind("GET", PAGE, (BOB, ("Accept", "text/html")), frozenset({303, 403})),
    "an untrained websocket": Kind("GET", PAGE, (BOB, *SOCKET), DENIED),
    "a stranger": Kind("POST", EXPORT, (("X-User", "stranger-{n}"), TICKET), DENIED),
    "nobody": Kind("POST", EXPORT, (TICKET,), UNKNOWN),
    "two people": Kind("POST", EXPORT, (ADA, BOB, TICKET), frozenset({400, 401, 403})),
    "an alias": Kind("POST", EXPORT, (BOB, ("X_User", "ada"), TICKET), frozenset({400, 401, 403})),
    "no ticket": Kind("POST", EXPORT, (ADA,), DENIED),
    "no route": Kind("GET", "/nowhere", (ADA,), DENIED),
    "no route, said to be one": Kind("GET", "/nowhere", (ADA, TICKET, *ELSEWHERE), DENIED),
    "another host": Kind("POST", EXPORT, (ADA, TICKET), DENIED, host="evil.example"),
    "two readings": Kind("GET", "/customers/acme/exports/../export-page", (BOB,), frozenset({400, 403})),
    "escaped": Kind("GET", "/customers/acme%2Fexport-page", (ADA,), frozenset({400, 403})),
    "DELETE": Kind("DELETE", EXPORT, (ADA, TICKET), DENIED),
    "an odd method": Kind("PROPFIND", EXPORT, (ADA, TICKET), frozenset({400, 403})),
    "OPTIONS": Kind("OPTIONS", EXPORT, (ADA, TICKET), DENIED),
    "another method": Kind("POST", EXPORT, (ADA, TICKET, ("X-HTTP-Method-Override", "DELETE")), DENIED),
    "stripped": Kind(
        "POST", EXPORT, (BOB, TICKET, ("Connection", "keep-alive, Muster-Decision-Id, X-User")), frozenset({401, 403})
    ),
}


STRANGERS: Final = {
    name: replace(KINDS[name], told=KINDS[name].told if name == "a preflight" else DENIED)
    for name in ("allowed", "a page", "a body", "an ID of its own", "a websocket", "a preflight", "no route")
}
"""The same for somebody who has learned nothing."""


def _tokens(edge: Edge) -> dict[str, Kind]:
    """Requests under users' tokens: good ones, and each that is not in its own way."""
    now = int(time.time())
    claims = {"iss": edge.provider.issuer, "aud": "api", "sub": "ada", "iat": now, "exp": now + 600}
    unsigned = f"{b64(json.dumps({'alg': 'none', 'kid': 'one'}).encode())}.{b64(json.dumps(claims).encode())}."
    good = edge.bearer("ada", exp=now + 600)
    bad = {
        "expired": edge.bearer("ada", exp=now - 600),
        "for another": edge.bearer("ada", aud="another"),
        "of another issuer": edge.bearer("ada", iss="https://evil.example"),
        "without an end": edge.bearer("ada", exp=...),
        "by another key": ("Authorization", f"Bearer {key('two', 'ES256').token(claims)}"),
        "by another key of that name": ("Authorization", f"Bearer {key('two', 'ES256').token(claims, kid='one')}"),
        "unsigned": ("Authorization", f"Bearer {unsigned}"),
        "cut": ("Authorization", good[1][:-4]),
        "no token": ("Authorization", "Basic YWRhOmFkYQ=="),
        "only a name": ADA,
    }
    return {
        "good": Kind("POST", EXPORT, (good, TICKET), PASSED),
        "good, and a name": Kind("POST", EXPORT, (good, TICKET, BOB), PASSED),
        "untrained": Kind("POST", EXPORT, (edge.bearer("bob", exp=now + 600), TICKET), DENIED),
        "a stranger": Kind("POST", EXPORT, (edge.bearer("stranger", exp=now + 600), TICKET), DENIED),
        "two tokens": Kind("POST", EXPORT, (good, edge.bearer("bob"), TICKET), frozenset({400, 401})),
        **{name: Kind("POST", EXPORT, (header, TICKET), UNKNOWN) for name, header in bad.items()},
    }


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that was sent, and what the client was told."""

    name: str
    kind: Kind
    number: int
    status: int

    @property
    def undecided(self) -> bool:
        """Whether the client heard neither a yes nor a no."""
        return self.status in UNDECIDED


def crowd(way: Way, names: list[str], kinds: Mapping[str, Kind] = KINDS) -> list[Sent]:
    """Send them all, over several connections at once."""
    parts = [[(number, names[number]) for number in range(first, len(names), CLIENTS)] for first in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as clients:
        return [sent for part in clients.map(lambda part: _client(way, kinds, part), parts) for sent in part]


def _client(way: Way, kinds: Mapping[str, Kind], part: list[tuple[int, str]]) -> list[Sent]:
    """A client that keeps its connection as long as it is let."""
    told: list[Sent] = []
    connection: Client | None = None
    for number, name in part:
        connection = connection or Client(way.address)
        status, keep = _told(connection, kinds[name], number)
        if not keep:
            connection.socket.close()
            connection = None
        told.append(Sent(name, kinds[name], number, status))
    if connection is not None:
        connection.socket.close()
    return told


def _told(connection: Client, kind: Kind, number: int) -> tuple[int, bool]:
    try:
        connection.send(kind.raw(number))
        answer = connection.answer(head_only=kind.method == "HEAD")
    except (ValueError, ConnectionError):
        return NO_ANSWER, False
    closing = (answer.get("connection") or "").lower() == "close"
    return answer.status, not closing and answer.status not in (101, 400)


def explained(told: Mapping[str, Sent], came: list[Seen], decisions: Mapping[str, Record]) -> None:
    """By the SHA-256 of their targets: each arrival has its decision, and each decision its request."""
    wrong = [sent for sent in told.values() if sent.status not in sent.kind.told | UNDECIDED]
    assert not wrong
    excused = sum(sent.undecided for sent in told.values())
    assert excused < len(told) // 4, Counter(sent.status for sent in told.values())

    for seen in came:
        assert str(seen.decision) in decisions, f"{seen.method} {seen.target} got there without a decision"
        record = decisions[str(seen.decision)]
        assert record.allow is True
        assert (record.method, record.target) == (seen.method, digest(seen.target))
        assert told[record.target].kind.may_pass, "nothing of a kind that is denied got there"
    assert len({seen.decision for seen in came}) == len(came), "no decision serves twice"

    reached = Counter(digest(seen.target) for seen in came)
    assert all(reached[key] == 1 for key, sent in told.items() if sent.status in (200, 101))
    again = {digest(f"{PAGE}?n={sent.number}"): sent for sent in told.values() if sent.name == "two readings"}
    for record in decisions.values():
        sent = {**told, **again}[record.target]
        assert record.allow is not True or reached[record.target] == 1 or sent.undecided
        assert record.allow is not None or sent.undecided
    about = Counter(record.target for record in decisions.values())
    assert max(about.values()) == 1, "each request is decided once"


def by_target(sent: list[Sent]) -> dict[str, Sent]:
    """Requests by the SHA-256 of their targets."""
    told = {digest(each.kind.sent(each.number)): each for each in sent}
    assert len(told) == len(sent)
    return told


def drawn(dice: random.Random, names: list[str], count: int) -> list[str]:
    """So many names in any order, each at least once."""
    chosen = [*names, *dice.choices(names, k=count - len(names))]
    dice.shuffle(chosen)
    return chosen


def test_each_explains_the_other(way: Way) -> None:
    """1,000 of every kind: what reached the application has its decision, and each record its request."""
    log, before = Log(way.edge), len(way.backend.seen)
    told = by_target(crowd(way, drawn(random.Random(way.name), [*KINDS], MIXED)))
    explained(told, way.backend.seen[before:], log.decisions(way.name, but=EXPORT))


@pytest.fixture
def tokens(installed: Path, muster: Edge) -> Iterator[Way]:
    """A gateway whose users show tokens."""
    assert installed
    until(
        lambda: muster.ask("tokens", more=[TICKET, muster.bearer("ada")]).status == 200, "the issuer's keys are there"
    )
    with mustered.way(muster, "nginx", name="tokens") as made:
        yield made


@pytest.fixture
def theirs(installed: Path, muster: Edge) -> Iterator[Way]:
    """A gateway of another tenant, where ada is known and has learned nothing."""
    assert installed
    service = muster.service
    service.muster("policy", "activate", service.decide("ada")["revision"], "--tenant", THEIRS, "--reason", "test")
    for role, principal in (("admin", "system:them"), ("auditor", "system:them"), ("gateway", "system:nginx")):
        words = ("token", "create", "--tenant", THEIRS, "--role", role, "--principal", principal, "--json")
        service.tokens[f"their {role}"] = json.loads(service.muster(*words).stdout)["token"]
    service.call("their admin", "PUT", "/v1/subjects/ada", {"persona": "engineers", "customer": "acme"})
    with mustered.way(muster, "nginx", name="nginx", key=service.tokens["their gateway"]) as made:
        yield made


def test_two_tenants_and_users_tokens(tokens: Way, theirs: Way) -> None:
    """Both at once: a token that is not good is nobody's, and what was learned in one tenant is nothing in another."""
    logs = Log(tokens.edge), Log(theirs.edge, "their auditor")
    kinds, dice = _tokens(tokens.edge), random.Random(THEIRS)
    with ThreadPoolExecutor(2) as both:
        sent = both.submit(crowd, tokens, drawn(dice, [*kinds], SOME), kinds)
        others = both.submit(crowd, theirs, drawn(dice, [*STRANGERS], SOME), STRANGERS)
        told, strange = by_target(sent.result()), by_target(others.result())
    explained(told, tokens.backend.seen, logs[0].decisions("tokens"))
    explained(strange, theirs.backend.seen, logs[1].decisions("nginx"))
    assert theirs.backend.seen
    assert not set(logs[0].decisions("nginx")), "the other tenant's log has nothing of it"
