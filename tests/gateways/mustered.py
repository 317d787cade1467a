"""A real gateway with Muster itself behind it, and what the log says of what was asked."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from engine.decide import joined
from engine.gateways.check.backend import Backend
from engine.gateways.check.wire import Client, Message
from tests.adapters.gateway.edge import EXPORT, Edge
from tests.gateways import programs
from tests.gateways.waiting import wait_until
from tests.ports import free_port

PAGE: Final = "/customers/acme/export-page"

_ROUTE: Final = """
  - id: {id}
    hosts: [app.example]
    methods: [GET]
    path: "{path}"
    action: data-export
    resource: {{type: dataset, id: customers, properties: {{customer: acme}}}}
    context:
      destination: {{value: "warehouse://analytics"}}
      ticket: {{value: REQ-1}}
      columns: {{value: [plan]}}
    without: [context.approvals]
"""
TABLE: Final = "".join(
    _ROUTE.format(id=name, path=path)
    for name, path in {"root": "/", "admin": "/admin", "public": "/public/{_thing}", "cafe": "/caf\u00e9"}.items()
)
"""Routes for the paths that two readers could take for two, beside those of the gateway's other tests."""


@dataclass(slots=True)
class Way:
    """A gateway, with Muster and an application behind it. `name` is the gateway's, as its key says."""

    name: str
    profile: str
    edge: Edge
    backend: Backend
    port: int

    @property
    def address(self) -> tuple[str, int]:
        """Where the gateway listens."""
        return "127.0.0.1", self.port

    def ask(
        self, user: str | None = "ada", target: str = EXPORT, method: str = "POST", ticket: str = "REQ-1", **more: str
    ) -> tuple[int, dict[str, str], bytes]:
        """One request as a client sends it: status, headers (names in lower case), body."""
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        named = {} if user is None else {"X-User": user}
        headers = {"Host": "api.example", "X-Ticket": ticket, **named, **more}
        try:
            connection.request(method, target, headers=headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def sent(self, raw: bytes) -> Message | None:
        """One request on a connection of its own; None where that was closed instead of an answer."""
        with Client(self.address) as client:
            try:
                client.send(raw)
                return client.answer()
            except (ValueError, ConnectionError):
                return None


@contextmanager
def way(edge: Edge, profile: str, name: str = "", key: str = "") -> Iterator[Way]:
    """A gateway on the configuration that is printed for it, with the key of a gateway of Muster's."""
    port, backend = free_port(), Backend()
    address = f"http://{edge.check}" if profile == "envoy-grpc" else edge.service.url
    key = key or edge.keys[name or profile]
    try:
        with programs.short_folder() as folder:
            app = f"http://127.0.0.1:{backend.port}"
            programs.written(profile, folder, address, app, f"127.0.0.1:{port}", key=key)
            with programs.process(profile, folder, ("127.0.0.1", port), key):
                made = Way(name or profile, profile, edge, backend, port)
                wait_until(lambda: made.ask(None)[0] == 401, f"{profile} asks")
                yield made
    finally:
        backend.stop()


@dataclass(frozen=True, slots=True)
class Record:
    """A decision as it stands in the log. `allow` is None where nothing could be decided; `target` is a SHA-256."""

    id: str
    allow: bool | None
    gateway: str
    method: str
    target: str
    user: str


@dataclass(slots=True)
class Log:
    """The decisions of a tenant's log from an entry on."""

    edge: Edge
    role: str = "auditor"
    start: int = field(init=False)

    def __post_init__(self) -> None:
        self.start = int(self.edge.service.call(self.role, "GET", "/v1/ledger/head")["size"])

    def decisions(self, gateway: str, but: str | None = None) -> dict[str, Record]:
        """What was decided since then for a gateway, by ID. `but`: not about this target, which an earlier test may
        have asked about without waiting for the answer."""
        passed_over = None if but is None else digest(but)
        return {made.id: made for made in self.every() if made.gateway == gateway and made.target != passed_over}

    def every(self) -> Iterator[Record]:
        """What was decided since then for anybody."""
        payloads: dict[str, Any] = {}
        for entry in self._entries():
            payload = json.loads(entry["payload"])
            payloads[entry["id"]] = payload
            if joined.is_leased(payload):
                payload = joined.whole(payload, self._payload(payload["leans_on"], payloads))
            yield _record(entry["id"], payload)

    def _entries(self) -> Iterator[dict[str, Any]]:
        at: int | None = self.start
        while at is not None:
            page = self.edge.service.call(self.role, "GET", f"/v1/ledger/entries?limit=1000&start={at}")
            yield from (entry for entry in page["entries"] if entry["kind"] == "decision")
            at = page["next"]

    def _payload(self, identity: str, known: dict[str, Any]) -> Any:
        """What another decision leans on: it may be older than the first that is looked at."""
        if identity not in known:
            entry = self.edge.service.call(self.role, "GET", f"/v1/ledger/entries/{identity}")
            known[identity] = json.loads(entry["payload"])
        return known[identity]


def _record(identity: str, payload: Any) -> Record:
    via, asked = payload.get("via") or {}, payload["input"]
    about = via.get("asked") or asked.get("asked") or {}
    answer = payload["result"]
    return Record(
        id=identity,
        allow=None if answer is None else bool(answer["allow"]),
        gateway=str(via.get("gateway")),
        method=str(about.get("method")),
        target=str(about.get("target")),
        user=str(asked["subject"]["id"]) if "subject" in asked else "",
    )


def digest(target: str | bytes) -> str:
    """How a record names a target."""
    return hashlib.sha256(target if isinstance(target, bytes) else target.encode("latin-1")).hexdigest()
