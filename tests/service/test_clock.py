"""A clock that moved: nothing is decided, and two people make it believed again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests.service.running import Service, export, until


def test_a_forward_jump_is_cured_by_two_people(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """Entries from a day ahead, then a right clock: 503 everywhere, until two admins adjust; then all is well."""
    service = new_service()
    starter = tmp_path / "ahead.py"
    starter.write_text(
        "import sys, time\n"
        "real = time.time_ns\n"
        "time.time_ns = lambda: real() + 86_400 * 10**9\n"
        "from engine.cli.main import main\n"
        "sys.argv.pop(1)\n"
        "sys.exit(main())\n"
    )
    service.prefix = (sys.executable, str(starter))
    service.start()
    service.person("pat")
    ann, bob = (
        service.call("admin", "POST", "/v1/tokens", {"role": "admin", "principal": f"user:{u}", "expires": "P9D"})
        for u in ("ann", "bob")
    )
    service.token("gateway")
    service.stop()
    service.prefix = ()
    service.start(ready=False)
    assert service.http("GET", "/readyz").status_code == 503
    assert "before the newest entry" in service.http("GET", "/readyz").json()["detail"]
    assert service.http("POST", "/v1/decisions", role="gateway", json=export("pat")).status_code == 503
    words = ("ledger", "adjust-clock", "--reason", "the clock was a day ahead", "--token", ann["token"], "--token")
    service.muster(*words, ann["token"], want=2)
    service.muster(*words, service.token("gateway"), want=2)
    service.muster(*words, bob["token"])
    until(lambda: service.http("GET", "/readyz").status_code == 200, "the service is ready")
    assert service.decide("pat")["verdict"] == "deny"
    service.muster("ledger", "verify")
    service.muster("replay")
