"""Whether the other side of a TCP connection takes what it is sent, as the kernel knows it.

Over TLS that is the only place to ask: what OpenSSL has made of an answer lies in a buffer that the transport does not
count (uvloop 0.23: of a body of 8 MB written at once it counts nothing).
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from typing import Final

_LONG_ENOUGH: Final = 128
_ACKNOWLEDGED: Final = 120
"""Where `tcpi_bytes_acked` stands in `struct tcp_info` (linux/tcp.h, since Linux 4.1)."""


def acknowledged(connection: socket.socket) -> tuple[int, int]:
    """The bytes that wait to be acknowledged, and how many ever were; (0, 0) for one that has been closed."""
    try:
        waiting = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LONG_ENOUGH)
    except (OSError, ValueError):  # ValueError: a descriptor of -1
        return 0, 0
    return struct.unpack("=i", waiting)[0], struct.unpack_from("=Q", told, _ACKNOWLEDGED)[0]
