"""Takes the connections of a listener, and has their TLS handshakes made where it speaks TLS.

The loop's own server takes one connection a turn. When a turn takes long, because there is much to do, a thousand that
come at once would wait for ten seconds (measured), and neither be answered nor refused. Handshakes under way are
counted, have their time, and meet the certificate that is in use when they come; why they fail is told once a minute at
most: strangers write no log of ours.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final

from engine.serving.certificates import Offer
from engine.serving.crowd import Crowd
from engine.serving.listening import BACKLOG
from engine.serving.wire import HEAD_SECONDS, Protocol

_AT_ONCE: Final = 64
_OF_UNIX_AT_ONCE: Final = 4
"""Workers share a Unix socket: whoever wakes first leaves something to the others."""
_PAUSE_SECONDS: Final = 1.0
_GOODBYE_SECONDS: Final = 5.0
_TELL_SECONDS: Final = 60.0
_NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_log = logging.getLogger(__name__)


class Arrivals:
    """What `loop.create_server` gives, as far as uvicorn asks for it."""

    def __init__(
        self,
        listener: socket.socket,
        crowd: Crowd,
        offered: Callable[[], Offer] | None,
        make: Callable[[Offer | None, socket.socket | None], Protocol],
    ) -> None:
        """`offered` says what the next handshake is made with, None for no TLS; `make` what speaks then."""
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._crowd, self._offered, self._make = crowd, offered, make
        self._opening: set[asyncio.Task[None]] = set()
        self._at_once = _OF_UNIX_AT_ONCE if listener.family == socket.AF_UNIX else _AT_ONCE
        self._failed, self._told = 0, -_TELL_SECONDS
        listener.setblocking(False)
        listener.listen(BACKLOG)
        self._loop.add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        """Take no more; what is not open yet is broken off."""
        self._loop.remove_reader(self._listener.fileno())
        for task in self._opening:
            task.cancel()

    async def wait_closed(self) -> None:
        """Return once nothing is broken off any more."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(self._at_once):
            try:
                connection, _ = self._listener.accept()
            except OSError as exc:
                if exc.errno in _NO_ROOM:
                    _log.warning("a connection cannot be taken (%s): none is for a second", exc.strerror)
                    self._loop.remove_reader(self._listener.fileno())
                    self._loop.call_later(_PAUSE_SECONDS, self._again)
                return  # nobody is there any more, or one that has gone again
            if not self._crowd.enter():
                connection.close()
                continue
            connection.setblocking(False)
            task = self._loop.create_task(self._open(connection))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _again(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    async def _open(self, connection: socket.socket) -> None:
        offer = None if self._offered is None else self._offered()
        protocol = self._make(offer, None if offer is None else connection)
        try:
            if connection.family != socket.AF_UNIX:  # with Nagle on, an answer of two parts takes 40 ms
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if offer is None:
                await self._loop.connect_accepted_socket(lambda: protocol, connection)
            else:
                await self._loop.connect_accepted_socket(
                    lambda: protocol,
                    connection,
                    ssl=offer.context,
                    ssl_handshake_timeout=HEAD_SECONDS,
                    ssl_shutdown_timeout=_GOODBYE_SECONDS,
                )
        except OSError as exc:
            self._complain(exc)
        finally:
            if not protocol.made:  # else it leaves by itself
                protocol.dismiss()
                self._crowd.leave()

    def _complain(self, exc: OSError) -> None:
        """Only what TLS itself found wrong: whoever connects and goes again has nothing to tell."""
        if not isinstance(exc, ssl.SSLError):
            return
        self._failed += 1
        if self._loop.time() - self._told >= _TELL_SECONDS:
            why = getattr(exc, "verify_message", None) or exc.reason or exc
            _log.warning("%d TLS handshakes failed since this was last told; the last: %s", self._failed, why)
            self._failed, self._told = 0, self._loop.time()
