"""One request on its way from a known gateway to its answer: step by step, and each step goes on or ends in an answer.

What becomes a question is decided by its gate; what does not is denied by the rules for gateways. Both are recorded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from engine.access.keysets import NoKeys
from engine.adapters.gateway import answers, asks, keeping, paths, subjects
from engine.adapters.gateway.accepting import prefers_html
from engine.adapters.gateway.answers import Answer, Fields
from engine.adapters.gateway.asks import Ask, Unclear
from engine.adapters.gateway.paths import Refused, Target
from engine.adapters.gateway.profiles import Profile
from engine.adapters.gateway.routes import Asked, Headers, Match
from engine.adapters.gateway.subjects import Claims, Known, Nobody
from engine.api import deciding
from engine.api.deciding import Told
from engine.api.services import Services
from engine.decide.asking import Asking, Beside, Decided
from engine.errors import BadRequest, Undecided
from engine.observing import stages as at
from engine.observing.traces import Parent, parent_of
from ledger import instants
from ledger.model import JSON, Person

if TYPE_CHECKING:
    from engine.api.gateway import Gateways

_OF_GATEWAY: Final = ("gateway", "credential")
"""What `via` says in a record that is about the gateway: an erasure of a person would not find them there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A known gateway: who it is, and its profile."""

    asking: Asking
    profile: Profile


@dataclass(slots=True)
class Judging:
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
        with deciding.Counted(found, asking, parent) as tell:
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
