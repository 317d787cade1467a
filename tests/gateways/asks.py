"""What happened between two moments at a gateway: what it asked, and what reached the application."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.gateways.check import asks
from engine.gateways.check.asks import WAYS, Asked
from engine.gateways.check.backend import Seen
from engine.gateways.check.wire import Message
from engine.gateways.wishes import ASK_PATH


def asked(profile: str, message: Message) -> Asked:
    """Read an ask, which has to be at Muster's address, as the profile is read."""
    assert asks.at(message) == ASK_PATH or profile == "envoy-http"
    assert asks.at(message).startswith(ASK_PATH), message.first
    return asks.asked(WAYS[profile], message)


@dataclass(slots=True)
class Exchange:
    """What happened between two moments: the asks, and what reached the application."""

    profile: str
    asks: list[Message] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    @property
    def asked(self) -> Asked:
        """The one ask."""
        assert len(self.asks) == 1, f"{len(self.asks)} asks: {[ask.first for ask in self.asks]}"
        return asked(self.profile, self.asks[0])

    @property
    def reached(self) -> Seen:
        """The one request that reached the application."""
        assert len(self.seen) == 1, f"{len(self.seen)} requests reached the application"
        return self.seen[0]
