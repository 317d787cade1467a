"""Whether this process is alive, and whether it can decide: answered without the application behind the hot lane."""

from __future__ import annotations

from starlette.responses import JSONResponse

from engine.api import problems
from engine.api.services import Services
from ledger.model import JSON


def alive(_: Services) -> JSONResponse:
    """Says nothing about deciding."""
    return JSONResponse({"status": "alive"})


def ready(found: Services) -> JSONResponse:
    """Ready, or a 503 that says what is missing; `alarms` of a fork stand in both, and do not stop decisions."""
    missing = found.runtime.not_ready()
    alarms: list[JSON] = [alarm.described() for alarm in found.witnesses.alarms.all()]
    if missing is None:
        return JSONResponse({"status": "ready", "alarms": alarms})
    return problems.document(503, "not-ready", "Not able to decide now", missing, alarms=alarms)
