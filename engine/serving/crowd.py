"""How many connections a process holds at once: what comes beyond that is closed at once.

Each takes a file descriptor, and a process that has none left can neither ask OPA nor read its ledger. The public
listener and the gateways' sockets have rooms of their own, so a crowd before one of them does not close the others.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MOST: Final = 8192
_OURS: Final = 256
"""Descriptors that are left for OPA, the ledger's readers and the operator."""


@dataclass(slots=True)
class Crowd:
    """The connections of one listener. `limit` None: as many as come, which is for the operator's socket."""

    limit: int | None
    told: Callable[[], None] | None = None
    """Called for each connection that is closed at once."""
    here: int = 0
    refused: int = 0

    def enter(self) -> bool:
        """Whether there is room for one more; who got in leaves once."""
        if self.limit is not None and self.here >= self.limit:
            self.refused += 1
            if self.told is not None:
                self.told()
            return False
        self.here += 1
        return True

    def leave(self) -> None:
        """One less."""
        self.here -= 1


def room() -> int:
    """How many connections this process has descriptors for; what the system lets it have is asked for first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + _OURS
    if soft == resource.RLIM_INFINITY:
        return MOST
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(MOST, soft - min(_OURS, soft // 2)))


def shares(whole: int, gateways: int) -> tuple[int, int]:
    """Of so many connections: how many are the public listener's, and how many each gateway socket's."""
    if not gateways:
        return whole, 0
    public = max(1, whole // 2)
    return public, max(1, (whole - public) // gateways)
