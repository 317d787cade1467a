"""The sockets that a service listens on, bound before anything is served.

Beyond this machine it listens with TLS, or not at all, unless somebody has said in words that clear text is meant. What
is held against that rule is the address that is then bound, never the name that was configured.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.errors import SetupError
from engine.home import CONTROL_SOCKET, Busy
from engine.settings import CLEAR_TEXT_WORDS, Settings, TcpListen, UnixListen

_PATIENCE_SECONDS: Final = 2.0
_AGAIN_SECONDS: Final = 0.05
BACKLOG: Final = 2048

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """A TCP address as the kernel knows it."""

    family: int
    address: tuple[Any, ...]

    @property
    def inside(self) -> bool:
        """Whether nobody but this machine can reach it."""
        host = ipaddress.ip_address(str(self.address[0]).partition("%")[0])
        mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
        return (mapped or host).is_loopback


def resolved(where: TcpListen) -> Place:
    """The one address that is bound for it, IPv4 first; raises Busy for a name that is not known now, SetupError for
    what is no name."""
    try:
        found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise Busy(f"cannot listen on {where}: {exc.strerror}; choose another MUSTER_LISTEN") from exc
    except ValueError as exc:  # a name with an empty or endless label
        raise SetupError(f"MUSTER_LISTEN: {where.host!r} is no host's name ({exc})") from exc
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return Place(family, address)


def place(settings: Settings) -> Place | None:
    """Where the public listener will be, None for a Unix socket; raises SetupError where that takes TLS."""
    where = settings.listen
    if isinstance(where, UnixListen):
        return None
    return _allowed("MUSTER_LISTEN", where, settings)


def for_envoy(settings: Settings) -> None:
    """Hold Envoy's listener to the same rule; raises SetupError."""
    where = settings.envoy_listen
    if isinstance(where, TcpListen):
        _allowed("MUSTER_ENVOY_LISTEN", where, settings)
    elif where is not None and settings.workers > 1:
        raise SetupError("MUSTER_ENVOY_LISTEN: several workers share a TCP address, but no Unix socket: name host:port")


def _allowed(name: str, where: TcpListen, settings: Settings) -> Place:
    """The place of an address that may be listened on; raises SetupError."""
    made = resolved(where)
    if settings.tls is None and not settings.clear_text and not made.inside:
        shown = str(where) if str(made.address[0]) == where.host else f"{where} ({made.address[0]})"
        raise SetupError(
            f"{name}: {shown} can be reached from other machines, and without TLS tokens and answers would "
            "travel in clear text: set MUSTER_TLS_CERT and MUSTER_TLS_KEY, or listen on 127.0.0.1 or unix:PATH; or, "
            "where something else encrypts the way, set MUSTER_LISTEN_WITHOUT_TLS to the words "
            f"`{CLEAR_TEXT_WORDS}`"
        )
    return made


def listen(settings: Settings) -> socket.socket:
    """Bind the public socket; raises SetupError or Busy."""
    made = place(settings)
    if made is not None and settings.tls is None and not made.inside:
        _log.warning("%s can be reached from other machines, in clear text: MUSTER_LISTEN_WITHOUT_TLS", settings.listen)
    try:
        return _patiently(lambda: _bind(settings.listen, made))
    except OSError as exc:
        why = f"cannot listen on {url(settings)}: {exc.strerror}; choose another MUSTER_LISTEN"
        raise Busy(why) from exc


def gateways(settings: Settings) -> list[socket.socket]:
    """Bind the gateways' own sockets, in the order of the settings; raises Busy."""
    made: list[socket.socket] = []
    for each in settings.gateway_sockets:
        try:
            made.append(_patiently(lambda path=each.path: bind_unix(path, 0o660)))  # type: ignore[misc]
        except OSError as exc:
            for other in made:
                other.close()
            why = f"MUSTER_GATEWAY_SOCKETS: cannot listen on unix:{each.path}: {exc.strerror}"
            raise Busy(why) from exc
    return made


class Address:
    """An address that several workers listen on.

    On TCP each has a socket of its own, and the kernel divides connections among them (SO_REUSEPORT, socket(7)): of one
    socket that all accept on, the first that wakes takes a whole burst (measured: 16 of 16 connections). A socket goes
    with its worker, so that nobody is sent to one that is dead. A Unix socket is one for all.
    """

    def __init__(self, settings: Settings) -> None:
        """Take it; raises SetupError, or Busy where anybody else listens there."""
        self._scheme = settings.scheme
        self._held = listen(settings)  # without sharing: one of another service is seen
        self._shared = isinstance(settings.listen, TcpListen)
        if self._shared:
            address = self._held.getsockname()
            self._held.close()
            self._held = self._another(self._held.family, address)

    def for_worker(self) -> socket.socket:
        """A socket for one worker; the caller closes it once the worker has it."""
        if not self._shared:
            return self._held.dup()
        listener = self._another(self._held.family, self._held.getsockname())
        listener.listen(BACKLOG)
        return listener

    @staticmethod
    def _another(family: int, address: tuple[str, int]) -> socket.socket:
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        return listener

    def __str__(self) -> str:
        return address(self._held, self._scheme)

    def close(self) -> None:
        """Give it back."""
        self._held.close()


def control(runtime: Path) -> socket.socket:
    """Bind the operator's own socket."""
    return bind_unix(runtime / CONTROL_SOCKET, 0o600)


def _patiently(bind: Callable[[], socket.socket]) -> socket.socket:
    """Workers of a service that was just killed may hold an address for a moment."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return bind()
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE or time.monotonic() > until:
                raise
        time.sleep(_AGAIN_SECONDS)


def _bind(where: TcpListen | UnixListen, made: Place | None) -> socket.socket:
    if isinstance(where, UnixListen):
        return bind_unix(where.path, 0o660)
    assert made is not None
    # The protocol is named, or asyncio does not see TCP and leaves Nagle on: 40 ms an answer.
    listener = socket.socket(made.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(made.address)
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


def address(listener: socket.socket, scheme: str) -> str:
    """Where a socket listens, as a person would type it."""
    name = listener.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    return f"{scheme}://{TcpListen(host=name[0], port=name[1])}"


def url(settings: Settings) -> str:
    """Where a service that is configured so is reached."""
    if isinstance(settings.listen, UnixListen):
        return str(settings.listen)
    return f"{settings.scheme}://{settings.listen}"
