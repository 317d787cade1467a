"""Values for HAProxy: a Lua action of ours asks HAProxy itself, whose inner listener asks Muster.

HAProxy's own HTTP client opens a connection for each call and knows no client certificate; a backend keeps connections,
has TLS, timeouts and health. Between the two is a Unix socket of HAProxy's own.
"""

from __future__ import annotations

from typing import Final

from engine.errors import BadRequest
from engine.gateways import shared
from engine.gateways.wishes import ASK_PATH, Place, Tls, Wishes

LUA: Final = "muster.lua"
_INNER: Final = Place(path="/run/haproxy/muster-ask.sock")
_BETWEEN: Final = 200


def values(wishes: Wishes) -> dict[str, str]:
    """What `haproxy.cfg` and `muster.lua` need; raises BadRequest."""
    shared.no_over(wishes, "haproxy")
    inner = wishes.inner or _INNER
    if not inner.path:
        raise BadRequest("--inner: haproxy's inner listener is unix:PATH: whoever reaches it asks as haproxy")
    muster = wishes.muster
    return {
        "listen": f"{shared.listen_host(wishes, '*')}:{wishes.listen.port}",
        "inner": f"unix@{inner.path}",
        "lua": f"{wishes.folder}/{LUA}",
        "key_line": f'local KEY_FILE = "{wishes.key_file}" -- one line, the token'
        if wishes.key_file
        else "local KEY_FILE",
        "ask_path": ASK_PATH,
        "hosts": _hosts(wishes) if wishes.names else "",
        "muster": f"unix@{muster.path}" if muster.path else muster.address,
        "backend": shared.plain_backend(wishes, "haproxy").address,
        "tls": _tls(wishes.tls, muster.host) if wishes.tls else "",
        "resolve": "" if muster.path or muster.is_ip else " init-addr last,libc,none",
        "connect": f"{shared.CONNECT_MS}ms",
        "answer": f"{shared.ANSWER_MS}ms",
        "deadline": str(shared.CONNECT_MS + shared.ANSWER_MS + _BETWEEN),
        "idle": f"{shared.IDLE_SECONDS}s",
        "undecided": shared.problem("undecided"),
    }


def _tls(tls: Tls, host: str) -> str:
    # HAProxy looks for the key beside its certificate: in the same file, or in one of that name with `.key` behind it.
    if tls.cert and tls.key != f"{tls.cert}.key":
        raise BadRequest(f"--tls-key: haproxy finds a certificate's key as {tls.cert}.key; put it there, or link it")
    own = f" crt {tls.cert}" if tls.cert else ""
    return f" ssl verify required ca-file {tls.ca}{own} sni str({host}) verifyhost {host}"


def _hosts(wishes: Wishes) -> str:
    return (
        f"acl known_host req.hdr(host),host_only,lower -m str {' '.join(wishes.names)}\n"
        f"http-request return status 421 content-type application/problem+json string "
        f"'{shared.problem('host')}' unless known_host"
    )
