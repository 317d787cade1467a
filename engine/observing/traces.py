"""Traces for OpenTelemetry, made after the answer has left, of those decisions whose gateway asked for one.

`traceparent` is read by W3C Trace Context (Level 1), section 3.2, strictly: version 00, and nothing but what it allows.
Without an endpoint there is no tracing, and the sdk is not even imported. Spans wait in a bounded queue for a thread
that sends them (OTLP over HTTP); when the endpoint is away they are dropped, and no decision waits or fails.

A span names the decision and never the person, nor anything else of its input.
"""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Final

from engine.observing.stages import Stages

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

_PARENT: Final = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_PARENT_BYTES: Final = 55
_SAMPLED: Final = frozenset(b"13579bdf")
_KEY: Final = rb"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_VALUE: Final = rb"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER: Final = re.compile(rb"[ \t]*(?:" + _KEY + rb"=" + _VALUE + rb")?[ \t]*")
_STATE_BYTES: Final = 512


class Parent:
    """The span of the gateway that asks, and wants to see what comes of it."""

    __slots__ = ("flags", "span_id", "state", "trace_id")

    def __init__(self, trace_id: int, span_id: int, flags: int, state: bytes) -> None:
        """`state` is a well-formed `tracestate`, empty if there is none."""
        self.trace_id, self.span_id, self.flags, self.state = trace_id, span_id, flags, state


def parent_of(traceparent: bytes | None, tracestate: bytes | None = None) -> Parent | None:
    """The parent that these headers name; None if there is none, it is malformed, or it is not sampled."""
    if traceparent is None or len(traceparent) != _PARENT_BYTES or traceparent[-1] not in _SAMPLED:
        return None
    found = _PARENT.fullmatch(traceparent)
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    if not trace_id or not span_id:
        return None
    return Parent(trace_id, span_id, flags, _state(tracestate))


def _state(tracestate: bytes | None) -> bytes:
    """A `tracestate` that may be passed along: all of it, or nothing."""
    if not tracestate or len(tracestate) > _STATE_BYTES:
        return b""
    return tracestate if all(_MEMBER.fullmatch(member) for member in tracestate.split(b",")) else b""


def start(endpoint: str | None, *, version: str) -> Tracing | None:
    """Begin to trace to an OTLP/HTTP endpoint, the full URL of its traces; None without one.

    All else of the standard `OTEL_*` variables (service name, headers, sampler, queue) the sdk reads by itself.
    """
    if not endpoint:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    ours = Resource.create({"service.name": "muster", "service.version": version})
    provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return Tracing(provider, version)


class Tracing:
    """Makes the spans of decisions that are over: `decide`, and below it one for each stage."""

    def __init__(self, provider: TracerProvider, version: str) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("muster", version)

    def decided(
        self,
        parent: Parent,
        stages: Stages,
        *,
        tenant: str,
        action: str,
        verdict: str,
        gate: str | None,
        decision_id: str,
        revision: str,
        leased: bool,
        batch: int | None,
    ) -> None:
        """A decision was answered. `batch`: how many were asked in the same call of OPA; None if OPA was not asked."""
        attributes: dict[str, str | int] = {
            "muster.tenant": tenant,
            "muster.action": action,
            "muster.verdict": verdict,
            "muster.decision_id": decision_id,
            "muster.revision": revision,
            "muster.leased": leased,
        }
        if gate is not None:
            attributes["muster.gate"] = gate
        if batch is not None:
            attributes["muster.opa_batch_size"] = batch
        self._made(parent, stages, attributes, failed=False)

    def not_decided(
        self, parent: Parent, stages: Stages, *, tenant: str, cause: str, decision_id: str | None = None
    ) -> None:
        """A request was answered with "could not decide": the span's status is an error."""
        attributes: dict[str, str | int] = {"muster.tenant": tenant, "muster.undecided": cause}
        if decision_id is not None:
            attributes["muster.decision_id"] = decision_id
        self._made(parent, stages, attributes, failed=True)

    def close(self, seconds: float = 2.0) -> None:
        """Send what still waits, for so long at most; blocks."""
        # The sdk's own shutdown joins its thread for up to 30 s, and that thread may wait for an endpoint that is away.
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(seconds)

    def _made(self, parent: Parent, stages: Stages, attributes: dict[str, str | int], *, failed: bool) -> None:
        from opentelemetry import trace

        epoch = time.time_ns() - time.perf_counter_ns()
        span = self._tracer.start_span(
            "decide",
            _context(parent),
            kind=trace.SpanKind.SERVER,
            attributes=attributes,
            start_time=epoch + stages.began,
        )
        if not span.is_recording():  # the operator's own sampler says no
            return
        if failed:
            span.set_status(trace.StatusCode.ERROR, str(attributes["muster.undecided"]))
        below = trace.set_span_in_context(span)
        last = stages.began
        for stage, at in stages.marks:
            self._tracer.start_span(stage, below, start_time=epoch + last).end(epoch + at)
            last = at
        span.end(epoch + last)


def _context(parent: Parent) -> Context:
    from opentelemetry import trace

    state = trace.TraceState.from_header([parent.state.decode("ascii")]) if parent.state else None
    remote = trace.SpanContext(parent.trace_id, parent.span_id, True, trace.TraceFlags(parent.flags), state)
    return trace.set_span_in_context(trace.NonRecordingSpan(remote))
