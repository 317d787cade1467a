"""The gateway under check: what is sent to it, and for each request what it asked and what came out behind it.

Each request carries a mark of this run, so that others' requests (health checks, a browser left open) are not judged.
Where a gateway hands on no unknown header, all that comes in between is taken for ours.
"""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from engine.errors import Unavailable
from engine.gateways.check import asks
from engine.gateways.check.asks import Asked, Way
from engine.gateways.check.backend import Backend, Seen
from engine.gateways.check.pdp import Pdp, Plan
from engine.gateways.check.proofs import Keys
from engine.gateways.check.wire import Client, Message, request

SECONDS: Final = 10.0
"""Within which a gateway answers whatever it is sent."""
MARK: Final = "X-Check-Mark"
_UNHEARD: Final = 3
_ALL_UNHEARD: Final = 12


def without_port(host: str) -> str:
    """A host as Muster compares it."""
    name, _, port = host.rpartition(":")
    return name if name and port.isdigit() and not name.endswith(":") else host


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One ask, and what it was told."""

    identity: str
    plan: Plan
    message: Message
    asked: Asked


@dataclass(slots=True)
class Exchange:
    """One request: what it was, what was answered, asked and handed on."""

    method: str
    target: str
    answer: Message | None = None
    seconds: float = 0.0
    late: bool = False
    """Whether nothing came in time."""
    asks: list[Ask] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The answer's status; 0 where there is none."""
        return self.answer.status if self.answer is not None else 0

    def __str__(self) -> str:
        said = str(self.status or ("no answer in time" if self.late else "connection closed"))
        return f"{self.method} {self.target} -> {said}"


@dataclass(slots=True, kw_only=True)
class Site:
    """The gateway's address and how to speak to it, and what the check has put around it."""

    address: tuple[str, int]
    backend: Backend
    pdp: Pdp
    host: str
    tls: ssl.SSLContext | None = None
    headers: tuple[tuple[str, str], ...] = ()
    paths: tuple[str, ...] = ("/",)
    led: list[str] = field(default_factory=list)
    """Those of the paths that came out at the check's own application: to others goes nothing but a GET."""
    kind: str | None = None
    way: Way | None = None
    key: str | None = None
    keys: Keys | None = None
    """Muster's own, where it is Muster that the gateway asks."""
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    asks_marked: bool = True
    arrivals_marked: bool = True
    used: dict[str, Seen] = field(default_factory=dict)
    """The arrival that each decision was for."""
    judged: list[Seen] = field(default_factory=list)
    _unheard: int = 0
    _all_unheard: int = 0
    _sent: int = 0

    @property
    def prefix(self) -> str:
        """What goes before the targets of the tables: the first path that was given."""
        return self.paths[0].rstrip("/")

    @property
    def path(self) -> str:
        """A path that leads to the application."""
        return self.paths[0]

    def aim(self, word: str, path: str | None = None) -> str:
        """A target that leads to the application, and that nothing else in this run has."""
        base = self.path if path is None else path
        return f"{base}{'&' if '?' in base else '?'}{word}={self.run}"

    def bytes_of(
        self,
        target: str | bytes,
        *headers: tuple[str, str],
        method: str = "GET",
        body: bytes | None = None,
        host: str | None = None,
    ) -> bytes:
        """A request with this run's mark, and the headers that were asked for where it has none of that name."""
        named = {name.lower() for name, _ in headers}
        own = [(name, value) for name, value in self.headers if name.lower() not in named]
        return request(target, *own, *headers, (MARK, self.run), method=method, body=body, host=host or self.host)

    def call(
        self,
        target: str | bytes | None = None,
        *headers: tuple[str, str],
        method: str = "GET",
        body: bytes | None = None,
    ) -> Exchange:
        """One request on a connection of its own; without a target, about one that nothing was asked about before."""
        self._sent += 1
        aim = self.aim(f"n{self._sent}") if target is None else target
        shown = aim.decode("latin-1") if isinstance(aim, bytes) else aim
        raw = self.bytes_of(aim, *headers, method=method, body=body)
        return self.raw(raw, method, shown, head_only=method == "HEAD")

    def raw(self, raw: bytes, method: str, target: str, *, head_only: bool = False) -> Exchange:
        """Bytes as they are, on a connection of their own; no answer, or none that can be read, is one, too."""
        with self.watch(method, target) as exchange:
            begun = time.monotonic()
            try:
                with self.connection() as client:
                    client.send(raw)
                    exchange.answer = client.answer(head_only=head_only)
            except TimeoutError:
                exchange.late = True
            except (ValueError, OSError):
                pass
            exchange.seconds = time.monotonic() - begun
        return exchange

    def connection(self) -> Client:
        """A connection to the gateway; raises Unavailable where there is none any more."""
        try:
            return Client(self.address, SECONDS, self.tls, without_port(self.host).strip("[]"))
        except OSError as exc:
            raise Unavailable(f"the gateway at {self.address[0]}:{self.address[1]} cannot be reached: {exc}") from exc

    @contextmanager
    def watch(self, method: str, target: str) -> Iterator[Exchange]:
        """What is asked and what arrives within the block; raises Unavailable where nothing is heard any more."""
        exchange = Exchange(method, target)
        asked, seen = len(self.pdp.asks), len(self.backend.seen)
        yield exchange
        exchange.asks = [ask for ask in self.asks_from(asked) if self._ours(ask.message, marked=self.asks_marked)]
        exchange.seen = self.seen_from(seen)
        self._unheard = self._unheard + 1 if exchange.late else 0
        self._all_unheard += exchange.late
        if self._unheard >= _UNHEARD or self._all_unheard >= _ALL_UNHEARD:
            raise Unavailable(
                f"the gateway left {self._all_unheard} requests without an answer for {SECONDS:.0f} s each, "
                f"{exchange.method} {exchange.target} the last: it hangs"
            )

    def asks_from(self, first: int) -> list[Ask]:
        """The asks since one, whoever they are about."""
        pdp = self.pdp
        return [
            Ask(
                identity=pdp.ids[number],
                plan=pdp.plans[number],
                message=pdp.asks[number],
                asked=asks.asked(self.way or "original", pdp.asks[number]),
            )
            for number in range(first, len(pdp.plans))
        ]

    def seen_from(self, first: int) -> list[Seen]:
        """What has arrived since, of this run."""
        return [seen for seen in self.backend.seen[first:] if self._ours(seen.message, marked=self.arrivals_marked)]

    def ask_of(self, identity: str) -> Ask | None:
        """The ask that a decision answered."""
        if identity not in self.pdp.ids:
            return None
        number = self.pdp.ids.index(identity)
        return self.asks_from(number)[0] if number < len(self.pdp.plans) else None

    def _ours(self, message: Message, *, marked: bool) -> bool:
        return not marked or self.run.encode() in message.raw
