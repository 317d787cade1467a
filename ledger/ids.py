"""Entry IDs: UUID version 7 (RFC 9562 section 5.7), as lower-case text.

They are names, drawn by the client of the writer; nothing is ever ordered by them.
"""

from __future__ import annotations

import re
import time
from typing import Final

from ledger.chance import sixteen

_SHAPE: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def uuid7(*, time_ms: int | None = None) -> str:
    """A new ID: 48 bits of milliseconds, 74 bits of chance."""
    milliseconds = time.time_ns() // 1_000_000 if time_ms is None else time_ms
    stamp, chance = f"{milliseconds:012x}", sixteen().hex()
    variant = "89ab"[int(chance[3], 16) & 3]
    return f"{stamp[:8]}-{stamp[8:]}-7{chance[:3]}-{variant}{chance[4:7]}-{chance[7:19]}"


def is_uuid7(text: object) -> bool:
    """Whether `text` is a UUIDv7 in the one spelling that entries use."""
    return isinstance(text, str) and _SHAPE.fullmatch(text) is not None
