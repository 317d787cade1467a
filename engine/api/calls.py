"""One call of a route: the dependencies by which FastAPI finds caller and services."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from engine.access import tokens
from engine.access.caller import TENANT_HEADER, Caller, operator
from engine.api.services import OPERATOR_SCOPE, Services, authenticated
from engine.decide.asking import Asking
from engine.entries.writer import Once
from engine.errors import BadRequest, FieldError, Unauthenticated
from engine.settings import DEFAULT_TENANT
from ledger.model import JSON, Person


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


Authenticated = Annotated[Call, Depends(call)]
