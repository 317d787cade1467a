"""An ask is paid for once by its gateway's rate, however often it is read or put."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from engine.access.caller import Caller, Principal
from engine.adapters.gateway.asks import Ask
from engine.adapters.gateway.profiles import Profile
from engine.adapters.gateway.routes import RouteMap
from engine.api import gateway, judging
from engine.api.gateway import Credentials, Gateways
from engine.api.limits import Admission, RateLimits
from engine.bundling.gateways import Gateway
from engine.bundling.routes import Route
from engine.decide.asking import Asking, Decided, Outdated
from engine.errors import BadRequest
from engine.observing.metrics import Metrics
from engine.observing.stages import Stages
from tests.adapters.gateway import conftest

NOW = "2026-11-26T12:00:00.000Z"
PAGE = Ask(method="GET", host="api.example", target=b"/customers/acme/export-page", headers=[(b"x-user", b"ada")])
NOWHERE = Ask(method="GET", host="api.example", target=b"/nowhere", headers=[])


class _Decider:
    """Whatever is asked ends in these ways, one after the other; None is a recorded no."""

    def __init__(self, ends: list[Exception | None]) -> None:
        self.ends = ends

    async def decide(self, *_: object) -> Decided:
        """By a gate."""
        if (end := self.ends.pop(0)) is not None:
            raise end
        result: dict[str, Any] = {"allow": False, "verdict": "deny", "mode": "enforce", "gate": None, "denials": []}
        return Decided(decision_id="1", index=0, at=NOW, revision="r", now=NOW, result=result)

    beside = decide


async def _allowed(*_: object) -> str:
    return "r"


def _profile() -> Profile:
    routes = {name: [Route.model_validate(each) for each in of] for name, of in yaml.safe_load(conftest.ROUTES).items()}
    said = Gateway.model_validate(yaml.safe_load(conftest.gateways("a.example"))["nginx"])
    return Profile(name="nginx", said=said, routes=RouteMap.of(routes, said.routes), issuers=())


@pytest.mark.parametrize(
    ("ask", "ends"),
    [
        (PAGE, [None]),
        (PAGE, [Outdated(), None]),
        (NOWHERE, [Outdated(), Outdated(), None]),
        (PAGE, [BadRequest("of the wrong type"), None]),
        (PAGE, [BadRequest("of the wrong type"), Outdated(), None]),
    ],
    ids=["decided", "read anew", "read anew twice", "wrong type", "wrong type, then read anew"],
)
def test_it_is_paid_for_once(monkeypatch: pytest.MonkeyPatch, ask: Ask, ends: list[Exception | None]) -> None:
    """With one token there is, it is answered and recorded; the next ask is not."""
    decider, profile = _Decider([*ends]), _profile()
    caller = Caller(tenant="default", role="gateway", principal=Principal(type="system", id="nginx"), token_id=None)
    found = SimpleNamespace(
        access=SimpleNamespace(require=_allowed),
        admission=Admission(),
        decider=decider,
        limits=RateLimits(0.001, 1),
        metrics=Metrics(),
        runtime=SimpleNamespace(now=lambda _: NOW, settings=SimpleNamespace(base_url="http://muster")),
        tracing=None,
    )

    def known(_self: Gateways, _by: Credentials, request_id: str, stages: Stages) -> judging.Gateway:
        asking = Asking(caller=caller, again=lambda: caller, request_id=request_id, stages=stages)
        return judging.Gateway(asking=asking, profile=profile)

    monkeypatch.setattr(gateway.Gateways, "known", known)
    gateways = Gateways(cast(Any, found), cast(Any, None))

    async def answered() -> tuple[int, str]:
        answer = await gateways.asked(Credentials(), "1", lambda _: ask)
        return answer.status, answer.cause

    assert asyncio.run(answered()) == (403, "")
    assert not decider.ends
    assert asyncio.run(answered()) == (503, "rate")
