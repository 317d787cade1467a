"""A caller that has been authenticated: which tenant, role and principal stands behind a call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ledger import canonical
from ledger.encoded import Encoded
from ledger.model import JSON, Person

PrincipalType = Literal["user", "system"]
TENANT_HEADER = "muster-tenant"
"""By which the operator, who needs no token, says whose log is meant."""
ROLES = ("gateway", "app", "learner-session", "person", "author", "auditor", "admin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A person (`user:ID`) or a system (`system:NAME`)."""

    type: PrincipalType
    id: str

    @property
    def person(self) -> Person | None:
        """The person this principal is, where it is one."""
        return Person(type="user", id=self.id) if self.type == "user" else None

    def __str__(self) -> str:
        return f"{self.type}:{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls. `token_id` is None for the operator, who is known by owning the home's files.

    `seen`: the ledger's objects that say so, with versions; what is recorded in this name is refused if one has moved.
    """

    tenant: str
    role: str
    principal: Principal
    token_id: str | None
    seen: tuple[tuple[str, int], ...] = field(default=(), compare=False)
    name: str = field(init=False, compare=False, repr=False)
    """The principal within its tenant, as one text."""
    ref: str | None = field(init=False, compare=False)
    """The caller's pseudonym, where they are a person whom the directory has."""
    document: Encoded = field(init=False, compare=False, repr=False)
    """How the entry of a decision names this caller."""

    def __post_init__(self) -> None:
        # Here, and not where they are asked for: one object stands for a system in all of its requests.
        ref = next((name[7:] for name, _ in self.seen if name.startswith("person/")), None)
        object.__setattr__(self, "name", f"{self.tenant} {self.principal}")
        object.__setattr__(self, "ref", ref)
        object.__setattr__(self, "document", Encoded(canonical.encode(self.named(ref))))

    def named(self, ref: str | None) -> dict[str, JSON]:
        """How an entry names this caller: a person stands by `ref` only, never by their ID."""
        principal: JSON = (
            {"type": "user", "ref": ref}
            if self.principal.type == "user"
            else {"type": "system", "id": self.principal.id}
        )
        return {"role": self.role, "token": self.token_id, "principal": principal}


def operator(tenant: str) -> Caller:
    """Whoever owns the home's files: they hold its keys already, so they need no token."""
    return Caller(tenant=tenant, role="admin", principal=Principal(type="system", id="operator"), token_id=None)


def itself(tenant: str) -> Caller:
    """Muster itself, where it writes down that time has ended something; it calls nothing over HTTP."""
    return Caller(tenant=tenant, role="muster", principal=Principal(type="system", id="muster"), token_id=None)
