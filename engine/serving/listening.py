"""The sockets that a service listens on, bound before anything is served."""

from __future__ import annotations

import errno
import os
import socket
import time
from pathlib import Path

from engine.home import CONTROL_SOCKET, Busy
from engine.settings import TcpListen, UnixListen

_PATIENCE_SECONDS = 2.0
_AGAIN_SECONDS = 0.05
_BACKLOG = 2048


def listen(where: TcpListen | UnixListen) -> socket.socket:
    """Bind the public socket; raises Busy. Workers of a service that was just killed may hold it for a moment."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return _bind(where)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE or time.monotonic() > until or isinstance(where, UnixListen):
                raise Busy(f"cannot listen on {url(where)}: {exc.strerror}; choose another MUSTER_LISTEN") from exc
        time.sleep(_AGAIN_SECONDS)


class Address:
    """An address that several workers listen on.

    On TCP each has a socket of its own, and the kernel divides connections among them (SO_REUSEPORT, socket(7)): of one
    socket that all accept on, the first that wakes takes a whole burst (measured: 16 of 16 connections). A socket goes
    with its worker, so that nobody is sent to one that is dead. A Unix socket is one for all.
    """

    def __init__(self, where: TcpListen | UnixListen) -> None:
        """Take it; raises Busy where anybody else listens there."""
        self._held = listen(where)  # without sharing: one of another service is seen
        self._shared = isinstance(where, TcpListen)
        if self._shared:
            address = self._held.getsockname()
            self._held.close()
            self._held = self._another(self._held.family, address)

    def for_worker(self) -> socket.socket:
        """A socket for one worker; the caller closes it once the worker has it."""
        if not self._shared:
            return self._held.dup()
        listener = self._another(self._held.family, self._held.getsockname())
        listener.listen(_BACKLOG)
        return listener

    @staticmethod
    def _another(family: int, address: tuple[str, int]) -> socket.socket:
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        return listener

    def __str__(self) -> str:
        return address(self._held)

    def close(self) -> None:
        """Give it back."""
        self._held.close()


def control(runtime: Path) -> socket.socket:
    """Bind the operator's own socket."""
    return bind_unix(runtime / CONTROL_SOCKET, 0o600)


def _bind(where: TcpListen | UnixListen) -> socket.socket:
    if isinstance(where, UnixListen):
        return bind_unix(where.path, 0o660)
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    # The protocol is named, or asyncio does not see TCP and leaves Nagle on: 40 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((where.host, where.port))
        listener.listen(0)  # two sockets that only share an address are both bound: the second to listen is refused
    except OSError:
        listener.close()
        raise
    return listener


def bind_unix(path: Path, mode: int) -> socket.socket:
    """Bind a socket with the mode that is wanted from its first moment; one that a dead process left is replaced."""
    if path.is_socket() and not _alive(path):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o777 & ~mode)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def _alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def address(listener: socket.socket) -> str:
    """Where a socket listens, as a person would type it."""
    name = listener.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http://{host}:{name[1]}"


def url(where: TcpListen | UnixListen) -> str:
    """Where a service that is configured so is reached."""
    if isinstance(where, UnixListen):
        return f"unix:{where.path}"
    return f"http://{where.host}:{where.port}"
