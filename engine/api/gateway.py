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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from starlette.types import Scope

from engine.access.caller import Caller, Principal
from engine.access.certificate import ClientCertificate, presented
from engine.access.discovery import Way
from engine.access.keysets import KeySets
from engine.access.users import Users
from engine.adapters.gateway import answers, asks
from engine.adapters.gateway.answers import Answer, Fields
from engine.adapters.gateway.asks import Ask, Unclear
from engine.adapters.gateway.assertion import Assertions
from engine.adapters.gateway.profiles import Compiled, Profiles
from engine.adapters.gateway.subjects import Claims
from engine.api.judging import Gateway, Judging
from engine.api.services import GATEWAY_SCOPE, Services, authenticated
from engine.decide.asking import Asking, Outdated
from engine.errors import Forbidden, MusterError, Overloaded, SetupError, TooMany, Unauthenticated, Undecided
from engine.observing.stages import Stages
from engine.settings import GatewayCertificate
from ledger.errors import LedgerError
from ledger.model import JSON

KEY_HEADER: Final = b"muster-gateway-key"
ROLE: Final = "gateway"
_FOR_THE_RECORD: Final = 0.15
"""The share of a deadline that is kept for writing down that nothing was decided in time."""
_LOOK_SECONDS: Final = 1.0
_FIRST_SECONDS: Final = 3.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What an asker shows: the socket of its own that it came by, its client certificate, its keys."""

    socket: tuple[str, str] | None = None
    certificate: ClientCertificate | None = None
    keys: Sequence[bytes] = ()


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
        profiles = self.profiles(caller.tenant)
        profile = profiles.gateways.get(caller.principal.id)
        if profile is None:
            raise Undecided("no-profile", f"gateways.yaml of the active revision has no profile {caller.principal.id}")
        asking = Asking(
            caller=caller, again=again, request_id=request_id, stages=stages, via=via, read_by=profiles.revision
        )
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
        if not self.found.runtime.has(tenant):
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
        began, stages, paid = asyncio.get_running_loop().time(), Stages(), False
        while True:
            try:
                gateway = self.known(by, request_id, stages)
            except Unauthenticated as exc:
                self.found.metrics.asked("", "", "", "unknown-gateway")
                return answers.unknown(None, "unknown_gateway", str(exc), ())
            except (MusterError, LedgerError) as exc:
                answer = _undecided(exc)
                self.found.metrics.asked("", "", "", answer.outcome, answer.cause)
                return answer
            gateway.asking.paid = paid
            said = gateway.profile.said
            ask = read(said.gateway)
            own = claims(said.subject.metadata) if said.subject.metadata is not None else None
            try:
                return await self.answer(gateway, Judging(self, gateway, ask, own), began)
            except Outdated:
                paid = gateway.asking.paid  # nothing was recorded: all of it is read by what is active now

    async def answer(self, gateway: Gateway, judging: Judging, began: float) -> Answer:
        """Answer a known gateway within its deadline, from `began` by the loop's clock; raises Outdated."""
        asking, profile = gateway.asking, gateway.profile
        seconds = profile.said.deadline_ms / 1000
        asking.until = began + seconds * (1 - _FOR_THE_RECORD)
        try:
            async with asyncio.timeout_at(began + seconds):
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


def _is_of(said: GatewayCertificate, shown: ClientCertificate) -> bool:
    return said.value in {"sha256": (shown.fingerprint,), "dns": shown.dns, "uri": shown.uris}[said.kind]


def _undecided(error: Exception, cors: Fields = ()) -> Answer:
    """Whatever stood in the way of an answer, as one."""
    if isinstance(error, Undecided):
        return answers.undecided(error.decision_id, error.cause, str(error), cors)
    cause = {Forbidden: "forbidden", TooMany: "rate", Overloaded: "overloaded"}.get(type(error), "unavailable")
    return answers.undecided(None, cause, str(error), cors)
