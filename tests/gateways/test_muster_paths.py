"""The whole table of odd targets, through real gateways, in front of Muster itself."""

from __future__ import annotations

import re
from typing import Final

import pytest
from muster_client.assertions import Verifier
from muster_client.keys import parsed

from engine.gateways.check.backend import Seen
from engine.gateways.check.targets import TARGETS
from engine.gateways.check.wire import Message, request
from tests.adapters.gateway.edge import EXPORT, Edge
from tests.gateways.mustered import Log, Record, Way, digest

ROUTED: Final = re.compile(
    rb"/(?:(?:admin|%61dmin|%61%64%6d%69%6e|public/(?:42|admin)|caf%[cC]3%[aA]9)/?)?(?:\?[!-~]*)?"
)
"""What has one reading and a route, of all that the table holds or that a gateway makes of it."""
ABSOLUTE: Final = re.compile(rb"(?i:https?)://[^/?]*(?=[/?]|\Z)")
REWRITING: Final = ("traefik", "envoy-http", "envoy-grpc")
"""Those that put a path in order before they ask."""


@pytest.fixture(scope="package")
def verifier(muster: Edge) -> Verifier:
    """The application's own, as a client kit has it."""
    keys = parsed(muster.service.http("GET", "/tenants/default/jwks.json").content)
    return Verifier(issuer=muster.service.url, audience="backend", key_of=keys.get)


@pytest.mark.parametrize("user", ["ada", "bob"])
def test_the_whole_table(way: Way, verifier: Verifier, user: str) -> None:
    """Refused by the gateway, or asked, recorded and judged by what would reach the application, byte for byte."""
    log = Log(way.edge)
    happened = [_sent(way, verifier, target, user) for target in TARGETS]
    recorded = log.decisions(way.name, but=EXPORT)
    decisions = {name: record for name, record in recorded.items() if record.allow is not None}
    told: list[str | None] = []
    for target, answer, reached in happened:
        assert len(reached) <= 1, target
        allowed = user == "ada" and answer is not None and answer.status == 200
        assert bool(reached) == allowed, (target, answer)
        assert allowed or not (user == "ada" and ROUTED.fullmatch(target)), (target, answer)
        if reached:
            told.append(reached[0].decision)
            _passed(decisions[str(reached[0].decision)], reached[0])
        elif answer is not None and answer.get("muster-decision-id") is not None:
            told.append(answer.get("muster-decision-id"))
            _denied(decisions[str(told[-1])], way.profile, target, user)
        else:
            assert answer is None or 400 <= answer.status < 500, (target, answer)
    assert len(set(told)) == len(told) > len(TARGETS) // 3
    assert set(told) == set(decisions), "each record is of one of these requests"


def _sent(way: Way, verifier: Verifier, target: bytes, user: str) -> tuple[bytes, Message | None, list[Seen]]:
    """One target, what the client was told, and what reached the application meanwhile: with its proof."""
    before = len(way.backend.seen)
    answer = None
    for _ in range(5):
        answer = way.sent(request(target, ("X-User", user)))
        if answer is None or answer.status != 503:  # a busy machine is one thing: what was not decided is asked again
            break
    reached = way.backend.seen[before:]
    for seen in reached:
        path, decision = seen.target.encode("latin-1").partition(b"?")[0], str(seen.decision)
        token = str(seen.message.get("muster-assertion"))
        proven = verifier.verify(token, method=seen.method, path=path, decision_id=decision)
        assert proven.subject_id == user, target
    return target, answer, reached


def _passed(record: Record, seen: Seen) -> None:
    """What reached the application is what was recorded, to the byte, and has one reading."""
    target = seen.target.encode("latin-1")
    assert ROUTED.fullmatch(target), target
    assert (record.allow, record.user, record.method) == (True, "ada", seen.method), target
    assert record.target == digest(target), target


def _denied(record: Record, profile: str, target: bytes, user: str) -> None:
    """A no, about this target as it came, or as this gateway is known to write it anew."""
    assert record.allow is False, target
    path = ABSOLUTE.sub(b"", target)
    path = path if path.startswith(b"/") else b"/" + path
    anew = profile in REWRITING or ABSOLUTE.match(target) or re.search(rb'[\\#"\x80-\xff]', path)
    assert record.target in (digest(target), digest(path)) or anew, target
    assert user == "bob" or not ROUTED.fullmatch(target), target
