"""One HTTP/2 request with prior knowledge, byte for byte: pseudo-headers and names that no client library would send.

Headers go as literals, so nothing of HPACK (RFC 7541) is needed but its lengths; of the answer only its end is read.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PATHS: Final = (
    b"/admin?x=1",
    b"//admin",
    b"/public/../admin",
    b"/%2e/admin",
    b"/admin%2f",
    b"/admin#x",
    b"/admin?#x",
    b"/admin\\x",
    b"admin",
    b"*",
    b"",
    b"http://other.example/admin",
    b"/a b",
    b"/admin HTTP/1.1\r\nMuster-Decision-Id: made-up\r\n\r\nGET /x",
    b"/caf\xc3\xa9",
)
"""Targets that two readers may understand differently, or that only a stream can carry."""
_DATA, _HEADERS, _RESET, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_END_STREAM, _END_HEADERS, _ACK = 0x1, 0x4, 0x1


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _text(value: bytes) -> bytes:
    """A string without Huffman's code: its length in seven bits, and what is beyond in groups of seven (5.1)."""
    if len(value) < 127:
        return bytes([len(value)]) + value
    left, size = len(value) - 127, bytearray([127])
    while left > 127:
        size.append(left % 128 + 128)
        left //= 128
    return bytes([*size, left]) + value


def _exactly(connection: socket.socket, size: int) -> bytes:
    taken = b""
    while len(taken) < size:
        got = connection.recv(size - len(taken))
        if not got:
            raise ConnectionError("the connection ended")
        taken += got
    return taken


def fields(
    path: bytes, authority: bytes, *more: tuple[bytes, bytes], method: bytes = b"GET"
) -> list[tuple[bytes, bytes]]:
    """The pseudo-headers of a request, and what comes after them."""
    names = (b":method", b":scheme", b":authority", b":path")
    return [*zip(names, (method, b"http", authority, path), strict=True), *more]


def call(address: tuple[str, int], fields: list[tuple[bytes, bytes]], *, seconds: float = 10.0) -> str:
    """Send one request; returns how its stream ended: `answered`, `reset` or `closed`."""
    block = b"".join(b"\x10" + _text(name) + _text(value) for name, value in fields)
    with socket.create_connection(address, timeout=seconds) as connection:
        connection.sendall(PREFACE + _frame(_SETTINGS, 0, 0, b""))
        connection.sendall(_frame(_HEADERS, _END_STREAM | _END_HEADERS, 1, block))
        try:
            while True:
                head = _exactly(connection, 9)
                kind, flags, stream = head[3], head[4], struct.unpack(">I", head[5:])[0]
                _exactly(connection, struct.unpack(">I", b"\0" + head[:3])[0])
                if kind == _SETTINGS and not flags & _ACK:
                    connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
                elif kind == _GOAWAY:
                    return "closed"
                elif stream == 1 and kind == _RESET:
                    return "reset"
                elif stream == 1 and kind in {_DATA, _HEADERS} and flags & _END_STREAM:
                    return "answered"
        except ConnectionError:
            return "closed"
