"""Another route map becomes active while gateways ask: no ask is read by one revision and answered by another."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.opa.binary import OpaBinary
from ledger.sqlite import SqliteReader
from tests.adapters.gateway.conftest import ROUTES, served
from tests.adapters.gateway.edge import Edge

FLIPS = 12
ASKING = 4
PAGE = "/customers/acme/export-page"


@pytest.mark.parametrize("workers", [1, 2])
def test_after_an_activation_nobody_is_answered_by_the_routes_before(
    tmp_path: Path, opa_binary: OpaBinary, workers: int
) -> None:
    """One map has the page's route, the other has not. An ask that begins after an activation is acknowledged, at
    whichever worker, is answered by that map; and each record's revision is the one whose map has its route."""
    with served(tmp_path, opa_binary.path, workers=workers) as edge:
        has = {_activated(edge, ROUTES): True, _activated(edge, ROUTES.replace("export-page", "page-of-old")): False}
        assert len(has) == 2
        said = _Said(edge)
        threads = [threading.Thread(target=said.keep_asking) for _ in range(ASKING)]
        for thread in threads:
            thread.start()
        try:
            spans = [_span(edge, list(has)[number % 2]) for number in range(FLIPS)]
        finally:
            said.over.set()
            for thread in threads:
                thread.join(30)
        assert not said.failures, said.failures[0]
        seen = 0
        for revision, (since, until) in spans:
            for begun, ended, status in said.answers:
                if since <= begun and ended <= until and status != 503:
                    assert status == (200 if has[revision] else 403), f"{begun - since:.4f} s after the activation"
                    seen += 1
        assert seen > FLIPS
        routed = set(_routed(edge))
        assert {by_route for _, by_route in routed} == {True, False}
        assert {(has[revision], by_route) for revision, by_route in routed} == {(True, True), (False, False)}
        edge.service.muster("replay")


class _Said:
    """What gateways were answered: when they asked, when they heard, and the status."""

    def __init__(self, edge: Edge) -> None:
        self.answers: list[tuple[float, float, int]] = []
        self.failures: list[str] = []
        self.over = threading.Event()
        self._edge = edge

    def keep_asking(self) -> None:
        while not self.over.is_set():
            begun = time.monotonic()
            try:
                status = self._edge.ask(user="ada", method="GET", target=PAGE).status
            except OSError as failed:
                self.failures.append(str(failed))
                return
            self.answers.append((begun, time.monotonic(), status))


def _activated(edge: Edge, routes: str) -> str:
    """Build and activate a route map; its revision."""
    (Path(edge.service.env["MUSTER_BUNDLE"]) / "routes.yaml").write_text(routes)
    edge.service.muster("policy", "activate")
    [revision] = {tenant["active_revision"] for tenant in [edge.service.call("auditor", "GET", "/v1/ledger/head")]}
    return str(revision)


def _span(edge: Edge, revision: str) -> tuple[str, tuple[float, float]]:
    """Activate it, and wait a moment; from when until when it was the active one for sure."""
    edge.service.call("admin", "POST", "/v1/activations", {"revision": revision, "reason": "test"})
    since = time.monotonic()
    time.sleep(0.3)  # for the others to ask in
    return revision, (since, time.monotonic())


def _routed(edge: Edge) -> Iterator[tuple[str, bool]]:
    """Of each record of an ask: its revision, and whether a route was found for it."""
    reader, revisions = SqliteReader(edge.service.home / "ledger.db"), dict[str, str]()
    try:
        for entry in reader.entries("default", 0, reader.head("default").size):
            record: dict[str, Any] = entry.value if entry.kind == "decision" else {}
            if "via" in record:
                revisions[entry.id] = str(record["revision"] if "revision" in record else revisions[record["leans_on"]])
                yield revisions[entry.id], "route" in record["via"]
    finally:
        reader.close()
