"""What a test waits for beside a gateway."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from engine.gateways.check.wire import SECONDS


def listening(address: tuple[str, int]) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def wait_until(condition: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)  # a condition is polled: nothing here waits for time to pass
