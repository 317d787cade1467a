"""One end of a connection between a worker and the ledger's process: frames in, bytes out, and the end told once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, cast

from ledger.remote.frames import BadFrame, Cutter

_FULL_BYTES: Final = 1 << 20
MOST_BUFFERED: Final = 64 << 20

_log = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """Hands on each frame; one that is none ends the connection. `full` while the other side does not read."""

    def __init__(
        self, received: Callable[[Any, bytes], None], ended: Callable[[], None], writable: Callable[[], None]
    ) -> None:
        self._received = received
        self._ended = ended
        self._writable = writable
        self._cutter = Cutter()
        self._transport: asyncio.Transport | None = None
        self.full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(_FULL_BYTES)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        try:
            for told, behind in self._cutter.feed(data):
                self._received(told, behind)
        except BadFrame as exc:
            _log.error("a connection between a worker and the ledger's process was ended: %s", exc)
            self.abort()

    def pause_writing(self) -> None:
        """See asyncio."""
        self.full = True

    def resume_writing(self) -> None:
        """See asyncio."""
        self.full = False
        self._writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        del exc
        self._transport = None
        self._ended()

    def write(self, data: bytes) -> None:
        """Send, or keep until the other side reads; one that never does is left."""
        if self._transport is None:
            return
        self._transport.write(data)
        if self.full and self._transport.get_write_buffer_size() > MOST_BUFFERED:
            _log.error("a connection between a worker and the ledger's process was ended: the other side does not read")
            self.abort()

    def close(self) -> None:
        """Send what is buffered, and end."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End at once."""
        if self._transport is not None:
            self._transport.abort()
