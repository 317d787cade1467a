"""The rooms that the routes call, put together once, and the dependencies that find caller and services."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from engine.access import tokens
from engine.access.caller import TENANT_HEADER, Caller, operator
from engine.access.gate import AccessGate
from engine.access.returning import Returns
from engine.api.limits import Admission, RateLimits, SharedBuckets
from engine.api.metrics import measured
from engine.content.library import Library
from engine.content.site import Site
from engine.credentials.badges import Badges
from engine.credentials.issuer import Issuer, load_key
from engine.credentials.status import Revocations
from engine.decide.asking import Asking
from engine.decide.decider import Decider
from engine.entries.approvals import Approvals
from engine.entries.change_windows import ChangeWindows
from engine.entries.clock import ClockAdjustments
from engine.entries.erasure import Erasures
from engine.entries.exceptions import Exceptions
from engine.entries.holds import Holds
from engine.entries.sessions import Sessions
from engine.entries.subjects import Subjects
from engine.entries.tokens import Tokens
from engine.entries.writer import Once, Writer
from engine.errors import BadRequest, FieldError, NotFound, Unauthenticated
from engine.observing import traces
from engine.observing.metrics import Metrics
from engine.observing.traces import Tracing
from engine.publishing.checkpoints import Checkpoints
from engine.publishing.witnesses import Witnesses
from engine.runtime import DEFAULT_TENANT, Runtime
from engine.training.accommodations import Accommodations
from engine.training.attempts import Attempts
from engine.training.imports import Imports
from engine.training.next import NextTraining
from engine.training.overview import Overview
from engine.training.reading import Reading
from engine.training.regrade import Regrades
from engine.training.results import Results
from engine.training.steps import Steps
from ledger.model import JSON, Person
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
        if tenant not in self.runtime.tenants():
            raise NotFound(f"there is no issuer {tenant}")
        return Badges(self.runtime.reader, self.issuer(tenant), self.revocations)

    def site(self, tenant: str) -> Site:
        """The words of a tenant's source."""
        return self.overview.site(self.runtime.active(tenant))


def services(request: Request) -> Services:
    """The services of the application that this request reached."""
    found = request.app.state.services
    assert isinstance(found, Services)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One authenticated call: who, to which services, and under which request ID."""

    services: Services
    caller: Caller
    request_id: str
    idempotency_key: str | None
    again: Callable[[], Caller]
    """Says anew who calls; raises Unauthenticated."""

    @property
    def tenant(self) -> str:
        return self.caller.tenant

    async def may(self, operation: str, target: Person | None = None) -> None:
        """Ask the access policy; raises Forbidden."""
        await self.services.access.require(self.caller, operation, target)

    def asking(self) -> Asking:
        """This call as one that asks for a decision."""
        return Asking(caller=self.caller, again=self.again, request_id=self.request_id)

    def once(self, *request: JSON) -> Once:
        """This call as something that is to happen once; `request` is what makes two calls the same."""
        return Once.of(self.caller, self.idempotency_key, list(request))


_BEARER = HTTPBearer(auto_error=False, description="a token of `muster token create`")


async def call(
    request: Request,
    _documented: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=256)] = None,
) -> Call:
    """Authenticate a call. The operator's own socket needs no token; everything else does."""
    found = services(request)
    given = request.headers.getlist("authorization")
    if given:
        if len(given) > 1:
            raise BadRequest("more than one Authorization header", (FieldError("Authorization", "send it once"),))
        scheme, _, text = given[0].partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("send `Authorization: Bearer TOKEN`")
        origin = request.headers.get("origin")

        def again() -> Caller:
            return authenticated(found, text.strip(), origin)

    elif request.scope.get(OPERATOR_SCOPE):
        tenant = request.headers.get(TENANT_HEADER, DEFAULT_TENANT)
        if not tokens.TENANT.fullmatch(tenant):
            raise BadRequest("no tenant is called so", (FieldError(TENANT_HEADER, "lower-case words with hyphens"),))

        def again() -> Caller:
            return operator(tenant)

    else:
        raise Unauthenticated("send `Authorization: Bearer TOKEN`")
    return Call(
        services=found,
        caller=again(),
        request_id=request.state.request_id,
        idempotency_key=idempotency_key,
        again=again,
    )


def authenticated(found: Services, text: str, origin: str | None, states: States | None = None) -> Caller:
    """Who holds a token; raises Unauthenticated.

    `states`: where to look it up. What is remembered will do only for whoever appends with what it has `seen`.
    """
    parts = text.split(".", 2)
    tenant = parts[1] if len(parts) > 1 else ""
    if tenant not in found.runtime.tenants():
        raise Unauthenticated("the token is unknown")
    return tokens.authenticate(states or found.runtime.reader, text, found.runtime.now(tenant), origin)


Authenticated = Annotated[Call, Depends(call)]
