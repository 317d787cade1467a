"""Bearer tokens: made, kept as a hash in the ledger, and read back into a `Caller`.

`mst.TENANT.ID.SECRET`: the tenant and the token's ID say where to look, the secret has 256 random bits. Only its
SHA-256 is stored: with that much entropy a slow hash would add nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from engine.access.caller import ROLES, Caller, Principal
from engine.errors import BadRequest, FieldError, Unauthenticated
from ledger import instants
from ledger.model import JSON, Person, unknown_object
from ledger.store import States

TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_FORM = re.compile(r"mst\.([a-z0-9][a-z0-9-]{0,62})\.([0-9a-f-]{36})\.([A-Za-z0-9_-]{43})")
_PRINCIPALS = {
    "gateway": ("system",),
    "app": ("system",),
    "learner-session": ("user",),
    "person": ("user",),
    "author": ("user", "system"),
    "auditor": ("user", "system"),
    "admin": ("user", "system"),
}
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
_LIFE = re.compile(r"P(?:(\d{1,4})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,6})M)?(?:(\d{1,8})S)?)?", re.ASCII)
_LONGEST_DAYS = 3660
_REMEMBERED: Final = 1024
"""Who holds a token, never whether it is valid now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A token on its way to its owner: shown once, never stored."""

    token_id: str
    text: str
    hash: str


def make(tenant: str, token_id: str) -> Secret:
    """Draw a new token."""
    secret = secrets.token_urlsafe(32)
    return Secret(token_id=token_id, text=f"mst.{tenant}.{token_id}.{secret}", hash=_digest(secret))


def authenticate(states: States, text: str, now: str, origin: str | None = None) -> Caller:
    """Who holds this token; raises Unauthenticated. A person who was deactivated holds none.

    `origin` is where a browser says that it comes from; a session is bound to the one it was begun for.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise Unauthenticated("the token is not one of Muster's")
    tenant, token_id, secret = form.groups()
    name = f"token/{token_id}"
    version, state = states.objects(tenant, [name])[name]
    known = state if isinstance(state, dict) else {}
    if not hmac.compare_digest(str(known.get("hash", "")), _digest(secret)):
        raise Unauthenticated("the token is unknown")
    if known.get("revoked_at") is not None:
        raise Unauthenticated("the token has been revoked")
    if not now < str(known["expires_at"]):
        raise Unauthenticated("the token has expired")
    if origin is not None and known.get("origin") not in (None, origin):
        raise Unauthenticated("the session was begun for another origin")
    principal = known["principal"]
    assert isinstance(principal, dict)
    if principal["type"] != "user":  # systems are always in service
        return _system(tenant, str(known["role"]), str(principal["id"]), token_id, version)
    person = Person(type="user", id=str(principal["id"]))
    seen = [(name, version)]
    ref = states.person(tenant, person)  # people whom the directory does not have are in service, too
    name = f"person/{ref}" if ref else unknown_object(person)
    version, state = states.objects(tenant, [name])[name] if ref else (-1, None)
    seen.append((name, version))
    if ref is not None and not _is_active(state):
        raise Unauthenticated("the person behind the token has been deactivated")
    who = Principal(type="user", id=person.id)
    return Caller(tenant=tenant, role=str(known["role"]), principal=who, token_id=token_id, seen=tuple(seen))


@lru_cache(maxsize=_REMEMBERED)
def _system(tenant: str, role: str, name: str, token_id: str, version: int) -> Caller:
    """A system that holds a token: the same object, however often it asks."""
    principal = Principal(type="system", id=name)
    seen = ((f"token/{token_id}", version),)
    return Caller(tenant=tenant, role=role, principal=principal, token_id=token_id, seen=seen)


def _is_active(person: JSON | None) -> bool:
    directory = person["directory"] if isinstance(person, dict) else None
    return isinstance(directory, dict) and directory.get("active") is True


def principal_of(state: JSON) -> Principal:
    """The principal that a token's state names."""
    assert isinstance(state, dict)
    return Principal(type="user" if state["type"] == "user" else "system", id=str(state["id"]))


def parse_principal(role: str, text: str) -> Principal:
    """Read `user:ID` or `system:NAME` and check that it fits the role; raises BadRequest."""
    if role not in ROLES:
        raise BadRequest("unknown role", (FieldError("/role", f"one of {', '.join(ROLES)}"),))
    kind, _, name = text.partition(":")
    if kind not in ("user", "system") or not _NAME.fullmatch(name):
        raise BadRequest("unknown principal", (FieldError("/principal", "expected user:ID or system:NAME"),))
    if name != name.strip() or (kind, name) == ("system", "operator"):
        detail = "no spaces around the name, and `system:operator` is whoever owns the home's files"
        raise BadRequest("this principal cannot have a token", (FieldError("/principal", detail),))
    if kind not in _PRINCIPALS[role]:
        wanted = " or ".join(f"{k}:..." for k in _PRINCIPALS[role])
        raise BadRequest("principal does not fit role", (FieldError("/principal", f"{role} needs {wanted}"),))
    return Principal(type="user" if kind == "user" else "system", id=name)


def expiry(now: str, life: str) -> str:
    """The instant at which a token made now ends; `life` is an ISO 8601 duration in days, hours, minutes, seconds."""
    ends = after(now, life)
    if ends is None:
        detail = f"expected a duration such as P1D or PT8H, at most P{_LONGEST_DAYS}D (months are not counted here)"
        raise BadRequest("wrong duration", (FieldError("/expires", detail),))
    return ends


def after(now: str, life: str) -> str | None:
    """The instant that lies such a duration after another; None for what is none, or is nothing, or too long."""
    form = _LIFE.fullmatch(life)
    amounts = [int(n or 0) for n in form.groups()] if form else []
    seconds = sum(n * unit for n, unit in zip(amounts, (86_400, 3_600, 60, 1), strict=False))
    return instants.from_ms(instants.parse(now) + seconds * 1000) if 0 < seconds <= _LONGEST_DAYS * 86_400 else None


def describe(token_id: str, state: JSON) -> dict[str, JSON]:
    """A token as a list shows it: everything but its hash."""
    assert isinstance(state, dict)
    return {"id": token_id, **{k: v for k, v in state.items() if k != "hash"}}


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
