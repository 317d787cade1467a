"""Values for nginx: `auth_request`, the one hook of the five that passes neither URI, method nor denial by itself."""

from __future__ import annotations

from engine.gateways import shared
from engine.gateways.wishes import ASK_PATH, Tls, Wishes


def values(wishes: Wishes) -> dict[str, str]:
    """What `nginx.conf` needs; raises BadRequest."""
    shared.no_over(wishes, "nginx")
    shared.no_inner(wishes, "nginx")
    muster = wishes.muster
    return {
        "listen": f"{shared.listen_host(wishes, '*')}:{wishes.listen.port}",
        "default_server": " default_server" if not wishes.names else "",
        "server_name": " ".join(wishes.names) or "_",
        "other_hosts": _other_hosts(wishes),
        "muster": f"unix:{muster.path}" if muster.path else muster.address,
        "backend": shared.plain_backend(wishes, "nginx").address,
        "ask": f"{'https' if muster.tls else 'http'}://muster{ASK_PATH}",
        "key": _key(wishes),
        "tls": _tls(wishes.tls, muster.host) if wishes.tls else "",
        "connect": f"{shared.CONNECT_MS}ms",
        "answer": f"{shared.ANSWER_MS}ms",
        "idle": f"{shared.IDLE_SECONDS}s",
        "undecided": shared.problem("undecided"),
        "denied": shared.problem("denied"),
        "unknown": shared.problem("unknown"),
    }


def _key(wishes: Wishes) -> str:
    if not wishes.key_file:
        return 'proxy_set_header Muster-Gateway-Key "";'
    return (
        '# This file is one line, `proxy_set_header Muster-Gateway-Key "TOKEN";`, and only root may read it.\n'
        f"include {wishes.key_file};"
    )


def _tls(tls: Tls, host: str) -> str:
    own = f"proxy_ssl_certificate {tls.cert};\nproxy_ssl_certificate_key {tls.key};\n" if tls.cert else ""
    return (
        f"{own}proxy_ssl_trusted_certificate {tls.ca};\nproxy_ssl_verify on;\nproxy_ssl_verify_depth 3;\n"
        f"proxy_ssl_name {host};\nproxy_ssl_server_name on;"
    )


def _other_hosts(wishes: Wishes) -> str:
    if not wishes.names:
        return ""
    return (
        "# Every other host.\nserver {\n"
        f"    listen {shared.listen_host(wishes, '*')}:{wishes.listen.port} default_server;\n"
        "    server_name _;\n    default_type application/problem+json;\n"
        f"    return 421 '{shared.problem('host')}';\n}}"
    )
