"""Traces: which headers make one, and what arrives at a real OTLP receiver."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from engine.observing import traces
from engine.observing.stages import Stages
from engine.observing.traces import Tracing, parent_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()


class Receiver(ThreadingHTTPServer):
    """An OTLP/HTTP receiver on a free port that keeps what it is sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[ExportTraceServiceRequest] = []
        self.arrived = threading.Event()

    @property
    def endpoint(self) -> str:
        """The full URL for traces."""
        return f"http://127.0.0.1:{self.server_port}/v1/traces"

    def spans(self) -> list[Span]:
        """Every span that arrived."""
        return [s for r in self.received for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces"
        self.server.received.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.arrived.set()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that runs."""
    with Receiver() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def started(endpoint: str) -> Tracing:
    """Tracing to an endpoint."""
    tracing = traces.start(endpoint, version="1.2.3")
    assert tracing is not None
    return tracing


def decided(tracing: Tracing, stages: Stages, header: bytes = PARENT, state: bytes | None = None) -> None:
    """One leased decision, for a gateway that samples."""
    parent = parent_of(header, state)
    assert parent is not None
    tracing.decided(
        parent,
        stages,
        tenant="default",
        action="data-export",
        verdict="allow",
        gate="data-export",
        decision_id="0193",
        revision="ab" * 32,
        leased=False,
        batch=7,
    )


def three_stages() -> Stages:
    """Marks 1 and 2 ms apart, `facts` twice."""
    stages = Stages()
    for stage, at in (("facts", 1), ("opa", 3), ("facts", 4)):
        stages.mark_at("opa" if stage == "opa" else "facts", stages.began + at * 1_000_000)
    return stages


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        PARENT[:-1],
        PARENT + b" ",
        PARENT + b"-01",
        b"01" + PARENT[2:],
        b"ff" + PARENT[2:],
        PARENT.upper(),
        PARENT.replace(b"b7ad", b"b7AD"),
        PARENT.replace(b"b7ad", b"b7ag"),
        PARENT.replace(b"-", b"_"),
        PARENT[:-1] + b"g",
        PARENT[:-2] + b"00",
        PARENT[:-2] + b"02",
        b"00-" + b"0" * 32 + b"-" + SPAN.encode() + b"-01",
        b"00-" + TRACE.encode() + b"-" + b"0" * 16 + b"-01",
        "00-0af7651916cd43dd8448eb211c8031٣-b7ad6b7169203331-01".encode(),
    ],
)
def test_what_is_malformed_or_not_sampled_has_no_parent(header: bytes | None) -> None:
    """Version 00, lower-case hex, no zero IDs, exactly 55 bytes, and the sampled bit."""
    assert parent_of(header) is None


def test_a_sampled_parent_is_read_whole() -> None:
    """IDs and flags are numbers; the random flag of Level 2 beside the sampled one is kept."""
    parent = parent_of(PARENT[:-1] + b"3", b"vendor=x")
    assert parent is not None
    assert (parent.trace_id, parent.span_id, parent.flags) == (int(TRACE, 16), int(SPAN, 16), 3)
    assert parent.state == b"vendor=x"


@pytest.mark.parametrize("state", [b"novalue", b"UPPER=1", b"a=b=c", b"a=\x00", b"a=\xff", b"a=" + b"x" * 511])
def test_a_malformed_state_is_dropped_and_the_parent_is_not(state: bytes) -> None:
    """A gateway's trace is not lost for a vendor's mistake."""
    parent = parent_of(PARENT, state)
    assert parent is not None
    assert parent.state == b""


def test_a_decision_arrives_with_its_stages(receiver: Receiver) -> None:
    """A SERVER span below the gateway's, and one for each mark, with its times and nothing of the input."""
    tracing, stages, now = started(receiver.endpoint), three_stages(), time.time_ns()
    decided(tracing, stages, state=b"vendor=x,other@sys=y")
    tracing.close()
    spans = {span.span_id: span for span in receiver.spans()}
    (top,) = [span for span in spans.values() if span.name == "decide"]
    below = sorted((s for s in spans.values() if s is not top), key=lambda s: s.start_time_unix_nano)
    assert top.trace_id.hex() == TRACE
    assert top.parent_span_id.hex() == SPAN
    assert top.kind == Span.SPAN_KIND_SERVER
    assert top.trace_state == "vendor=x,other@sys=y"
    assert abs(top.start_time_unix_nano - now) < 1_000_000_000
    assert [s.name for s in below] == ["facts", "opa", "facts"]
    assert [s.end_time_unix_nano - s.start_time_unix_nano for s in below] == [1_000_000, 2_000_000, 1_000_000]
    assert {(s.trace_id, s.parent_span_id) for s in below} == {(top.trace_id, top.span_id)}
    assert below[0].start_time_unix_nano == top.start_time_unix_nano
    assert below[-1].end_time_unix_nano == top.end_time_unix_nano
    said = {
        a.key: a.value.WhichOneof("value") and str(getattr(a.value, str(a.value.WhichOneof("value"))))
        for a in top.attributes
    }
    assert said == {
        "muster.tenant": "default",
        "muster.action": "data-export",
        "muster.verdict": "allow",
        "muster.gate": "data-export",
        "muster.decision_id": "0193",
        "muster.revision": "ab" * 32,
        "muster.leased": "False",
        "muster.opa_batch_size": "7",
    }
    resource = {a.key: a.value.string_value for a in receiver.received[0].resource_spans[0].resource.attributes}
    assert (resource["service.name"], resource["service.version"]) == ("muster", "1.2.3")


def test_could_not_decide_is_an_error(receiver: Receiver) -> None:
    """With its cause; a decision that says no is none."""
    tracing, parent = started(receiver.endpoint), parent_of(PARENT)
    assert parent is not None
    tracing.not_decided(parent, three_stages(), tenant="default", cause="opa-down")
    decided(tracing, three_stages())
    tracing.close()
    status = sorted((s.status.code, s.status.message) for s in receiver.spans() if s.name == "decide")
    assert status == [(Status.STATUS_CODE_UNSET, ""), (Status.STATUS_CODE_ERROR, "opa-down")]


def test_the_operators_own_name_and_sampler_hold(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_SERVICE_NAME` names the service, and `OTEL_TRACES_SAMPLER=always_off` sends nothing."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "gate-of-acme")
    tracing = started(receiver.endpoint)
    decided(tracing, three_stages())
    tracing.close()
    attributes = receiver.received[0].resource_spans[0].resource.attributes
    assert {a.key: a.value.string_value for a in attributes}["service.name"] == "gate-of-acme"
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    before = len(receiver.spans())
    silent = started(receiver.endpoint)
    decided(silent, three_stages())
    silent.close()
    assert len(receiver.spans()) == before == 4


@pytest.mark.parametrize("silent", [False, True])
def test_an_endpoint_that_is_away_stops_nothing(silent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times more spans than the queue holds are taken and dropped, and the end is bounded."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "4")  # so long takes one attempt to send, in seconds
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
        if not silent:
            nobody.close()
        tracing = started(f"http://127.0.0.1:{port}/v1/traces")
        for _ in range(5_000):
            decided(tracing, three_stages())
        began = time.monotonic()
        tracing.close(seconds=0.2)
        assert time.monotonic() - began < 3
        for thread in set(threading.enumerate()) - before:  # what still tries to send would go on beside other tests
            thread.join(30)
            assert not thread.is_alive()


def test_without_an_endpoint_the_sdk_is_not_imported() -> None:
    """Neither by importing the room nor by starting it."""
    asked = (
        "import sys; from engine.observing import metrics, traces; metrics.Metrics().text();"
        "assert traces.start(None, version='1') is None and traces.start('', version='1') is None;"
        "assert traces.parent_of(b'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');"
        "print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout == "[]\n"
