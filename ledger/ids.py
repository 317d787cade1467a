"""Entry IDs: UUID version 7 (RFC 9562 section 5.7), as lower-case text.

They are names, drawn by the client of the writer; nothing is ever ordered by them.
"""

from __future__ import annotations

import os
import re
import time
from typing import Final

_SHAPE: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def uuid7(*, time_ms: int | None = None) -> str:
    """A new ID: 48 bits of milliseconds, 74 bits of chance."""
    milliseconds = time.time_ns() // 1_000_000 if time_ms is None else time_ms
    chance = int.from_bytes(os.urandom(10)) & ((1 << 76) - 1)
    number = (milliseconds << 80) | chance
    number = (number & ~(0xF << 76)) | (0x7 << 76)
    number = (number & ~(0x3 << 62)) | (0x2 << 62)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_uuid7(text: object) -> bool:
    """Whether `text` is a UUIDv7 in the one spelling that entries use."""
    return isinstance(text, str) and _SHAPE.fullmatch(text) is not None
