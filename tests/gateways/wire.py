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


def listening(address: tuple[str, int]) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A loopback port that nobody had a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)  # a condition is polled: nothing here waits for time to pass
