"""Probes of requests in every form: targets, methods, heads, bodies, upgrades, many on one connection."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from engine.gateways.check import http2
from engine.gateways.check.judging import Found, arrivals, shut
from engine.gateways.check.pdp import ALLOW, DENY, promises_body
from engine.gateways.check.site import MARK, SECONDS, Exchange, Site, without_port
from engine.gateways.check.targets import HEADS, METHODS, TARGETS
from engine.gateways.check.wire import chunked

_BODY: Final = bytes(range(250)) * 400
_HANDSHAKE: Final = (
    ("Upgrade", "websocket"),
    ("Connection", "keep-alive, Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
)
_H2C: Final = (
    ("Upgrade", "h2c"),
    ("Connection", "Upgrade, HTTP2-Settings"),
    ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
)
_PREFLIGHT: Final = (("Origin", "https://elsewhere.example"), ("Access-Control-Request-Method", "DELETE"))


def targets(site: Site) -> Iterator[Found]:
    """The table, allowed and denied."""
    for target in TARGETS:
        prefixed = _prefixed(site, target)
        yield from arrivals(site, site.call(prefixed))
        with site.pdp.answering(DENY):
            yield from arrivals(site, site.call(prefixed))


def _prefixed(site: Site, target: bytes) -> bytes:
    prefix = site.prefix.encode()
    if site.keys is not None:  # Muster's own routes let through what stands for a path of theirs, and nothing below it
        target = target.replace(b"/admin", site.path.partition("?")[0].encode())
        prefix = b""
    named = target.replace(b"app.example:443", without_port(site.host).encode("latin-1") + b":443")
    named = named.replace(b"app.example", site.host.encode("latin-1"))
    if named.startswith(b"/"):
        return prefix + named
    scheme, sign, rest = named.partition(b"://")
    host, slash, path = rest.partition(b"/")
    return scheme + sign + host + prefix + slash + path if sign and slash else named


def streams(site: Site) -> Iterator[Found]:
    """The same over HTTP/2 on the same port, where that is spoken without TLS."""
    if site.tls is not None:
        return
    own = [(name.lower().encode(), value.encode("latin-1")) for name, value in (*site.headers, (MARK, site.run))]
    own.append((b"muster-decision-id", b"made-up"))
    if _stream(site, site.path.encode(), own) != "answered":
        return  # not spoken here
    for path in http2.PATHS:
        target = site.prefix.encode() + path if path.startswith(b"/") else path
        for plan in (ALLOW, DENY):
            with site.pdp.answering(plan), site.watch("HTTP/2 GET", target.decode("latin-1")) as exchange:
                _stream(site, target, own)
            yield from arrivals(site, exchange)


def _stream(site: Site, target: bytes, own: list[tuple[bytes, bytes]]) -> str:
    try:
        return http2.call(site.address, http2.fields(target, site.host.encode("latin-1"), *own), seconds=SECONDS)
    except OSError:
        return "closed"


def methods(site: Site) -> Iterator[Found]:
    """Known, unknown, and in another case; allowed and denied."""
    for method in METHODS:
        target = f"{without_port(site.host)}:443" if method == "CONNECT" else site.path
        yield from arrivals(site, site.call(target, method=method))
        with site.pdp.answering(DENY):
            yield from arrivals(site, site.call(target, method=method))


def heads(site: Site) -> Iterator[Found]:
    """Heads that no library sends, allowed and denied."""
    for name, head in HEADS.items():
        raw = _marked(site, head, site.aim("head"))
        for plan in (ALLOW, DENY):
            with site.pdp.answering(plan):
                exchange = site.raw(raw, name, site.path)
            yield from arrivals(site, exchange)
            if any(b"made-up" in seen.message.raw for seen in exchange.seen) and _as_muster(exchange):
                yield "forged", str(exchange)


def _marked(site: Site, head: bytes, target: str) -> bytes:
    """A head of the table about this target, with the headers that were asked for behind its first line."""
    named = head.replace(b"app.example", site.host.encode("latin-1")).replace(b"/admin", target.encode())
    before, line, rest = named.partition(target.encode())
    first, end, after = rest.partition(b"\r\n")
    own = "".join(f"{name}: {value}\r\n" for name, value in (*site.headers, (MARK, site.run)))
    return before + line + first + end + own.encode("latin-1") + after


def _as_muster(exchange: Exchange) -> bool:
    """Whether it stands under a name of Muster's: in the middle of another value it says nothing."""
    lines = [line for seen in exchange.seen for line in seen.message.lines]
    return any(name.strip().lower().startswith("muster") and "made-up" in value for name, value in lines)


def preflight(site: Site) -> Iterator[Found]:
    """OPTIONS of a browser is asked about, too."""
    with site.pdp.answering(DENY):
        exchange = site.call(None, *_PREFLIGHT, method="OPTIONS")
    yield from arrivals(site, exchange)
    if not exchange.seen and not exchange.asks and 200 <= exchange.status < 300:
        yield "preflight", str(exchange)


def websocket(site: Site) -> Iterator[Found]:
    """Judged at its handshake."""
    exchange = site.call(None, *_HANDSHAKE)
    yield from arrivals(site, exchange)
    if exchange.asks and exchange.status != 101:
        yield "no_websocket", str(exchange)
    with site.pdp.answering(DENY):
        exchange = site.call(None, *_HANDSHAKE)
    yield from shut(site, exchange)
    if exchange.status == 101:
        yield "passed_refusal", str(exchange)


def other_upgrade(site: Site) -> Iterator[Found]:
    """Another protocol than websocket reaches nobody."""
    exchange = site.call(None, *_H2C)
    yield from arrivals(site, exchange)
    for seen in exchange.seen:
        connection = ",".join(seen.message.all("connection")).lower()
        if seen.message.all("upgrade") and "upgrade" in connection:
            yield "other_upgrade", f"{exchange} with Upgrade: h2c"


def bodies(site: Site) -> Iterator[Found]:
    """A body goes to the application and not to Muster, in either framing."""
    chunks = site.bytes_of(site.path, ("Transfer-Encoding", "chunked"), method="POST") + chunked(_BODY, 9999)
    for exchange in (
        site.call(method="POST", body=_BODY),
        site.raw(chunks, "POST", site.path),
        site.call(None, ("Expect", "100-continue"), method="POST", body=_BODY),
    ):
        yield from arrivals(site, exchange)
        for ask in exchange.asks:
            if ask.asked.body or (site.way != "check" and promises_body(ask.message)):
                yield "body_promised", str(exchange)
        wanted = sha256(_BODY).digest()
        if exchange.asks and [sha256(seen.message.body).digest() for seen in exchange.seen] != [wanted]:
            yield "lost_body", str(exchange)


def smuggled(site: Site) -> Iterator[Found]:
    """A request that hides in another's body is none: two framings, and a body that a denial left unread."""
    hidden = site.bytes_of(f"{site.prefix}/hidden")
    both = [("Content-Length", "4"), ("Transfer-Encoding", "chunked")]
    for order in (both, both[::-1]):
        raw = site.bytes_of(site.path, *order, method="POST") + chunked(hidden, 4096)
        yield from arrivals(site, site.raw(raw, "POST", site.path))
    with site.pdp.answering(DENY):
        yield from arrivals(site, site.call(method="POST", body=hidden * 20))


def each(site: Site) -> Iterator[Found]:
    """On one connection, and about one target: allowed, denied, and allowed again."""
    target = site.aim("each")
    with site.connection() as client:
        for number in range(10):
            plan = ALLOW if number % 2 == 0 else DENY
            with site.pdp.answering(plan), site.watch("GET", target) as exchange:
                try:
                    client.send(site.bytes_of(target))
                    exchange.answer = client.answer()
                except (ValueError, OSError):
                    return  # the gateway ended the connection: what it still owes, `denied` has seen
            yield from arrivals(site, exchange)
            if exchange.asks and exchange.answer is not None and "close" in exchange.answer.all("connection"):
                return


def pipelined(site: Site) -> Iterator[Found]:
    """Sent at once, and asked about one by one."""
    with site.watch("GET", site.path) as exchange:
        try:
            with site.connection() as client:
                client.send(b"".join(site.bytes_of(site.aim(f"n{number}")) for number in range(5)))
                for _ in range(5):
                    exchange.answer = client.answer()
        except (ValueError, OSError):
            pass
    yield from arrivals(site, exchange)
