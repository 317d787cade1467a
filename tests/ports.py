"""Loopback ports that tests name beforehand, because a gateway cannot be asked which one it was given.

Between the choice and the use nobody else may take one. So each process of a parallel run has a range of its own, all
of them below those that the kernel gives out itself (Linux: from 32768).
"""

from __future__ import annotations

import itertools
import os
import socket

_FIRST, _EACH, _RANGES = 12_000, 2_000, 10


def _mine() -> range:
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _RANGES
    first = _FIRST + number * _EACH
    return range(first, first + _EACH)


# Another run on this machine begins elsewhere in the range.
_PORTS = itertools.islice(itertools.cycle(_mine()), os.getpid() % _EACH, None)


def free_port() -> int:
    """A loopback port on which nothing listens, given out once."""
    for port in _PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("a cycle has no end")
