"""A small threaded server of raw bytes: the ground of the application and of the PDP around a gateway.

One thread a connection; every message is kept as it came. It knows no HTTP beyond `wire`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path

from engine.gateways.check.wire import Message, Reader


class Server:
    """Listens on a port or a Unix socket; a subclass says what is done with a connection's messages."""

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, path: Path | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.path, self.tls = path, tls
        self.host, self.port = host, port
        self.lock = threading.Lock()
        self.connections = 0
        self.garbled = 0
        """Connections over which something came that is no HTTP."""
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens on TCP."""
        return self.host, self.port

    def start(self) -> None:
        """Listen; on TCP on the port of before, if it had one. Raises OSError: a file that is there is not replaced."""
        assert self._listener is None, "it runs"
        if self.path is not None:
            listener = socket.socket(socket.AF_UNIX)
            try:
                listener.bind(str(self.path))
            except OSError:
                listener.close()
                raise
        else:
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            listener = socket.create_server(self.address, family=family)
            self.port = listener.getsockname()[1]
        listener.listen(512)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """End, and cut all connections."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
            if self.path is not None:
                self.path.unlink(missing_ok=True)
        self.cut()

    def cut(self) -> None:
        """Close all connections, and go on listening."""
        with self.lock:
            cut = list(self._open)
        for connection in cut:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self._open.add(connection)
                self.connections += 1
            reader = Reader(connection.recv)
            while (message := self._head(reader)) is not None:
                if not self.answer(connection, reader, message):
                    break
        with self.lock:
            self._open.discard(connection)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()

    def _head(self, reader: Reader) -> Message | None:
        try:
            return reader.head()
        except ValueError:
            self.garbled += 1
            return None

    def answer(self, connection: socket.socket, reader: Reader, message: Message) -> bool:
        """Answer one request, whose head has been read; whether the connection goes on."""
        raise NotImplementedError
