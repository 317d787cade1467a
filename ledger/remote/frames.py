"""Frames on a stream: how many bytes follow (4, big-endian), how long the head is (4), the head, what belongs to it.

The head is JSON, written by orjson; payloads of entries stand behind it as they are, in the order in which the head
counts them. Nothing here is trusted to be whole: a frame that is too large or no frame at all is a `BadFrame`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import orjson

MOST_BYTES: Final = 64 << 20
_LENGTHS: Final = struct.Struct(">II")
_LENGTH: Final = 4


class BadFrame(Exception):
    """What came is no frame of this protocol: the connection that it came by is of no more use."""


def frame(head: bytes, *behind: bytes) -> bytes:
    """The bytes of a frame; raises BadFrame where they are too many."""
    size = _LENGTH + len(head) + sum(map(len, behind))
    if size > MOST_BYTES:
        raise BadFrame(f"a frame of {size} bytes; at most {MOST_BYTES} are sent")
    return b"".join((_LENGTHS.pack(size, len(head)), head, *behind))


class Cutter:
    """Cuts what arrives into frames: (parsed head, what stands behind it)."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._held = 0
        self._wanted = _LENGTH

    def feed(self, data: bytes) -> Iterator[tuple[Any, bytes]]:
        """The frames that are whole with this; raises BadFrame."""
        self._chunks.append(data)
        self._held += len(data)
        if self._held < self._wanted:
            return
        held, at = (data if len(self._chunks) == 1 else b"".join(self._chunks)), 0
        while len(held) - at >= _LENGTH:
            size = int.from_bytes(held[at : at + _LENGTH])
            if not _LENGTH <= size <= MOST_BYTES:
                raise BadFrame(f"a frame of {size} bytes")
            if len(held) - at - _LENGTH < size:
                self._wanted = _LENGTH + size
                break
            yield _opened(held[at + _LENGTH : at + _LENGTH + size])
            at += _LENGTH + size
            self._wanted = _LENGTH
        left = held[at:]
        self._chunks, self._held = ([left] if left else []), len(left)


def _opened(body: bytes) -> tuple[Any, bytes]:
    size = int.from_bytes(body[:_LENGTH])
    if size > len(body) - _LENGTH:
        raise BadFrame("a head that is longer than its frame")
    try:
        return orjson.loads(body[_LENGTH : _LENGTH + size]), body[_LENGTH + size :]
    except orjson.JSONDecodeError as exc:
        raise BadFrame(f"a head that is not JSON: {exc}") from exc
