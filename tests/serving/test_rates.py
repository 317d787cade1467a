"""A caller's rate is the service's, not each worker's."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.service.running import Service
from tests.serving.fleet import Fleet


def test_a_caller_has_one_rate_at_all_workers(new_service: Callable[[], Service]) -> None:
    """Ten at once and one a second, asked of two workers by turns: no more than that is answered; another caller is."""
    service = new_service()
    fleet = Fleet(home=service.home, env=service.env, tokens=service.tokens, arguments=("serve", "--workers", "2"))
    fleet.env |= {"MUSTER_CALLER_RATE": "1", "MUSTER_CALLER_BURST": "10"}
    fleet.start()
    try:
        fleet.person("kim")
        fleet.token("gateway")
        callers = list(fleet.callers().values())
        began = time.monotonic()
        statuses = [callers[number % 2].decide("kim")[0] for number in range(40)]
        answered = statuses.count(200)
        assert 10 <= answered <= 10 + (time.monotonic() - began) + 1
        assert statuses.count(429) == 40 - answered
        assert fleet.decide("kim", role="app")["verdict"] == "deny"
        for caller in callers:
            caller.close()
    finally:
        fleet.stop()
