"""What somebody wants of a configuration: where Muster, the application and the gateway are, and who the gateway is.

Every value is read here, strictly: it goes into files of five languages, so a value holds no character that any of them
gives a meaning (quotes, spaces, line ends, braces, `$`, `%`, `#`, `;`).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit

from engine.errors import BadRequest

ASK_PATH: Final = "/v1/forward-auth"
FOLDER: Final = "/etc/muster-gateway"

_LABELS: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_-]+)*\Z")
_PATH: Final = re.compile(r"/[A-Za-z0-9._@+/-]+\Z")
_MOST_SOCKET: Final = 100  # of sockaddr_un's 108 bytes: some gateways keep a few for themselves


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something listens: a TCP host and port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""
    tls: bool = False

    @property
    def address(self) -> str:
        """`host:port`, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """`http://host:port` or `https://host:port`; raises ValueError for a Unix socket, which has none."""
        if self.path:
            raise ValueError("a Unix socket has no URL that all gateways know")
        return f"{'https' if self.tls else 'http'}://{self.address}"

    @property
    def is_ip(self) -> bool:
        """Whether the host is an address, which needs no look-up."""
        return not self.path and _is_ip(self.host)

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine: a socket, a loopback address, or `localhost`."""
        return (
            bool(self.path) or self.host == "localhost" or (self.is_ip and ipaddress.ip_address(self.host).is_loopback)
        )

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The way to Muster: whom to believe that it is Muster, and the gateway's own certificate, where it has one."""

    ca: str
    cert: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """All that a configuration is made from."""

    muster: Place
    backend: Place
    listen: Place
    key_file: str = ""
    tls: Tls | None = None
    names: tuple[str, ...] = ()
    over: Literal["grpc", "http"] = "grpc"
    inner: Place | None = None
    folder: str = FOLDER
    words: tuple[str, ...] = field(default=(), repr=False)


def place(option: str, text: str, *, unix: bool = True) -> Place:
    """Read `http://HOST[:PORT]`, `https://HOST[:PORT]` or `unix:PATH`; raises BadRequest."""
    if text.startswith("unix:"):
        if not unix:
            raise BadRequest(f"{option}: expected http://HOST:PORT, got {text!r}")
        return Place(path=_socket(option, text.removeprefix("unix:")))
    parts = _split(option, text)
    if parts.scheme not in {"http", "https"}:
        kinds = "http://HOST:PORT, https://HOST:PORT or unix:PATH" if unix else "http://HOST:PORT"
        raise BadRequest(f"{option}: expected {kinds}, got {text!r}")
    if parts.username is not None or parts.path not in {"", "/"} or "?" in text or "#" in text:
        raise BadRequest(f"{option}: a scheme, a host and a port, nothing else; got {text!r}")
    tls = parts.scheme == "https"
    return Place(host=_host(option, parts.hostname or ""), port=_port(option, parts, 443 if tls else 80), tls=tls)


def listener(option: str, text: str) -> Place:
    """Read `HOST:PORT` or `:PORT`, as something to listen on; raises BadRequest."""
    parts = _split(option, f"//{text}")
    if not text or parts.path or "?" in text or "#" in text or "@" in text or not _given_port(option, parts):
        raise BadRequest(f"{option}: expected HOST:PORT or :PORT, got {text!r}")
    host = _host(option, parts.hostname) if parts.hostname else ""
    if host and not _is_ip(host):
        raise BadRequest(f"{option}: the address to listen on is an IP address, got {host!r}")
    return Place(host=host, port=_port(option, parts, 0))


def file(option: str, text: str) -> str:
    """Read an absolute path whose characters are the same in every gateway's language; raises BadRequest."""
    if not _PATH.match(text) or any(part in {"", ".", ".."} for part in text.split("/")[1:]):
        raise BadRequest(f"{option}: an absolute path of letters, digits and . _ - + @ only, got {text!r}")
    return text


def name(option: str, text: str) -> str:
    """Read the name of a host that is served; raises BadRequest."""
    return _host(option, text).lower()


def tls_of(muster: Place, ca: str | None, cert: str | None, key: str | None) -> Tls | None:
    """The TLS options that belong together; raises BadRequest."""
    given = [f"--tls-{word}" for word, value in (("ca", ca), ("cert", cert), ("key", key)) if value is not None]
    if not muster.tls:
        if given:
            raise BadRequest(f"{given[0]}: only with --muster https://..., which is what it is for")
        return None
    if ca is None:
        raise BadRequest("--tls-ca: needed with https: the file of the authority that Muster's certificate is from")
    if (cert is None) is not (key is None):
        raise BadRequest("--tls-cert and --tls-key: give both, or none where the gateway has a key in --key-file")
    own = {"cert": file("--tls-cert", cert), "key": file("--tls-key", key)} if cert and key else {}
    return Tls(ca=file("--tls-ca", ca), **own)


def _split(option: str, text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port, parts.hostname
    except ValueError as exc:
        raise BadRequest(f"{option}: {text!r} is no address: {exc}") from exc
    if not text.isascii() or not text.isprintable() or " " in text:
        raise BadRequest(f"{option}: {text!r} holds characters that no address has")
    return parts


def _given_port(option: str, parts: SplitResult) -> bool:
    return _port(option, parts, 0) != 0


def _port(option: str, parts: SplitResult, default: int) -> int:
    port = parts.port
    if port == 0:
        raise BadRequest(f"{option}: port 0 is no port that anybody can find")
    return default if port is None else port


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _host(option: str, text: str) -> str:
    if "%" not in text and (_is_ip(text) or _LABELS.match(text)):
        return text
    raise BadRequest(f"{option}: {text!r} is no host name or address")


def _socket(option: str, text: str) -> str:
    path = file(option, text)
    if len(path) > _MOST_SOCKET:
        raise BadRequest(f"{option}: the path of a Unix socket has at most {_MOST_SOCKET} characters")
    return path
