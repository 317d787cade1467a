"""HTTP/1.1 byte by byte, as `muster gateway check` sends and reads it, and ports and conditions to wait for."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from engine.gateways.check.wire import SECONDS as SECONDS
from engine.gateways.check.wire import Client as Client
from engine.gateways.check.wire import Message as Message
from engine.gateways.check.wire import Reader as Reader
from engine.gateways.check.wire import chunked as chunked
from engine.gateways.check.wire import request as request
from tests.ports import free_port as free_port


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
