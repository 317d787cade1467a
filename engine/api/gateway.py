"""Gateways: whoever asks about a request that arrived at one, over HTTP or gRPC, is answered here.

Which gateway it is says its credential, and nothing else; the credential's principal names its profile in the revision
that is active. From there on every way ends in one of four answers, and none of them leaves before its record is
durable: pass, denied, who are you, could not decide. Whatever cannot be read in exactly one way is denied and recorded
like a gate's no. Only an asker that is no known gateway is not recorded, else strangers would fill the disk.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from starlette.types import Scope

from engine.access.caller import Caller, Principal
from engine.access.certificate import ClientCertificate, presented
from engine.access.discovery import Way
from engine.access.keysets import KeySets, NoKeys
from engine.access.users import Users
from engine.adapters.gateway import answers, asks, keeping, paths, subjects
from engine.adapters.gateway.accepting import prefers_html
from engine.adapters.gateway.answers import Answer, Fields
from engine.adapters.gateway.asks import Ask, Unclear
from engine.adapters.gateway.assertion import Assertions
from engine.adapters.gateway.paths import Refused, Target
from engine.adapters.gateway.profiles import Compiled, Profile, Profiles
from engine.adapters.gateway.routes import Asked, Headers, Match
from engine.adapters.gateway.subjects import Claims, Known, Nobody
from engine.api import deciding
from engine.api.deciding import Told
from engine.api.services import GATEWAY_SCOPE, Services, authenticated
from engine.decide.asking import Asking, Beside, Decided
from engine.errors import (
    BadRequest,
    Forbidden,
    MusterError,
    Overloaded,
    SetupError,
    TooMany,
    Unauthenticated,
    Undecided,
)
from engine.observing import stages as at
from engine.observing.stages import Stages
from engine.observing.traces import Parent, parent_of
from engine.settings import GatewayCertificate
from ledger import instants
from ledger.errors import LedgerError
from ledger.model import JSON, Person

KEY_HEADER: Final = b"muster-gateway-key"
ROLE: Final = "gateway"
_FOR_THE_RECORD: Final = 0.15
"""The share of a deadline that is kept for writing down that nothing was decided in time."""
_OF_GATEWAY: Final = ("gateway", "credential")
"""What `via` says in a record that is about the gateway: an erasure of a person would not find them there."""
_LOOK_SECONDS: Final = 1.0
_FIRST_SECONDS: Final = 3.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What an asker shows: the socket of its own that it came by, its client certificate, its keys."""

    socket: tuple[str, str] | None = None
    certificate: ClientCertificate | None = None
    keys: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A known gateway: who it is, and its profile."""

    asking: Asking
    profile: Profile


@dataclass(slots=True)
class Gateways:
    """What a process shares of all gateways."""

    found: Services
    keysets: KeySets
    users: Users = field(init=False)
    _compiled: Compiled = field(default_factory=Compiled)
    _assertions: dict[str, Assertions] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Services) -> Gateways:
        """Those of a process; issuers' keys are fetched over the network from now on."""
        # Plain HTTP is for an issuer on this machine alone, and the build takes no other: see engine.bundling.gateways.
        return cls(found, KeySets(Way(ca_file=found.runtime.settings.issuer_ca, plain_http_on_loopback=True)))

    def __post_init__(self) -> None:
        self.users = Users(self.keysets)

    # Who asks.

    def known(self, by: Credentials, request_id: str, stages: Stages) -> Gateway:
        """The gateway that a request comes from; raises Unauthenticated, and Undecided where it has no profile."""
        again, credential = self._held(by)
        caller = again()
        if caller.role != ROLE or caller.principal.type != "system":
            raise Unauthenticated("this is for gateways: the token is of no system with the role gateway")
        via: dict[str, JSON] = {"gateway": caller.principal.id, "credential": credential}
        asking = Asking(caller=caller, again=again, request_id=request_id, stages=stages, via=via)
        profile = self.profiles(caller.tenant).gateways.get(caller.principal.id)
        if profile is None:
            raise Undecided("no-profile", f"gateways.yaml of the active revision has no profile {caller.principal.id}")
        return Gateway(asking=asking, profile=profile)

    def _held(self, by: Credentials) -> tuple[Callable[[], Caller], str]:
        """Who it is by the first of: its own socket, its certificate, its key. What else is there is not looked at."""
        if by.socket is not None:
            return self._named(*by.socket), "socket"
        if by.certificate is not None:
            for said in self.found.runtime.settings.gateway_certificates:
                if _is_of(said, by.certificate):
                    return self._named(said.tenant, said.name), f"certificate {by.certificate.fingerprint}"
        if len(by.keys) != 1:
            missing = "more than one" if by.keys else "no"
            raise Unauthenticated(f"this is for gateways: there is {missing} Muster-Gateway-Key")
        text = by.keys[0].strip().decode("latin-1")
        return lambda: authenticated(self.found, text, None, self.found.decider.facts), "key"

    def _named(self, tenant: str, name: str) -> Callable[[], Caller]:
        """A gateway that the operator has named, by a socket or a certificate of its own."""
        if tenant not in self.found.runtime.tenants():
            raise Unauthenticated("this gateway is of no tenant that is here")
        caller = Caller(tenant=tenant, role=ROLE, principal=Principal(type="system", id=name), token_id=None)
        return lambda: caller

    def profiles(self, tenant: str) -> Profiles:
        """What a tenant's active revision says of gateways; raises Unavailable."""
        active = self.found.runtime.active(tenant)
        return self._compiled.of(tenant, active.revision, active.catalogue)

    # The answer.

    async def http(self, scope: Scope, request_id: str) -> Answer:
        """Answer a gateway that asks over HTTP."""

        def read(kind: str) -> Ask | Unclear:
            return asks.of_http(kind, scope["method"], scope["raw_path"], scope["query_string"], scope["headers"])

        by = Credentials(
            socket=scope.get(GATEWAY_SCOPE),
            certificate=presented(scope),
            keys=[value for name, value in scope["headers"] if name == KEY_HEADER],
        )
        return await self.asked(by, request_id, read)

    async def asked(
        self,
        by: Credentials,
        request_id: str,
        read: Callable[[str], Ask | Unclear],
        claims: Callable[[str], Claims | None] = lambda _: None,
    ) -> Answer:
        """Answer whoever asks. Whatever goes wrong is an answer, and never a pass.

        `read` makes the ask for a kind of gateway, `claims` what it says it has verified.
        """
        try:
            gateway = self.known(by, request_id, Stages())
        except Unauthenticated as exc:
            self.found.metrics.asked("", "", "", "unknown-gateway")
            return answers.unknown(None, "unknown_gateway", str(exc), ())
        except (MusterError, LedgerError) as exc:
            answer = _undecided(exc)
            self.found.metrics.asked("", "", "", answer.outcome, answer.cause)
            return answer
        said = gateway.profile.said
        ask = read(said.gateway)
        own = claims(said.subject.metadata) if said.subject.metadata is not None else None
        return await self.answer(gateway, _Judging(self, gateway, ask, own))

    async def answer(self, gateway: Gateway, judging: _Judging) -> Answer:
        """Answer a known gateway within its deadline."""
        asking, profile = gateway.asking, gateway.profile
        seconds = profile.said.deadline_ms / 1000
        asking.until = asyncio.get_running_loop().time() + seconds * (1 - _FOR_THE_RECORD)
        try:
            async with asyncio.timeout(seconds):
                answer = await judging.answer()
        except TimeoutError:
            answer = answers.undecided(None, "deadline", f"not within {profile.said.deadline_ms} ms", judging.cors)
        except Unauthenticated as exc:  # the gateway's own token has ended meanwhile
            answer = answers.unknown(None, "unknown_gateway", str(exc), ())
        except (MusterError, LedgerError) as exc:
            answer = _undecided(exc, judging.cors)
        self.found.metrics.asked(
            asking.caller.tenant,
            profile.name,
            judging.route,
            answer.outcome,
            answer.cause,
            time.perf_counter_ns() - asking.stages.began,
        )
        return answer

    def assertions(self, tenant: str) -> Assertions:
        """Who signs for a tenant."""
        if tenant not in self._assertions:
            runtime = self.found.runtime
            self._assertions[tenant] = Assertions.of(runtime.home, runtime.settings.base_url, tenant)
        return self._assertions[tenant]

    # Beside.

    async def begin(self) -> None:
        """Fetch the keys of all issuers; raises SetupError where one is not what the source says it is.

        One that does not answer is told in the log: until it does, its users cannot be told, which is 503. So is one
        of several tenants: none of them stops the others.
        """
        self._follow({})
        for failure in await self.keysets.first(_FIRST_SECONDS):
            if failure.wrong and len(self.found.runtime.tenants()) == 1:
                raise SetupError(f"issuers.yaml: {failure}")
            _log.warning("issuers.yaml: %s; its tokens cannot be verified yet", failure)

    async def run(self) -> None:
        """Follow the issuers of the revisions that are active, for ever."""
        followed: dict[str, str] = {}
        while True:
            followed = self._follow(followed)
            await asyncio.sleep(_LOOK_SECONDS)

    def _follow(self, followed: dict[str, str]) -> dict[str, str]:
        """Follow what is active now, if that is another than was followed; returns it."""
        runtime = self.found.runtime
        active = {name: runtime.active(name).revision for name in runtime.tenants() if not runtime.behind(name)}
        if active != followed:
            self.keysets.follow({tenant: self.profiles(tenant).issuers for tenant in active})
        return active


@dataclass(slots=True)
class _Judging:
    """One request on its way to an answer; raises what `Gateways.answer` knows how to tell."""

    gateways: Gateways
    gateway: Gateway
    ask: Ask | Unclear
    claims: Claims | None = None
    match: Match | None = None
    cors: Fields = ()

    @property
    def route(self) -> str:
        """For the metrics: the route's ID."""
        return self.match.route.said.id if self.match is not None else ""

    async def answer(self) -> Answer:
        """Each step either goes on or ends in an answer."""
        ask, profile = self.ask, self.gateway.profile
        if isinstance(ask, Unclear):
            return await self._refused("ambiguous_ask", ask.detail)
        target = paths.read(ask.target)
        if isinstance(target, Refused):
            return await self._refused(target.code, target.sentence)
        if ask.method == "OPTIONS":
            self.match = profile.routes.preflight(ask.host, target.segments, ask.headers, target.query)
            if self.match is not None:
                return await self._refused("preflight", "")
        self.match = profile.routes.match(ask.host, ask.method, target.segments)
        if self.match is None:
            return await self._refused("unknown_route", "")
        self.cors = self.match.route.cors_headers(_origin(ask.headers))
        return await self._of_route(ask, target, self.match)

    async def _of_route(self, ask: Ask, target: Target, match: Match) -> Answer:
        asking, found = self.gateway.asking, self.gateways.found
        tenant, profile = asking.caller.tenant, self.gateway.profile
        now_ms = instants.parse(found.runtime.now(tenant))
        who = subjects.of(profile, self.gateways.users, tenant, ask.headers, self.claims, now_ms)
        if isinstance(who, NoKeys):
            return await self._refused("no_identity", "", ("no-keys", who.detail))
        if isinstance(who, Nobody):
            return await self._refused(who.code, who.detail)
        asked = match.asked(target.query, ask.headers)
        if isinstance(asked, Refused):
            named = f"{asked.field}: {asked.sentence}" if asked.field else asked.sentence
            return await self._refused(asked.code, named)
        return await self._decided(ask, match, asked, who, now_ms)

    async def _decided(self, ask: Ask, match: Match, asked: Asked, who: Known, now_ms: int) -> Answer:
        found, asking, profile = self.gateways.found, self.gateway.asking, self.gateway.profile
        request = asked.request(who.subject)
        before = asking.via
        asking.lend = keeping.lend(profile, match.route, who)
        asking.via = {
            **(before or {}),
            "route": {"group": match.route.group, "id": match.route.said.id},
            "asked": asks.described(ask),
            "identity": who.identity,
        }
        try:
            decided = await self._told(
                deciding.person(request),
                lambda: found.decider.decide(request, asking),
                lambda decided: deciding.of_gate(request.action, decided),
            )
        except BadRequest as exc:
            asking.via = before  # that record is about the gateway: an erasure of the person would not find them there
            return await self._refused("wrong_type", "; ".join(f"{e.pointer} {e.detail}" for e in exc.errors))
        if decided.result["allow"] is True:
            proof = self.gateways.assertions(asking.caller.tenant).sign(
                decided.decision_id,
                request,
                audience=profile.said.audience,
                method=ask.method,
                path=ask.target.partition(b"?")[0],
                now_ms=now_ms,
            )
            now = found.runtime.now(asking.caller.tenant)
            kept = keeping.fields(profile, match.route, asking.lent_until, now)
            return answers.allowed(decided.decision_id, proof, kept)
        denials = _list(decided.result["denials"])
        base = found.runtime.settings.base_url
        answer = answers.denied(decided.decision_id, denials, base, self.cors)
        accept = [value for name, value in ask.headers if name == b"accept"]
        if match.route.said.html == "redirect" and ask.method in ("GET", "HEAD") and prefers_html(accept):
            back = self._back(ask, match, deciding.person(request), now_ms)
            return answers.elsewhere(answer, denials, base, profile.said, back)
        return answer

    def _back(self, ask: Ask, match: Match, person: Person, now_ms: int) -> str | None:
        """The word by which a person who is sent to a lesson finds the way back."""
        address = asks.address(ask, match.route.said.hosts)
        if address is None:
            return None
        return self.gateways.found.returns.word(self.gateway.asking.caller.tenant, person, address, now_ms)

    def _beside(self, reason: str, detail: str, unknowable: tuple[str, str] | None) -> Beside:
        return Beside(
            gateway=self.gateway.profile.name,
            reason=reason,
            detail=detail,
            route={"group": self.match.route.group, "id": self.match.route.said.id} if self.match else None,
            asked=asks.described(self.ask) if isinstance(self.ask, Ask) else {},
            unknowable=unknowable,
        )

    async def _refused(self, reason: str, detail: str, unknowable: tuple[str, str] | None = None) -> Answer:
        """Record what is no question to a gate, and answer as the rules say of its reason."""
        found, asking, profile = self.gateways.found, self.gateway.asking, self.gateway.profile
        said = self._beside(reason, detail, unknowable)
        decided = await self._told(
            Person(type="gateway", id=profile.name),
            lambda: found.decider.beside(said, asking),
            lambda decided: Told(action="gateway", verdict=str(decided.result["verdict"]), mode="enforce", gate=None),
        )
        if decided.result["allow"] is True:
            return answers.allowed(decided.decision_id, None)
        if reason in ("no_identity", "bad_identity"):
            return answers.unknown(decided.decision_id, reason, detail, self.cors)
        base = found.runtime.settings.base_url
        return answers.denied(decided.decision_id, _list(decided.result["denials"]), base, self.cors, detail)

    async def _told(
        self, person: Person, decide: Callable[[], Awaitable[Decided]], told: Callable[[Decided], Told]
    ) -> Decided:
        """Decide as every endpoint does, and count it; what failed before there was a question is recorded here."""
        found, asking = self.gateways.found, self.gateway.asking
        asking.stages.mark(at.READ)
        parent = _parent(found, self.ask.headers) if isinstance(self.ask, Ask) else None
        with deciding.counted(found, asking, parent) as tell:
            try:
                decided = await deciding.decided(found, asking, "decide", person, decide)
            except Undecided as exc:
                if exc.decision_id is not None:
                    raise
                asking.permit = None  # whether the gateway may ask is what could not be said
                asking.via = {name: value for name, value in (asking.via or {}).items() if name in _OF_GATEWAY}
                said = self._beside("undecided", "", (exc.cause, str(exc)))
                decided = await found.decider.beside(said, asking)  # recorded, and raised again with the record's ID
            tell(decided, told(decided))
        return decided


def _is_of(said: GatewayCertificate, shown: ClientCertificate) -> bool:
    return said.value in {"sha256": (shown.fingerprint,), "dns": shown.dns, "uri": shown.uris}[said.kind]


def _undecided(error: Exception, cors: Fields = ()) -> Answer:
    """Whatever stood in the way of an answer, as one."""
    if isinstance(error, Undecided):
        return answers.undecided(error.decision_id, error.cause, str(error), cors)
    cause = {Forbidden: "forbidden", TooMany: "rate", Overloaded: "overloaded"}.get(type(error), "unavailable")
    return answers.undecided(None, cause, str(error), cors)


def _parent(found: Services, headers: Headers) -> Parent | None:
    """The span that a gateway asks in, where traces are sent anywhere."""
    given = [value for name, value in headers if name == b"traceparent"]
    if found.tracing is None or len(given) != 1:
        return None
    return parent_of(given[0], next((value for name, value in headers if name == b"tracestate"), None))


def _origin(headers: Headers) -> str | None:
    given = [value for name, value in headers if name == b"origin"]
    return given[0].decode("latin-1") if len(given) == 1 else None


def _list(value: JSON) -> list[JSON]:
    return value if isinstance(value, list) else []
