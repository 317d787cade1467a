"""What is asked of whom: a home with many people, the same requests for every system, facts that change meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any, Final

import orjson

from benchmarks import people
from benchmarks.load import STAMP, Generator
from benchmarks.logs import Member
from benchmarks.machine import Refused
from benchmarks.servers import Muster, decisions, make_home, start_muster
from ledger import instants
from ledger.sqlite import SqliteReader

EXPONENT: Final = 1.1
CHANGES: Final = 10.0
"""Facts that change a second."""
_DAYS_3: Final = 3 * 86_400_000
_UNTRAINED_OF: Final = 10
_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class World:
    """A home that is not in use, its people, and tokens of a gateway and of an admin."""

    home: Path
    names: list[str]
    members: list[Member]
    gateway: str
    admin: str
    bodies: Path


def make(
    folder: Path, subjects: int, *, cores: str, trained_of_ten: int = 9, told: Callable[[int], None] = lambda _: None
) -> World:
    """A home of so many people; nine of ten have what the data-export gate asks."""
    home = folder / "home"
    admin = make_home(home)
    service = start_muster(home, cores=cores, said=folder / "muster.log")
    try:
        call = service.call
        gateway = call(admin, "POST", "/v1/tokens", {"role": "gateway", "principal": "system:bench-gateway"})["token"]
        author = call(admin, "POST", "/v1/tokens", {"role": "author", "principal": "system:bench-author"})["token"]
        for name in ("trained", "untrained"):
            call(admin, "PUT", f"/v1/subjects/{name}", {"persona": "engineers", "customer": "acme"})
        call(author, "POST", "/v1/results/import", {"results": [_passed(*what) for what in _NEEDED]})
    finally:
        service.server.stop()
    names = [f"person-{number:07}" for number in range(subjects)]
    trained, untrained = people.template(home, "trained"), people.template(home, "untrained")
    members = people.add(home, names, lambda n: trained if n % _UNTRAINED_OF < trained_of_ten else untrained, told)
    bodies = folder / "muster.bodies"
    _write(bodies, ((n % _UNTRAINED_OF < trained_of_ten, asked(name)) for n, name in enumerate(names)))
    return World(home, names, members, gateway, admin, bodies)


_NEEDED: Final = (("secure-data-export", "completed"), ("export-scenario", "proficient"))


def _passed(module: str, tier: str) -> dict[str, str]:
    return {
        "user": "trained",
        "module": module,
        "version": "1.0.0",
        "tier": tier,
        "passed_at": instants.now_from(time.time_ns() - _DAYS_3 * 1_000_000),
        "reason": "bench",
        "provenance": "bench",
    }


def asked(user: str) -> dict[str, Any]:
    """A data export; its ticket is where a running number may go."""
    return {
        "subject": {"type": "user", "id": user},
        "action": {"name": "data-export"},
        "resource": {"type": "dataset", "id": "customers", "properties": {"customer": "acme"}},
        "context": {
            "destination": "warehouse://analytics",
            "ticket": f"REQ-{STAMP}",
            "columns": ["customer_id", "plan", "country"],
        },
    }


def _write(path: Path, lines: Iterator[tuple[bool, Any]]) -> None:
    with path.open("wb") as file:
        for allowed, body in lines:
            expected = b'"allow":true' if allowed else b'"allow":false'
            file.write(expected + b"\t" + (body if isinstance(body, bytes) else orjson.dumps(body)) + b"\n")


def record_all(world: World, service: Muster, generator: Generator) -> dict[str, tuple[bytes, bool]]:
    """Ask once for everybody; answers each person's input as it was recorded, and whether it was an allow."""
    reader = SqliteReader(world.home / "ledger.db")
    try:
        since = reader.head(people.TENANT).size
    finally:
        reader.close()
    count, target = len(world.names), decisions(service.address, world.bodies, world.gateway)
    generator.run(target, connections=_AT_ONCE, seconds=600, warm_up=0, once=count)
    found = people.recorded_inputs(world.home, since)
    if len(found) < count:
        raise Refused(f"of {count:,} people only {len(found):,} have a recorded decision")
    return found


def opa_bodies(world: World, recorded: dict[str, tuple[bytes, bool]], path: Path) -> None:
    """The same requests for OPA alone: the whole input that Muster recorded, facts and instant included."""
    _write(path, ((recorded[n][1], b'{"input":' + recorded[n][0] + b"}") for n in world.names))


def cerbos_bodies(world: World, recorded: dict[str, tuple[bytes, bool]], path: Path) -> None:
    """The same for Cerbos: facts are attributes of the principal, what is asserted those of the resource."""
    with path.open("wb") as file:
        for name in world.names:
            data, allowed = recorded[name]
            effect = b'"EFFECT_ALLOW"' if allowed else b'"EFFECT_DENY"'
            file.write(effect + b"\t" + orjson.dumps(_for_cerbos(orjson.loads(data))) + b"\n")


def _for_cerbos(asked: dict[str, Any]) -> dict[str, Any]:
    subject, context, resource = asked["subject"], asked["context"], asked["resource"]
    tiers = asked["facts"]["scopes"]["data-export"]["tiers"]
    held = {tier: {"expires_at": fact["expires_at"], "issued_at": fact["issued_at"]} for tier, fact in tiers.items()}
    attributes = {"active": subject["active"], "customer": subject["customer"], **held}
    about = {**context, "customer": resource["properties"]["customer"]}
    return {
        "principal": {"id": subject["id"], "roles": ["user"], "attr": attributes},
        "resources": [
            {
                "resource": {"kind": resource["type"], "id": resource["id"], "attr": about},
                "actions": [asked["action"]["name"]],
            }
        ],
    }


class Zipf:
    """Draws 0 <= n < size by Zipf's law: the n-th in proportion to 1 / (n + 1) ** exponent."""

    def __init__(self, size: int, exponent: float, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - whom a change is about; nothing secret
        self._all = range(size)
        self._weights = list(accumulate((n + 1) ** -exponent for n in self._all))

    def draw(self) -> int:
        """The next."""
        return self._random.choices(self._all, cum_weights=self._weights)[0]


@dataclass(slots=True)
class Changes:
    """How many facts have changed, how long that took each, and what went wrong."""

    taken_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@contextmanager
def changing(world: World, service: Muster, *, rate: float = CHANGES, seed: int = 1) -> Iterator[Changes]:
    """While inside, somebody writes ten times a second: the directory fields of people drawn like those asked about."""
    changes, over = Changes(), threading.Event()
    zipf = Zipf(len(world.names), EXPONENT, seed)

    def run() -> None:
        begun = time.monotonic()
        for number in range(1 << 30):
            if over.wait(max(0.0, begun + number / rate - time.monotonic())):
                return
            fields = {"persona": ("engineers", "operations")[number % 2], "customer": "acme"}
            start = time.perf_counter()
            try:
                service.call(world.admin, "PUT", f"/v1/subjects/{world.names[zipf.draw()]}", fields)
            except (OSError, Refused, json.JSONDecodeError) as failed:
                changes.failures.append(str(failed))
            changes.taken_ms.append((time.perf_counter() - start) * 1e3)

    thread = threading.Thread(target=run, name="changing", daemon=True)
    thread.start()
    try:
        yield changes
    finally:
        over.set()
        thread.join(timeout=35)
