"""Values for Traefik: ForwardAuth asks Traefik itself, whose second entry point asks Muster.

ForwardAuth alone cannot add a header to the ask, waits 30 s, takes any 2xx for an allow, and says 500 for a silence.
An entry point can: the key is added there, there are timeouts, connections are kept, and statuses rewritten.
"""

from __future__ import annotations

from typing import Final

from engine.errors import BadRequest
from engine.gateways import shared
from engine.gateways.wishes import ASK_PATH, Place, Tls, Wishes

ROUTES: Final = "traefik-muster.yml"
_INNER: Final = Place(host="127.0.0.1", port=9180)


def values(wishes: Wishes) -> dict[str, str]:
    """What `traefik.yml` and `traefik-muster.yml` need; raises BadRequest."""
    shared.no_over(wishes, "traefik")
    if wishes.muster.path:
        raise BadRequest("--muster: traefik asks over TCP only: http://HOST:PORT or https://HOST:PORT")
    inner = wishes.inner or _INNER
    if inner.path or inner.tls or not (inner.is_ip and inner.host.startswith("127.")):
        raise BadRequest(
            "--inner: traefik's inner listener is http://127.0.0.1:PORT: whoever reaches it asks as traefik"
        )
    return {
        "listen": f"{shared.listen_host(wishes, '')}:{wishes.listen.port}",
        "inner": inner.address,
        "routes": f"{wishes.folder}/{ROUTES}",
        "rule": " || ".join(f"Host(`{name}`)" for name in wishes.names) or "PathPrefix(`/`)",
        "muster": wishes.muster.url,
        "backend": shared.plain_backend(wishes, "traefik").url,
        "ask": f"{inner.url}{ASK_PATH}",
        "ask_path": ASK_PATH,
        "key": "" if wishes.tls and wishes.tls.cert else "Muster-Gateway-Key: '{{ env \"MUSTER_GATEWAY_KEY\" }}'",
        "no_key": 'Muster-Gateway-Key: ""' if wishes.tls and wishes.tls.cert else "",
        "tls": _tls(wishes.tls, wishes.muster.host) if wishes.tls else "",
        "connect": f"{shared.CONNECT_MS}ms",
        "answer": f"{shared.ANSWER_MS}ms",
        "idle": f"{shared.IDLE_SECONDS}s",
        "undecided": shared.problem("undecided"),
    }


def _tls(tls: Tls, host: str) -> str:
    own = f"certificates:\n  - certFile: {tls.cert}\n    keyFile: {tls.key}\n" if tls.cert else ""
    return f"serverName: {host}\nrootCAs: [{tls.ca}]\n{own}".rstrip()
