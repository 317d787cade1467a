"""Values for Caddy: `forward_auth` written out, so that an allow is exactly 200 and a silence is 503."""

from __future__ import annotations

from engine.gateways import shared
from engine.gateways.wishes import ASK_PATH, Tls, Wishes


def values(wishes: Wishes) -> dict[str, str]:
    """What `Caddyfile` needs; raises BadRequest."""
    shared.no_over(wishes, "caddy")
    shared.no_inner(wishes, "caddy")
    muster, port = wishes.muster, wishes.listen.port
    sites = ", ".join(f"http://{name}:{port}" for name in wishes.names)
    return {
        "sites": sites or f"http://:{port}",
        "bind": f"bind {wishes.listen.host}" if wishes.listen.host else "",
        "other_hosts": _other_hosts(wishes) if wishes.names else "",
        "muster": f"unix/{muster.path}" if muster.path else muster.url,
        "backend": shared.plain_backend(wishes, "caddy").url,
        "ask_path": ASK_PATH,
        "key": f"header_up Muster-Gateway-Key {{file.{wishes.key_file}}}" if wishes.key_file else "",
        "tls": _tls(wishes.tls, muster.host) if wishes.tls else "",
        "connect": f"{shared.CONNECT_MS}ms",
        "answer": f"{shared.ANSWER_MS}ms",
        "idle": f"{shared.IDLE_SECONDS}s",
        "undecided": shared.problem("undecided"),
    }


def _tls(tls: Tls, host: str) -> str:
    own = f"tls_client_auth {tls.cert} {tls.key}\n" if tls.cert else ""
    return f"tls\n{own}tls_trust_pool file {tls.ca}\ntls_server_name {host}"


def _other_hosts(wishes: Wishes) -> str:
    bind = f"\tbind {wishes.listen.host}\n" if wishes.listen.host else ""
    return (
        "# Every other host: without this Caddy says 200 to them, with nothing in it.\n"
        f"http://:{wishes.listen.port} {{\n{bind}\theader Content-Type application/problem+json\n"
        f"\trespond `{shared.problem('host')}` 421\n}}"
    )
