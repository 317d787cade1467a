"""What the service answers, read strictly: the shapes are those of its API, and whatever else is `Undecided`.

The service answers 200 for a yes *and* for a no. Members that are not known are passed over, so that a newer service
may say more; those that are used must be there, and be of their type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from muster_client import strict
from muster_client.errors import Refused, Undecided

T = TypeVar("T")
_REFUSALS = (400, 401, 403, 404, 413)


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do about a denial. `href` is whole: the client adds the service's address where it was a path."""

    kind: str
    href: str | None
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Denial:
    """One thing that is missing."""

    code: str
    title: str
    message: str
    remedy: Remedy


@dataclass(frozen=True, slots=True)
class Decision:
    """A recorded decision. `allow` is what to go by; `verdict` differs from it only while a gate is in shadow mode."""

    decision_id: str
    allow: bool
    verdict: str
    mode: str
    denials: tuple[Denial, ...]
    obligations: tuple[Any, ...]
    valid_until: str | None
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Certified:
    """The answer of `isCertified`. `decision_id` is None where it was a display, which is no gate."""

    certified: bool
    status: str
    scope: str
    tier: str | None
    expires_at: str | None
    remaining_days: int | None
    decision_id: str | None
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Module:
    """A module that stands between a person and an action."""

    module: str
    title: str
    minutes: int
    href: str
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """A request that a gateway's ask can cite, by its ID, until it expires."""

    request: str
    expires_at: str
    request_digest: str
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer as it came. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def read(raw: Raw, base: str, parse: Callable[[dict[str, Any], str], T], status: int = 200) -> T:
    """What a well-formed 200 (or another one) says; raises Undecided, and Refused where the call is wrong."""
    if raw.status != status:
        raise _not_answered(raw)
    _typed(raw, "application/json")
    try:
        return parse(strict.table(raw.body), base)
    except strict.NotJSON as exc:
        raise Undecided("bad-answer", f"the answer cannot be believed: {exc}", status=status) from exc


def stored(value: dict[str, Any], _base: str) -> Stored:
    """`POST /v1/requests`."""
    _need(_is_name(value.get("request")), "request is no ID")
    return Stored(
        request=_text(value, "request"),
        expires_at=_text(value, "expires_at"),
        request_digest=_text(value, "request_digest"),
        said=value,
    )


def decision(value: dict[str, Any], base: str) -> Decision:
    """`POST /v1/decisions`: a deny has reasons, an allow has none, and only shadow mode lets a deny pass."""
    verdict, mode, allow = _text(value, "verdict"), _text(value, "mode"), _truth(value, "allow")
    denials = tuple(_denial(each, base) for each in _list(value, "denials"))
    _need(verdict in ("allow", "deny") and mode in ("enforce", "shadow"), "verdict or mode is not known")
    _need((verdict == "deny") == bool(denials), "denials contradict the verdict")
    _need(_is_name(value.get("decision_id")), "decision_id is no ID")
    _need(allow is (verdict == "allow" or mode == "shadow"), "allow contradicts the verdict")
    return Decision(
        decision_id=_text(value, "decision_id"),
        allow=allow,
        verdict=verdict,
        mode=mode,
        denials=denials,
        obligations=tuple(_list(value, "obligations")),
        valid_until=_text_or_none(value, "valid_until"),
        said=value,
    )


def certified(value: dict[str, Any], base: str) -> Certified:
    """`GET /v1/is-certified`."""
    del base
    remaining = value.get("remaining_days")
    _need(remaining is None or _is_count(remaining), "remaining_days is not a number of days")
    return Certified(
        certified=_truth(value, "certified"),
        status=_text(value, "status"),
        scope=_text(value, "scope"),
        tier=_text_or_none(value, "tier"),
        expires_at=_text_or_none(value, "expires_at"),
        remaining_days=remaining,
        decision_id=_text_or_none(value, "decision_id"),
        said=value,
    )


def modules(value: dict[str, Any], base: str) -> tuple[Module, ...]:
    """`GET /v1/next-required-training`."""
    return tuple(_module(each, base) for each in _list(value, "required"))


def _module(value: Any, base: str) -> Module:
    _need(isinstance(value, dict) and _is_count(value.get("minutes")), "a module is not as it should be")
    href = _whole(_text(value, "href"), base)
    return Module(_text(value, "module"), _text(value, "title"), value["minutes"], href, value)


def _denial(value: Any, base: str) -> Denial:
    _need(isinstance(value, dict) and isinstance(value.get("remedy"), dict), "a denial is not as it should be")
    remedy = value["remedy"]
    href = _text_or_none(remedy, "href")
    shown = Remedy(_text(remedy, "kind"), _whole(href, base) if href is not None else None, remedy)
    return Denial(_text(value, "code"), _text(value, "title"), _text(value, "message"), shown)


def _whole(href: str, base: str) -> str:
    return base + href if href.startswith("/") and not href.startswith("//") else href


def _not_answered(raw: Raw) -> Undecided:
    """The error of whatever is no 200, with what its problem document says where that can be read."""
    said: dict[str, Any] = {}
    if raw.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/problem+json":
        try:
            said = strict.table(raw.body)
        except strict.NotJSON:
            said = {}
    detail = _string(said.get("detail")) or f"the service answered {raw.status}"
    if raw.status in _REFUSALS:
        return Refused("refused", detail, status=raw.status)
    cause = {429: "rate", 503: _string(said.get("cause")) or "undecided"}.get(raw.status, "bad-answer")
    after = raw.headers.get("retry-after", "")
    seconds = min(int(after), 3600) if after.isascii() and after.isdigit() and len(after) < 6 else 1
    told = _string(said.get("decision_id"))
    return Undecided(cause, detail, status=raw.status, retry_after=max(1, seconds), decision_id=told)


def _typed(raw: Raw, wanted: str) -> None:
    kind = raw.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != wanted or "content-encoding" in raw.headers:
        raise Undecided("bad-answer", f"the answer is {kind or 'of no type'}, and not {wanted}", status=raw.status)


def _need(condition: bool, what: str) -> None:
    if not condition:
        raise strict.NotJSON(what)


def _truth(value: dict[str, Any], name: str) -> bool:
    found = value.get(name)
    _need(found is True or found is False, f"{name} is neither true nor false")
    return found is True


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name)
    _need(isinstance(found, str) and found != "", f"{name} is not a text")
    return str(found)


def _text_or_none(value: dict[str, Any], name: str) -> str | None:
    return None if value.get(name) is None else _text(value, name)


def _list(value: dict[str, Any], name: str) -> list[Any]:
    found = value.get(name)
    if not isinstance(found, list):
        raise strict.NotJSON(f"{name} is not a list")
    return found


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 128 and value.isascii() and value.isprintable()


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
