"""Random bytes for salts and IDs: the system's, asked for in larger pieces, since each question costs 2 us."""

from __future__ import annotations

import os
from collections import deque
from typing import Final

PIECE: Final = 16
_PIECES: Final = 256

# Taking from a deque is atomic, so no two threads get the same piece; nor do two processes.
_drawn: Final[deque[bytes]] = deque()
os.register_at_fork(after_in_child=_drawn.clear)


def sixteen() -> bytes:
    """16 random bytes that nobody else gets."""
    while True:
        try:
            return _drawn.pop()
        except IndexError:
            data = os.urandom(PIECE * _PIECES)
            _drawn.extend([data[start : start + PIECE] for start in range(0, len(data), PIECE)])
