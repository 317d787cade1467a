"""What several gateways' configurations say in the same words."""

from __future__ import annotations

import json
from typing import Final

from engine.errors import BadRequest
from engine.gateways.wishes import Place, Wishes

CONNECT_MS: Final = 200
"""How long a gateway waits for a connection to Muster."""
ANSWER_MS: Final = 1000
"""How long it waits for the answer: longer than Muster's own deadline (800 ms), so that Muster is who says 503."""
IDLE_SECONDS: Final = 60
"""How long it keeps an idle connection: less than Muster does (120 s), so that no ask meets a closing one."""

_TITLES: Final = {
    "undecided": ("Could not decide", 503, "Muster gave no answer that could be used. Nothing was allowed; try again."),
    "denied": ("Denied", 403, "Muster denied this, and its reason did not come with the answer."),
    "unknown": (
        "Who are you?",
        401,
        "Muster does not know who asks, and its reason did not come with the answer.",
    ),
    "host": ("No such host here", 421, "This gateway does not serve that host."),
}


def problem(code: str) -> str:
    """A gateway's own problem document (RFC 9457), on one line; its words hold no quote, backslash or `%`."""
    title, status, detail = _TITLES[code]
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    return json.dumps(document, separators=(",", ":"))


def plain_backend(wishes: Wishes, kind: str) -> Place:
    """The application; raises BadRequest where it is not plain HTTP over TCP."""
    if wishes.backend.path or wishes.backend.tls:
        raise BadRequest(f"--backend: {kind} is printed for an application on http://HOST:PORT; got {wishes.backend}")
    return wishes.backend


def listen_host(wishes: Wishes, everywhere: str) -> str:
    """The host part to listen on; `everywhere` is how the gateway spells all addresses."""
    host = wishes.listen.host
    return f"[{host}]" if ":" in host else host or everywhere


def no_over(wishes: Wishes, kind: str) -> None:
    """Only Envoy has two ways to ask; raises BadRequest."""
    if "--over" in wishes.words:
        raise BadRequest(f"--over: only envoy asks in two ways; {kind} asks over HTTP")


def no_inner(wishes: Wishes, kind: str) -> None:
    """Only Traefik and HAProxy ask through a listener of their own; raises BadRequest."""
    if wishes.inner is not None:
        raise BadRequest(f"--inner: {kind} asks Muster directly; only traefik and haproxy have an inner listener")
