"""What a gateway is told: 200, 403, 401 or 503, never blurred, in a form that a machine and a browser can use.

An allow is exactly 200 with an empty body. A denial is a problem document (RFC 9457), with the same on one line in
`Muster-Problem` for gateways that drop bodies; a browser is sent to the remedy where its route says so. Nothing but
what stands here is sent: no cookie, and nothing that may be kept but an allow, where `keeping` says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from engine.access.returning import PARAMETER
from engine.bundling.gateways import Gateway
from ledger.model import JSON

_MOST_LINE: Final = 2048
_SEEN: Final[tuple[str, ...]] = ("code", "title", "message", "remedy")

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status, headers and body, as a gateway gets them."""

    status: int
    headers: Fields
    body: bytes = b""
    outcome: str = "allow"
    """For those who count: allow, deny, unauthenticated or undecided."""
    cause: str = ""
    """Why it is undecided."""


NOT_KEPT: Final = ("Cache-Control", "no-store")


def allowed(decision_id: str, assertion: str | None, kept: Fields = (NOT_KEPT,)) -> Answer:
    """Pass. `kept` says whether the gateway may give this answer again by itself."""
    proof = (("Muster-Assertion", assertion),) if assertion is not None else ()
    return Answer(status=200, headers=(("Muster-Decision-Id", decision_id), *proof, *kept))


def denied(decision_id: str, denials: Sequence[JSON], base: str, cors: Fields, detail: str = "") -> Answer:
    """Do not pass, and why."""
    first = _table(denials[0]) if denials else {}
    problem: dict[str, JSON] = {
        "type": "urn:muster:problem:denied",
        "title": first.get("title", "Denied"),
        "status": 403,
        "detail": detail or first.get("message", ""),
        "code": first.get("code"),
        "decision_id": decision_id,
        "denials": [_shown(_table(denial), base) for denial in denials],
    }
    return _problem(403, problem, cors, decision_id, "deny")


def unknown(decision_id: str | None, code: str, detail: str, cors: Fields) -> Answer:
    """Who is asking is not known, or not believed."""
    problem: dict[str, JSON] = {
        "type": "urn:muster:problem:unauthenticated",
        "title": "Who are you?",
        "status": 401,
        "detail": detail,
        "code": code,
        "decision_id": decision_id,
    }
    error = ', error="invalid_token"' if code == "bad_identity" else ""
    challenge = ("WWW-Authenticate", f'Bearer realm="muster"{error}')
    return _problem(401, problem, (*cors, challenge), decision_id, "unauthenticated")


def undecided(decision_id: str | None, cause: str, detail: str, cors: Fields = ()) -> Answer:
    """Could not decide: neither yes nor no."""
    problem: dict[str, JSON] = {
        "type": "urn:muster:problem:undecided",
        "title": "Could not decide",
        "status": 503,
        "detail": detail,
        "cause": cause,
        "decision_id": decision_id,
    }
    answer = _problem(503, problem, (*cors, ("Retry-After", "1")), decision_id, "undecided")
    return replace(answer, cause=cause)


def elsewhere(answer: Answer, denials: Sequence[JSON], base: str, said: Gateway, back: str | None) -> Answer:
    """A denial as a browser takes it: to the remedy, if that is at a host of the list; else the denial as it is.

    `back` is the word for the way back, which only our own pages can read. nginx takes no redirect from here: it is
    told the address with the 403, and its configuration makes the redirect.
    """
    for denial in denials:
        href = _link(_table(_table(denial).get("remedy")), base)
        if href is None or urlsplit(href).netloc not in said.remedy_hosts:
            continue
        if back is not None and href.startswith(f"{base}/"):
            href += f"{'&' if '?' in href else '?'}{PARAMETER}={back}"
        if said.gateway == "nginx":
            return replace(answer, headers=(*answer.headers, ("Location", href)))
        kept = tuple(each for each in answer.headers if each[0] != "Content-Type")
        return replace(answer, status=303, headers=(*kept, ("Location", href)), body=b"")
    return answer


def _problem(status: int, problem: dict[str, JSON], headers: Fields, decision_id: str | None, outcome: str) -> Answer:
    named = (("Muster-Decision-Id", decision_id),) if decision_id is not None else ()
    return Answer(
        status=status,
        headers=(
            ("Content-Type", "application/problem+json"),
            *named,
            ("Muster-Problem", _line(problem)),
            NOT_KEPT,
            *headers,
        ),
        body=json.dumps(problem, ensure_ascii=False, separators=(",", ":")).encode(),
        outcome=outcome,
    )


def _line(problem: dict[str, JSON]) -> str:
    """The document on one line of ASCII, cut to what a header can hold: first the last denials go, then the words."""
    short = dict(problem)
    denials = short.get("denials")
    kept = list(denials) if isinstance(denials, list) else []
    while True:
        if isinstance(denials, list):
            short["denials"] = kept
        text = json.dumps(short, separators=(",", ":"))
        if len(text) <= _MOST_LINE:
            return text
        if kept:
            kept.pop()
        else:
            short |= {"detail": str(short["detail"])[:120], "title": str(short["title"])[:60]}
            return json.dumps(short, separators=(",", ":"))


def _shown(denial: dict[str, JSON], base: str) -> JSON:
    """What of a denial is for whoever is denied."""
    shown: dict[str, JSON] = {name: denial[name] for name in _SEEN if name in denial}
    remedy = _table(denial.get("remedy"))
    href = _link(remedy, base)
    return {**shown, "remedy": {**remedy, "href": href}} if href is not None else shown


def _link(remedy: dict[str, JSON], base: str) -> str | None:
    """A remedy's address, whole."""
    href = remedy.get("href")
    if not isinstance(href, str):
        return None
    return base + href if href.startswith("/") else href


def _table(value: JSON) -> dict[str, JSON]:
    return value if isinstance(value, dict) else {}
