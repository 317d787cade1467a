"""The rooms that the routes call, put together once, and who calls them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.access import tokens
from engine.access.caller import Caller
from engine.access.gate import AccessGate
from engine.access.returning import Returns
from engine.api.limits import Admission, RateLimits, SharedBuckets
from engine.api.metrics import measured
from engine.content.library import Library
from engine.content.site import Site
from engine.credentials.badges import Badges
from engine.credentials.issuer import Issuer, load_key
from engine.credentials.status import Revocations
from engine.decide.decider import Decider
from engine.entries.approvals import Approvals
from engine.entries.change_windows import ChangeWindows
from engine.entries.clock import ClockAdjustments
from engine.entries.erasure import Erasures
from engine.entries.exceptions import Exceptions
from engine.entries.holds import Holds
from engine.entries.requests import Requests
from engine.entries.sessions import Sessions
from engine.entries.subjects import Subjects
from engine.entries.tokens import Tokens
from engine.entries.writer import Writer
from engine.errors import NotFound, Unauthenticated
from engine.observing import traces
from engine.observing.metrics import Metrics
from engine.observing.traces import Tracing
from engine.publishing.checkpoints import Checkpoints
from engine.publishing.witnesses import Witnesses
from engine.runtime import Runtime
from engine.training.accommodations import Accommodations
from engine.training.attempts import Attempts
from engine.training.imports import Imports
from engine.training.next import NextTraining
from engine.training.overview import Overview
from engine.training.reading import Reading
from engine.training.regrade import Regrades
from engine.training.results import Results
from engine.training.steps import Steps
from ledger.sqlite import SqliteLedger
from ledger.store import States

VERSION = metadata.version("muster")
OPERATOR_SCOPE = "muster.operator"
GATEWAY_SCOPE = "muster.gateway"
"""In the scope of what comes by a gateway's own socket: (tenant, name of the profile)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything a route may call."""

    runtime: Runtime
    writer: Writer
    access: AccessGate
    decider: Decider
    subjects: Subjects
    approvals: Approvals
    change_windows: ChangeWindows
    exceptions: Exceptions
    holds: Holds
    requests: Requests
    erasures: Erasures
    tokens: Tokens
    clock: ClockAdjustments
    imports: Imports
    next_training: NextTraining
    sessions: Sessions
    returns: Returns
    attempts: Attempts
    steps: Steps
    reading: Reading
    overview: Overview
    accommodations: Accommodations
    regrades: Regrades
    badge_key: Ed25519PrivateKey
    revocations: Revocations
    checkpoints: Checkpoints
    witnesses: Witnesses
    metrics: Metrics
    limits: RateLimits
    admission: Admission
    tracing: Tracing | None

    @classmethod
    def of(cls, runtime: Runtime) -> Services:
        """Put the rooms together over one runtime."""
        writer = Writer(runtime)
        results, issued = Results(writer), Tokens(writer)
        attempts = Attempts(writer, results, Library(runtime.home.content))
        witnesses = Witnesses(Checkpoints(writer))
        settings, decider, admission = runtime.settings, Decider(runtime), Admission()
        metrics = measured(witnesses, settings.metrics_dir)
        metrics.watch("muster_leases", lambda: len(decider.leases))
        metrics.watch("muster_lease_bytes", lambda: decider.leases.bytes)
        metrics.watch("muster_decisions_under_way", lambda: admission.under_way)
        metrics.watch("muster_facts_cache", lambda: decider.facts.hits, "hit")
        metrics.watch("muster_facts_cache", lambda: decider.facts.misses, "miss")
        metrics.watch("muster_opa_restarts", lambda: runtime.opa_restarts)
        if isinstance(runtime.ledger, SqliteLedger):  # else its own process counts
            runtime.ledger.measured = metrics.committed
        buckets = SharedBuckets(runtime.shared.callers) if runtime.shared is not None else None
        return cls(
            runtime=runtime,
            writer=writer,
            access=AccessGate(runtime),
            decider=decider,
            subjects=Subjects(writer),
            approvals=Approvals(writer),
            change_windows=ChangeWindows(writer),
            exceptions=Exceptions(writer),
            holds=Holds(writer),
            requests=Requests(writer),
            erasures=Erasures(writer),
            tokens=issued,
            clock=ClockAdjustments(writer),
            imports=Imports(runtime, results),
            next_training=NextTraining(runtime),
            sessions=Sessions(issued),
            returns=Returns(runtime.home),
            attempts=attempts,
            steps=Steps(attempts),
            reading=Reading(attempts),
            overview=Overview(attempts),
            accommodations=Accommodations(writer),
            regrades=Regrades(attempts),
            badge_key=load_key(runtime.home.badge_key),
            revocations=Revocations(),
            checkpoints=witnesses.checkpoints,
            witnesses=witnesses,
            metrics=metrics,
            limits=RateLimits(settings.caller_rate, settings.caller_burst, buckets),
            admission=admission,
            tracing=traces.start(settings.traces_endpoint, version=VERSION),
        )

    def issuer(self, tenant: str) -> Issuer:
        """Who issues a tenant's badges."""
        return Issuer(key=self.badge_key, base=self.runtime.settings.base_url, tenant=tenant)

    def badges(self, tenant: str) -> Badges:
        """A tenant's badges; raises NotFound for a tenant that is not there."""
        if not self.runtime.has(tenant):
            raise NotFound(f"there is no issuer {tenant}")
        return Badges(self.runtime.reader, self.issuer(tenant), self.revocations)

    def site(self, tenant: str) -> Site:
        """The words of a tenant's source."""
        return self.overview.site(self.runtime.active(tenant))


def authenticated(found: Services, text: str, origin: str | None, states: States | None = None) -> Caller:
    """Who holds a token; raises Unauthenticated.

    `states`: where to look it up. What is remembered will do only for whoever appends with what it has `seen`.
    """
    parts = text.split(".", 2)
    tenant = parts[1] if len(parts) > 1 else ""
    if not found.runtime.has(tenant):
        raise Unauthenticated("the token is unknown")
    return tokens.authenticate(states or found.runtime.reader, text, found.runtime.now(tenant), origin)
