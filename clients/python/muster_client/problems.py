"""What an application tells whoever asked it: problem documents (RFC 9457), as Muster's gateways do.

403 is a no, with its remedy; 401 is nobody; 503 is neither a yes nor a no. What went wrong inside is for the log, and
not told.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from muster_client.answers import Decision
from muster_client.errors import Undecided, Unproven

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer whole."""

    status: int
    headers: Fields
    body: bytes


def denied(decision: Decision) -> Problem:
    """403: what is missing, and what to do about each."""
    shown = [
        {"code": each.code, "title": each.title, "message": each.message, "remedy": _remedy(each.remedy)}
        for each in decision.denials
    ]
    first = decision.denials[0] if decision.denials else None
    told = {
        "type": "urn:muster:problem:denied",
        "title": first.title if first else "Denied",
        "status": 403,
        "detail": first.message if first else "",
        "code": first.code if first else None,
        "decision_id": decision.decision_id,
        "denials": shown,
    }
    return _problem(told, (("Muster-Decision-Id", decision.decision_id),))


def elsewhere(decision: Decision, hosts: Collection[str]) -> Problem | None:
    """303 to the first remedy that is at one of these hosts (`host` or `host:port`), if any is."""
    for denial in decision.denials:
        parts = urlsplit(denial.remedy.href or "")
        if parts.scheme in ("https", "http") and parts.netloc in hosts and denial.remedy.href:
            if not (denial.remedy.href.isascii() and denial.remedy.href.isprintable()):
                continue
            told = (("Location", denial.remedy.href), ("Muster-Decision-Id", decision.decision_id), _NOT_KEPT)
            return Problem(303, told, b"")
    return None


def undecided(error: Undecided) -> Problem:
    """503, and when to ask again."""
    told = {
        "type": "urn:muster:problem:undecided",
        "title": "Could not decide",
        "status": 503,
        "detail": "Whether you may do this could not be found out. Try again.",
        "cause": error.cause,
        "decision_id": error.decision_id,
    }
    return _problem(told, (("Retry-After", str(error.retry_after)),))


def unproven(error: Unproven) -> Problem:
    """403: the request did not come through the gate."""
    told = {
        "type": "urn:muster:problem:not-through-the-gate",
        "title": "Not through the gate",
        "status": 403,
        "detail": "This service is reached through its gateway only.",
        "code": error.code,
    }
    return _problem(told)


def nobody() -> Problem:
    """401: who are you?"""
    told = {
        "type": "urn:muster:problem:unauthenticated",
        "title": "Who are you?",
        "status": 401,
        "detail": "Sign in, and try again.",
    }
    return _problem(told, (("WWW-Authenticate", 'Bearer realm="muster"'),))


def prefers_html(accept: Iterable[str]) -> bool:
    """Whether Accept asks for a page: a browser's does, a program's does not. Weights are not looked at."""
    kinds = {part.partition(";")[0].strip().lower() for line in accept for part in line.split(",")}
    return "text/html" in kinds and not kinds & {"application/json", "application/problem+json"}


_NOT_KEPT = ("Cache-Control", "no-store")


def _remedy(remedy: Any) -> dict[str, Any]:
    return {**remedy.said, **({"href": remedy.href} if remedy.href is not None else {})}


def _problem(told: dict[str, Any], more: Fields = ()) -> Problem:
    body = json.dumps(told, ensure_ascii=True, separators=(",", ":")).encode()
    return Problem(told["status"], (("Content-Type", "application/problem+json"), *more, _NOT_KEPT), body)
