"""The hot lane: decisions without a framework, in front of the application that serves everything else.

It reads, authenticates, decides and answers what is as it should be. Whatever is odd about a request (a header, a body
that is no question) goes on to the application behind, which says what is wrong with it: so there is one text for each
mistake. What a question goes through once it is read is the same in both (`engine.api.deciding`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.access.caller import Caller
from engine.adapters.authzen import reading as asked
from engine.adapters.authzen.metadata import EVALUATION, EVALUATIONS
from engine.adapters.gateway import answers
from engine.adapters.gateway.answers import Answer
from engine.adapters.gateway.asks import PREFIX
from engine.api import deciding, evaluating, health, problems
from engine.api.envelope import BODY_LIMIT, Headers, has_body, request_id_of
from engine.api.gateway import Gateways
from engine.api.refusal import Refusal, refusal
from engine.api.services import OPERATOR_SCOPE, Services, authenticated
from engine.decide.asking import Asking, Decided
from engine.decide.request import Entity, Request
from engine.errors import MusterError, Overloaded, Unavailable
from engine.observing import stages as at
from engine.observing.stages import Stages
from engine.observing.traces import Parent, parent_of
from ledger import strict
from ledger.errors import LedgerError, StrictError
from ledger.model import JSON

_LONGEST_NAME: Final = 1024
_Lane: TypeAlias = Callable[["_Call"], Awaitable[bytes]]
"""Answers 200 with these bytes of JSON, or raises: _Odd for what is for the application behind."""


class _Odd(Exception):
    """Nothing for this lane."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Protocol:
    """One question a request, and how it is asked and answered.

    Bodies of two protocols that are the same bytes need not be the same question: `key` tells them apart, for the
    lease that a body has led to.
    """

    key: Callable[[Services, str, bytes], bytes]
    """(services, tenant, body)"""
    read: Callable[[bytes], Request]
    """Raises _Odd, or BadRequest."""
    decide: Callable[[Services, Request, Asking, bytes], Awaitable[Decided]]
    written: Callable[[Decided], bytes]


@dataclass(slots=True, kw_only=True)
class _Call:
    """One request that has been read, and its caller."""

    found: Services
    asking: Asking
    body: bytes
    parent: Parent | None

    @property
    def tenant(self) -> str:
        return self.asking.caller.tenant


class HotLane:
    """ASGI. Requests to the paths of `lanes` that are as they should be are answered here, all others by `app`."""

    def __init__(self, app: ASGIApp, found: Services, gateways: Gateways) -> None:
        self._app = app
        self._found = found
        self._gateways = gateways
        self._lanes: dict[bytes, tuple[_Lane, int]] = {
            b"/v1/decisions": (_one(_OURS), BODY_LIMIT),
            EVALUATION.encode(): (_one(_AUTHZEN), BODY_LIMIT),
            EVALUATIONS.encode(): (_evaluations, evaluating.BATCH_LIMIT),
        }
        self._no_room, self._no_room_for_gateways = _no_room(found), _no_room_for_gateways(found)

    def refusal(self, method: bytes, target: bytes) -> Refusal | None:
        """What is answered to a request for a decision where there is no room for it; None for any other request."""
        if method == b"POST" and target in self._lanes:
            return self._no_room
        return self._no_room_for_gateways if _asks(target) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        path: bytes = scope.get("raw_path") or b""
        if _asks(path):
            await self._ask(scope, send)
            return
        if path in _HEALTH and scope["method"] == "GET" and not scope["query_string"]:
            said = _HEALTH[path](self._found)
            await _send(send, said.status_code, said.raw_headers, bytes(said.body), request_id_of(scope["headers"]))
            return
        lane, limit = self._lanes.get(path, (None, 0))
        if lane is None or scope["method"] != "POST" or scope["query_string"] or OPERATOR_SCOPE in scope:
            await self._app(scope, receive, send)
            return
        stages, messages = Stages(), list[Message]()
        request_id = request_id_of(scope["headers"])
        answer, status, headers = b"", 0, _JSON
        fault: Exception | None = None
        try:
            body = await _whole(receive, messages, limit)
            call = self._read(scope["headers"], body, request_id, stages)
            answer, status, headers = await lane(call), 200, _JSON
        except _Odd:
            pass
        except (MusterError, LedgerError) as error:
            response = problems.of(error if isinstance(error, MusterError) else Unavailable(str(error)))
            answer, status, headers = bytes(response.body), response.status_code, response.raw_headers
        except Exception as error:  # noqa: BLE001 - a mistake of ours, raised below: the caller gets a document all the same
            fault, response = error, problems.fault(error)
            answer, status, headers = bytes(response.body), response.status_code, response.raw_headers
        if not status:
            await self._app(scope, _replayed(messages, receive), send)
            return
        await _send(send, status, headers, answer, request_id)
        if fault is not None:
            raise fault  # for the log

    async def _ask(self, scope: Scope, send: Send) -> None:
        """A gateway's ask: whatever the method and the path, and without the body, which may never come."""
        request_id = request_id_of(scope["headers"])
        fault: Exception | None = None
        try:
            answer = await self._gateways.http(scope, request_id)
        except Exception as error:  # noqa: BLE001 - a mistake of ours, raised below, is no answer of the gate
            fault = error
            answer = answers.undecided(None, "fault", "not answered, because of a fault of this service")
        await self._told(scope, send, answer, request_id)
        if fault is not None:
            raise fault  # for the log

    async def _told(self, scope: Scope, send: Send, answer: Answer, request_id: str) -> None:
        headers = _encoded(answer)
        if has_body(scope["headers"]):
            headers.append((b"connection", b"close"))
        await _send(send, answer.status, headers, answer.body, request_id)

    def _read(self, headers: Headers, body: bytes, request_id: str, stages: Stages) -> _Call:
        token = kind = origin = traceparent = tracestate = None
        for name, value in headers:
            if name == b"authorization":
                if token is not None or value[:7].lower() != b"bearer ":
                    raise _Odd
                token = value[7:].strip().decode("latin-1")
            elif name == b"content-type":
                if kind is not None:
                    raise _Odd
                kind = value.partition(b";")[0].strip().lower()
            elif name == b"origin":
                if origin is not None:
                    raise _Odd
                origin = value.decode("latin-1")
            elif name == b"traceparent":
                traceparent = value if traceparent is None else b""
            elif name == b"tracestate":
                tracestate = value
            elif name == b"idempotency-key":
                raise _Odd
        if token is None or kind != b"application/json":
            raise _Odd
        found = self._found

        def again() -> Caller:
            return authenticated(found, token, origin, found.decider.facts)

        parent = parent_of(traceparent, tracestate) if traceparent and found.tracing is not None else None
        asking = Asking(caller=again(), again=again, request_id=request_id, stages=stages)
        return _Call(found=found, asking=asking, body=body, parent=parent)


def _one(protocol: _Protocol) -> _Lane:
    """The lane of a protocol that asks one question a request."""

    async def answered(call: _Call) -> bytes:
        found, asking, decider = call.found, call.asking, call.found.decider
        key = protocol.key(found, call.tenant, call.body)
        known = decider.known(key, asking)
        request = None if known is not None else protocol.read(call.body)
        asking.stages.mark(at.READ)
        if known is not None:
            lease, dropped = known
            person, action = lease.about, lease.action
        else:
            assert request is not None
            person, action = deciding.person(request), request.action

        async def decide() -> Decided:
            decided = None if known is None else await decider.again(lease, dropped, asking)
            return decided or await protocol.decide(found, request or protocol.read(call.body), asking, key)

        with deciding.Counted(found, asking, call.parent) as tell:
            decided = await deciding.decided(found, asking, "decide", person, decide)
            answer = protocol.written(decided)
            asking.stages.mark(at.ANSWER)
            tell(decided, deciding.of_gate(action, decided))
        return answer

    return answered


async def _evaluations(call: _Call) -> bytes:
    """`POST /access/v1/evaluations`."""
    return await evaluating.many(call.found, call.asking, call.parent, _json(call.body, evaluating.BATCH_LIMIT))


def _own_key(_found: Services, _tenant: str, body: bytes) -> bytes:
    return b"muster " + body


def _own_decide(found: Services, request: Request, asking: Asking, key: bytes) -> Awaitable[Decided]:
    return found.decider.decide(request, asking, key)


def _evaluation(body: bytes) -> Request:
    return asked.evaluation(_json(body, BODY_LIMIT))


def _json(body: bytes, limit: int) -> JSON:
    try:
        return strict.read(body, max_bytes=limit)
    except StrictError:
        raise _Odd from None


def _question(body: bytes) -> Request:
    """The question in a body; raises _Odd for anything that `DecisionBody` would not take."""
    value = _json(body, BODY_LIMIT)
    if type(value) is not dict or not value.keys() <= {"subject", "action", "resource", "context"}:
        raise _Odd
    action = value.get("action")
    if type(action) is not dict or not action.keys() <= {"name", "properties"}:
        raise _Odd
    return Request(
        subject=_entity(value.get("subject")),
        action=_name(action.get("name")),
        action_properties=_table(action.get("properties", {})),
        resource=_entity(value.get("resource")),
        context=_table(value.get("context", {})),
    )


def _entity(value: JSON) -> Entity:
    if type(value) is not dict or not value.keys() <= {"type", "id", "properties"}:
        raise _Odd
    return Entity(
        type=_name(value.get("type")), id=_name(value.get("id")), properties=_table(value.get("properties", {}))
    )


def _name(value: JSON) -> str:
    if type(value) is not str or not 0 < len(value) <= _LONGEST_NAME:
        raise _Odd
    return value


def _table(value: JSON) -> dict[str, JSON]:
    if type(value) is not dict:
        raise _Odd
    return value


_OURS: Final = _Protocol(key=_own_key, read=_question, decide=_own_decide, written=deciding.document)
_AUTHZEN: Final = _Protocol(key=evaluating.key, read=_evaluation, decide=evaluating.decide, written=evaluating.document)


async def _whole(receive: Receive, messages: list[Message], limit: int) -> bytes:
    """The body; what was received is kept, for whoever has to read it again."""
    message = await receive()
    messages.append(message)
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
    else:
        body = b""
        while True:
            if message["type"] != "http.request" or len(body) + len(message["body"]) > limit:
                raise _Odd
            body += message["body"]
            if not message.get("more_body"):
                break
            message = await receive()
            messages.append(message)
    if len(body) > limit:
        raise _Odd
    return body


def _replayed(messages: list[Message], receive: Receive) -> Receive:
    """What was received, once more, and then what comes."""
    left = iter(messages)

    async def again() -> Message:
        for message in left:
            return message
        return await receive()

    return again


def _asks(path: bytes) -> bool:
    """Whether a gateway asks there."""
    return path.startswith(PREFIX) and path[len(PREFIX) : len(PREFIX) + 1] in (b"", b"/", b"*", b"?", b"#")


def _no_room(found: Services) -> Refusal:
    answer = problems.of(Overloaded(deciding.NO_ROOM))
    return refusal(answer.raw_headers, bytes(answer.body), lambda: found.metrics.refuse("overload"), after_body=True)


def _no_room_for_gateways(found: Services) -> Refusal:
    answer = answers.undecided(None, "overloaded", deciding.NO_ROOM)

    def told() -> None:
        found.metrics.refuse("overload")
        found.metrics.asked("", "", "", answer.outcome, answer.cause)

    return refusal(_encoded(answer), answer.body, told, after_body=False)


def _encoded(answer: Answer) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers]


_HEALTH: Final = {b"/healthz": health.alive, b"/readyz": health.ready}
_JSON: Final = [(b"content-type", b"application/json")]


async def _send(send: Send, status: int, headers: Any, body: bytes, request_id: str) -> None:
    own = [
        *(header for header in headers if header[0] != b"content-length"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": own})
    await send({"type": "http.response.body", "body": body})
