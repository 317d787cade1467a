"""One request at a gateway as Muster is asked about it; its mutations; and a second, simple reading of it."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote_to_bytes

from engine.adapters.gateway import messages
from tests.adapters.gateway.edge import EXPORT, TOLD

PREFIX = b"/v1/forward-auth"
Lines = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What arrives at Muster: for Envoy's protocol, what stands in a CheckRequest. The gateway's key is not in it."""

    method: bytes
    path: bytes
    query: bytes
    headers: Lines
    host: bytes = b""
    """Of a CheckRequest."""

    def on_the_wire(self, more: list[tuple[bytes, bytes]]) -> bytes:
        """As HTTP/1.1."""
        target = self.path + (b"?" + self.query if self.query else b"")
        lines = b"".join(b"%b: %b\r\n" % line for line in (*self.headers, *more))
        return b"%b %b HTTP/1.1\r\n%b\r\n" % (self.method, target, lines)

    def check(self) -> messages.CheckRequest:
        """As Envoy's protocol has it; texts there are UTF-8."""
        target = self.path + (b"?" + self.query if self.query else b"")
        headers = [messages.HeaderValue(key=name.decode("latin-1"), raw_value=value) for name, value in self.headers]
        http = messages.HttpRequest(
            method=self.method.decode("latin-1"),
            host=self.host.decode("latin-1"),
            path=target.decode("latin-1"),
            header_map=messages.HeaderMap(headers=headers),
        )
        inner = messages.Request(http=http)
        return messages.CheckRequest(attributes=messages.AttributeContext(request=inner))


def valid(name: str, token: str) -> Request:
    """The ask of a gateway that is allowed: ada's export, under a ticket."""
    who = (b"Authorization", b"Bearer " + token.encode()) if name == "tokens" else (b"X-User", b"ada")
    return _ask(name, b"POST", ((b"X-Ticket", b"REQ-1"), who))


def preflight(name: str) -> Request:
    """A browser's question before that export, which nobody signs."""
    asks: Lines = ((b"Origin", b"https://app.example"), (b"Access-Control-Request-Method", b"POST"))
    return _ask(name, b"OPTIONS", asks)


def _ask(name: str, wanted: bytes, own: Lines) -> Request:
    path, _, query = EXPORT.encode().partition(b"?")
    if name == "envoy-http":
        return Request(wanted, PREFIX + path, query, ((b"Host", b"api.example"), *own))
    if name == "envoy-grpc":
        return Request(wanted, path, query, own, b"api.example")
    method, host, target = (each.encode() for each in TOLD[name])
    there: Lines = () if host == b"Host" else ((b"Host", b"muster.internal"),)
    told: Lines = ((host, b"api.example"), (method, wanted), (target, EXPORT.encode()))
    return Request(b"GET", PREFIX, b"", (*there, *told, *own))


def ALLOWED(asked: dict[str, str]) -> bool:  # noqa: N802 - a constant of the world that the tests made
    """Whether the gate lets a question through, in a world where ada alone is trained."""
    if "preflight" in asked:
        return True
    return (
        (asked["user"], asked["customer"]) == ("ada", "acme")
        and asked["dataset"] == "customers"
        and asked["destination"] == "warehouse://analytics"
        and re.fullmatch(r"[A-Z]{2,10}-[0-9]{1,10}", asked.get("ticket", "")) is not None
    )


# Mutations.

NAMES = (
    b"X-User", b"x_user", b"X.User", b"x~user", b"X+User", b"x-user ", b"X-Ticket", b"x_ticket", b"X-Original-URI",
    b"X-Original-Method", b"X-Forwarded-Uri", b"X-Forwarded-Method", b"X-Forwarded-Host", b"X_Forwarded_Uri", b"Host",
    b"Authorization", b"X-HTTP-Method-Override", b"X-Method-Override", b"x_http_method", b"Origin", b"Connection",
    b"Access-Control-Request-Method", b"X-Rewrite-Url", b"Forwarded", b"Via", b"Accept", b"Muster-Decision-Id",
)  # fmt: skip
VALUES = (
    b"", b" ", b"root", b"ada", b"ada, root", b"ada,", b"ADA", b"ada\xa0", b"\xa0ada", b"ada\t", b"ad\xc3\xa1", b"ada;",
    b"REQ-2", b"req-1", b"REQ-1, REQ-2", b"GET", b"POST", b"DELETE", b"OPTIONS", b"HEAD", b"POST, GET", b"/nowhere",
    EXPORT.encode(), EXPORT.encode() + b"#", EXPORT.encode() + b"&to=x", b"http://api.example" + EXPORT.encode(), b"*",
    b"api.example", b"API.EXAMPLE.:443", b"api.example:", b"evil.example", b"api.example, evil.example", b"[::1]",
    b"a@api.example", b"Bearer x.y.z", b"Basic YWRhOng=", b"https://app.example", b"a" * 3000, b"close", b"text/html",
)  # fmt: skip
BYTES = b"\x00\t\n\r \"#%&'*+,-./:;=?@AZ[\\]_az{|}~\x7f\x80\x85\xa0\xad\xc3\xff" + bytes(range(48, 58))
PIECES = (
    b"..", b".", b"", b"%2e", b"%2e%2e", b"%2f", b"%5c", b"\\", b";v=1", b"%00", b"%0a", b"%23", b"%3f", b"%25", b"%zz",
    b"%ff", b"%c0%af", b"%EF%BC%8F", b"#", b"?", b"&to=x", b"&To=x", b"&to[]=x", b"&_method=GET", b"%61", b"%41", b"//",
    b"/", b"+", b"%2B", b"&a=1", b"a", b"=", b"%26to%3Dx", b";to=x",
)  # fmt: skip


def mutated(dice: random.Random, request: Request) -> Request:
    """The same in one place otherwise."""
    places = len(request.headers)
    what = dice.randrange(10)
    if what < 6 and places:
        at = dice.randrange(places)
        name, value = request.headers[at]
        lines = _lines(dice, what, name, value)
        if request.host and any(not _text(given) for given, _ in lines):
            lines = [(name, value + b"\xff")]
        return replace(request, headers=(*request.headers[:at], *lines, *request.headers[at + 1 :]))
    if what == 6:
        more = (dice.choice(NAMES), dice.choice(VALUES))
        at = dice.randrange(places + 1)
        return replace(request, headers=(*request.headers[:at], more, *request.headers[at:]))
    field = dice.choice(("method", "path", "query", "host") if request.host else ("method", "path", "query"))
    changed: dict[str, Any] = {field: _bytes(dice, getattr(request, field))}
    return replace(request, **changed)


def _text(name: bytes) -> bool:
    return name.isascii()


def _lines(dice: random.Random, what: int, name: bytes, value: bytes) -> list[tuple[bytes, bytes]]:
    """What stands in the place of one header line."""
    if what == 0:
        return dice.choice([[], [(name, value)] * 2, [(name, value), (name.swapcase(), dice.choice(VALUES))]])
    if what == 1:
        return [(_bytes(dice, name), value)]
    if what == 2:
        return [(name, dice.choice(VALUES))]
    if what == 3:
        return [(name, value), (name.replace(b"-", dice.choice((b"_", b".", b"~", b"+", b"--"))), dice.choice(VALUES))]
    return [(name, _bytes(dice, value))]


def _bytes(dice: random.Random, value: bytes) -> bytes:
    """One byte, or one piece, more, less or otherwise."""
    at = dice.randrange(len(value) + 1)
    new = dice.choice(PIECES) if dice.random() < 0.4 else bytes([dice.choice(BYTES)])
    return value[:at] + (new if dice.random() < 0.8 else b"") + value[at + dice.randrange(2) :]


# The second reading.


def question(name: str, request: Request, token: str) -> dict[str, str] | None:
    """What the request asks, or None where that can be read in no way, or in more than one."""
    headers = [(given.lower(), value.strip(b" \t")) for given, value in request.headers]
    told = _told(name, request, headers)
    if told is None:
        return None
    method, host, target = told
    path, _, query = target.partition(b"?")
    if not re.fullmatch(rb"(?i:api\.example)\.?(:[0-9]{1,5})?", host) or re.search(rb"[^!-~]|#", target):
        return None
    asked = _asked(path)
    if asked is None:
        return None
    overrides = [
        n for n, _ in headers if _plain(n) in (b"x-http-method-override", b"x-http-method", b"x-method-override")
    ]
    if overrides or re.search(rb"(?:^|[&;?])_method", unquote_to_bytes(query).lower().replace(b".", b"_")):
        return None
    if method == b"OPTIONS":
        wanted = [_values(headers, each) for each in (b"origin", b"access-control-request-method")]
        export = f"customers/{asked['customer']}/exports/{asked['dataset']}"
        return {"preflight": export} if len(wanted[0]) == 1 and wanted[1] == [b"POST"] else None
    destination = _destination(query)
    ticket, user = _only(headers, b"x-ticket", needed=False), _user(name, headers, token)
    if method != b"POST" or destination is None or ticket is None or user is None:
        return None
    said = {"user": user, "action": "data-export", "destination": destination, **asked}
    return said if ticket == "(none)" else said | {"ticket": ticket}


def _told(name: str, request: Request, headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes, bytes] | None:
    """Method, host and target, each said once."""
    target = request.path + (b"?" + request.query if request.query else b"")
    if name == "envoy-grpc":
        return request.method, request.host, target
    if name == "envoy-http":
        # Empty lines before a request are skipped, and blanks around its target are one (RFC 9112 sections 2.2 and 3).
        method, target = request.method.lstrip(b"\r\n").rstrip(b" "), target.lstrip(b" ")
        found = [method, *_values(headers, b"host"), target.removeprefix(PREFIX)]
    else:
        found = [value for each in TOLD[name] for value in _values(headers, each.encode().lower())]
    return (found[0], found[1], found[2]) if len(found) == 3 else None


def _values(headers: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for given, value in headers if given == name]


def _plain(name: bytes) -> bytes:
    return re.sub(rb"[^a-z0-9]", b"-", name)


def _only(headers: list[tuple[bytes, bytes]], name: bytes, *, needed: bool = True) -> str | None:
    """The one value of a header; None where there are two, joined or by aliases, or bytes that are no text."""
    like = [(given, value) for given, value in headers if _plain(given) == name]
    if not like:
        return None if needed else "(none)"
    text = like[0][1]
    good = len(like) == 1 and like[0][0] == name and re.fullmatch(rb"[ -+\--~]*", text)
    return text.decode() if good else None


def _user(name: str, headers: list[tuple[bytes, bytes]], token: str) -> str | None:
    """The one user: by the very token that was issued, or by the header."""
    if name != "tokens":
        return _only(headers, b"x-user") or None
    sent = _values(headers, b"authorization")
    right = len(sent) == 1 and re.fullmatch(rb"(?i:bearer) +" + re.escape(token.encode()), sent[0])
    return "ada" if right else None


def _asked(path: bytes) -> dict[str, str] | None:
    """Customer and dataset of a path, by its segments."""
    if re.search(rb"[\\;]|%(?![0-9a-fA-F]{2})|%(?:[01][0-9a-fA-F]|7[fF]|2[eEfF35]|3[bBfF]|5[cC])", path):
        return None
    parts = path.split(b"/")
    if len(parts) == 6 and not parts[5]:
        parts.pop()
    if len(parts) != 5 or parts[0] or not all(parts[1:]):
        return None
    try:
        _, first, customer, third, dataset = (unquote_to_bytes(part).decode("utf-8") for part in parts)
    except UnicodeDecodeError:
        return None
    if (first, third) != ("customers", "exports") or {customer, dataset} & {".", ".."}:
        return None
    return {"customer": customer, "dataset": dataset}


def _destination(query: bytes) -> str | None:
    """The only value of `to`, with no other spelling of its name beside it."""
    found = []
    for piece in query.split(b"&"):
        given, equals, value = piece.partition(b"=")
        plain = unquote_to_bytes(given.replace(b"+", b" "))
        if re.fullmatch(rb"(?i:to)", plain.partition(b"[")[0].strip()):
            found.append((plain, equals, value))
    if b";" in query or len(found) != 1 or found[0][:2] != (b"to", b"=") or re.search(rb"%(?![0-9a-fA-F]{2})", query):
        return None
    try:
        return unquote_to_bytes(found[0][2].replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        return None
