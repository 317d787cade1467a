"""HTTP/1.1 byte by byte: what no client library would send, and what a library would hide.

A head is kept as it came: its first line, and each header line in order, with its spelling. Framing is read by
Content-Length and chunks; a message whose framing cannot be read, or that is larger than anything sent here, raises
ValueError. A client waits for an answer as a whole: who sends a byte a second does not hold it.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

SECONDS: Final = 20.0
_MOST: Final = 16 << 20

Read = Callable[[int], bytes]


@dataclass(slots=True)
class Message:
    """A request or an answer: `first` is its first line, `raw` its head as it came."""

    raw: bytes
    first: str
    lines: list[tuple[str, str]]
    body: bytes = b""
    framed: bool = True
    """Whether the body came whole."""

    def all(self, name: str) -> list[str]:
        """The values of all lines of a header, in order."""
        return [value for key, value in self.lines if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """The value of a header that stands on one line; None where there is none; ValueError for two."""
        found = self.all(name)
        if len(found) > 1:
            raise ValueError(f"{name} stands {len(found)} times: {found}")
        return found[0] if found else None

    @property
    def status(self) -> int:
        """An answer's status; ValueError where that is no line of an answer."""
        version, _, rest = self.first.partition(" ")
        if not version.startswith("HTTP/"):
            raise ValueError(f"no HTTP: {self.first[:80]!r}")
        return int(rest.partition(" ")[0])

    @property
    def method(self) -> str:
        """A request's method."""
        return self.first.split(" ", 1)[0]

    @property
    def target(self) -> str:
        """A request's target, as it came."""
        return self.first.split(" ", 1)[1].rsplit(" ", 1)[0]


@dataclass(slots=True)
class Reader:
    """Bytes of a connection, read as messages."""

    read: Read
    held: bytearray = field(default_factory=bytearray)

    def head(self) -> Message | None:
        """The next head; None where the connection ended before one began. Raises ValueError for half of one."""
        while b"\r\n\r\n" not in self.held:
            if not self._more():
                if self.held:
                    raise ValueError(f"the connection ended within a head: {bytes(self.held[:200])!r}")
                return None
        raw, _, rest = bytes(self.held).partition(b"\r\n\r\n")
        self.held = bytearray(rest)
        first, *lines = raw.decode("latin-1").split("\r\n")
        split = [line.partition(":") for line in lines]
        return Message(raw=raw, first=first, lines=[(name, value.strip(" \t")) for name, _, value in split])

    def exactly(self, size: int) -> bytes:
        """That many bytes; raises ValueError where the connection ends before them."""
        while len(self.held) < size:
            if not self._more():
                raise ValueError(f"{len(self.held)} of {size} bytes came")
        taken = bytes(self.held[:size])
        del self.held[:size]
        return taken

    def line(self) -> bytes:
        """A line, without its end."""
        while b"\r\n" not in self.held:
            if not self._more():
                raise ValueError("the connection ended within a line")
        taken, _, rest = bytes(self.held).partition(b"\r\n")
        self.held = bytearray(rest)
        return taken

    def until_closed(self) -> bytes:
        """All that still comes."""
        while self._more():
            pass
        taken = bytes(self.held)
        self.held.clear()
        return taken

    def body(self, message: Message) -> bytes:
        """A body that has a length or is chunked; empty where the message has neither."""
        if (message.get("transfer-encoding") or "").lower() == "chunked":
            whole = bytearray()
            while size := int(self.line().split(b";")[0], 16):
                whole += self.exactly(size)
                self.line()
                if len(whole) > _MOST:
                    raise ValueError(f"more than {_MOST} bytes of a body")
            while self.line():  # trailers
                pass
            return bytes(whole)
        return self.exactly(int(message.get("content-length") or 0))

    def _more(self) -> bool:
        got = self.read(65536)
        self.held += got
        if len(self.held) > _MOST:
            raise ValueError(f"more than {_MOST} bytes without an end")
        return bool(got)


@dataclass(slots=True)
class Client:
    """One connection to a gateway."""

    address: tuple[str, int]
    seconds: float = SECONDS
    tls: ssl.SSLContext | None = None
    name: str | None = None
    """The server's name, for TLS."""
    socket: socket.socket = field(init=False)
    reader: Reader = field(init=False)
    _until: float = field(init=False)

    def __post_init__(self) -> None:
        self.socket = socket.create_connection(self.address, timeout=self.seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is not None:
            try:
                self.socket = self.tls.wrap_socket(self.socket, server_hostname=self.name)
            except OSError:
                self.socket.close()
                raise
        self.reader = Reader(self._read)
        self._until = time.monotonic() + self.seconds

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are; what is answered has to come within the client's seconds from now."""
        self._until = time.monotonic() + self.seconds
        self.socket.settimeout(self.seconds)
        self.socket.sendall(data)

    def answer(self, *, head_only: bool = False) -> Message:
        """The next answer that is no interim one; its body ends where the connection does, if nothing else says so."""
        while True:
            message = self.reader.head()
            if message is None:
                raise ValueError("the connection ended without an answer")
            if message.status >= 200 or message.status == 101:
                break
        if head_only or message.status in {101, 204, 304}:
            return message
        if message.get("content-length") is None and message.get("transfer-encoding") is None:
            message.body = self.reader.until_closed()
            return message
        message.body = self.reader.body(message)
        return message

    def _read(self, size: int) -> bytes:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no whole answer within {self.seconds} s")
        self.socket.settimeout(left)
        try:
            return self.socket.recv(size)
        except (ConnectionResetError, ssl.SSLEOFError):
            return b""


def request(
    target: str | bytes = "/",
    *headers: tuple[str, str],
    method: str = "GET",
    host: str | None = "app.example",
    body: bytes | None = None,
    version: str = "HTTP/1.1",
) -> bytes:
    """A request's bytes; `Content-Length` is added where there is a body and no framing of the caller's own."""
    raw_target = target.encode("latin-1") if isinstance(target, str) else target
    lines = [method.encode() + b" " + raw_target + b" " + version.encode()]
    if host is not None:
        lines.append(b"Host: " + host.encode())
    lines += [f"{name}: {value}".encode("latin-1") for name, value in headers]
    named = {name.lower() for name, _ in headers}
    if body is not None and not named & {"content-length", "transfer-encoding"}:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def chunked(body: bytes, size: int) -> bytes:
    """A body in chunks of a size."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
