"""Envoy's external authorization over gRPC (`envoy.service.auth.v3`): asks from CheckRequests, responses of answers.

The code of the status is what Envoy goes by, and an empty response is an allow: so a response is made here, in one
place, and its code follows from the answer alone. Could-not-decide is a `denied_response` of 503 and no gRPC error,
which `failure_mode_allow` would take for an allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from google.protobuf.json_format import MessageToDict

from engine.adapters.gateway import messages
from engine.adapters.gateway.answers import Answer
from engine.adapters.gateway.asks import Ask, Unclear, of_attributes
from engine.adapters.gateway.routes import Headers
from ledger.model import JSON

_CODES: Final = {"allow": 0, "deny": 7, "unauthenticated": 16, "undecided": 14}
"""google.rpc.Code: OK, PERMISSION_DENIED, UNAUTHENTICATED, UNAVAILABLE."""
_OWN: Final = ("muster-decision-id", "muster-assertion", "muster-problem", "muster-gateway-key")
_MOST_HEADERS: Final = 256


def ask(request: Any) -> tuple[Ask | Unclear, Headers]:
    """What a CheckRequest asks about, and the headers of the request at Envoy."""
    http = request.attributes.request.http
    headers = list(_headers(http))
    if len(headers) > _MOST_HEADERS:
        return Unclear(f"the request has more than {_MOST_HEADERS} headers"), ()
    try:
        target = http.path.encode("latin-1")
    except UnicodeEncodeError:
        return Unclear("the path of the request is not made of bytes"), headers
    return of_attributes(http.method, http.host, target, headers), headers


def _headers(http: Any) -> Iterator[tuple[bytes, bytes]]:
    """As the map has them (`encode_raw_headers`), else as the table has them; what belongs to HTTP/2 left out."""
    raw = http.header_map.headers
    pairs = (
        [(each.key, each.raw_value or each.value.encode()) for each in raw]
        if raw
        else [(name, value.encode()) for name, value in http.headers.items()]
    )
    for name, value in pairs:
        if not name.startswith(":"):
            yield name.encode().lower(), value


def verified(request: Any, namespace: str) -> Mapping[str, JSON] | None:
    """The claims that a filter of Envoy has verified; None where there are none."""
    found = request.attributes.metadata_context.filter_metadata
    if namespace not in found:
        return None
    try:
        claims = MessageToDict(found[namespace]).get("payload")
    except ValueError:  # a number that JSON does not have, which no filter read in a token
        return None
    return claims if isinstance(claims, dict) else None


def response(answer: Answer) -> Any:
    """The one place where a CheckResponse is made."""
    code = _CODES[answer.outcome] if (answer.outcome == "allow") == (answer.status == 200) else _CODES["undecided"]
    status = messages.Status(code=code)
    named = messages.Struct()
    named.update({"decision_id": dict(answer.headers).get("Muster-Decision-Id", ""), "outcome": answer.outcome})
    if code == 0:
        passed = messages.OkHttpResponse(
            headers=[_option(name, value) for name, value in answer.headers if name.lower() in _OWN],
            headers_to_remove=[name for name in _OWN if name not in {given.lower() for given, _ in answer.headers}],
        )
        return messages.CheckResponse(status=status, ok_response=passed, dynamic_metadata=named)
    refused = messages.DeniedHttpResponse(
        status=messages.HttpStatus(code=answer.status if answer.status != 200 else 503),
        headers=[_option(name, value) for name, value in answer.headers],
        body=answer.body.decode("utf-8"),
    )
    return messages.CheckResponse(status=status, denied_response=refused, dynamic_metadata=named)


def _option(name: str, value: str) -> Any:
    """A header that takes the place of whatever the client has sent under its name."""
    return messages.HeaderValueOption(
        header=messages.HeaderValue(key=name.lower(), value=value),
        append_action=messages.OVERWRITE_IF_EXISTS_OR_ADD,
    )
