"""The keys that backends behind a gateway verify `Muster-Assertion` by."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from engine.api.gateway import Gateways
from engine.errors import NotFound

router = APIRouter(tags=["gateways"])


@router.get("/tenants/{tenant}/jwks.json", summary="The keys of a tenant's assertions")
async def keys(request: Request, tenant: str) -> dict[str, Any]:
    """For backends behind a gateway, which verify `Muster-Assertion`; a JWKS (RFC 7517), for anybody."""
    gateways: Gateways = request.app.state.gateways
    if not gateways.found.runtime.has(tenant):
        raise NotFound(f"there is no tenant {tenant}")
    return {"keys": [gateways.assertions(tenant).signer.jwk]}
