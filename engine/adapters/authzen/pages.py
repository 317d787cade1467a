"""Where a search goes on: tokens that say it, and that only this home can make or read.

A token is sealed (AES-GCM) with a key of the home, and bound to its whole search: tenant, endpoint, entities, context.
So it is good for nothing else, for nobody else, and tells nobody at whom the page before it ended. A page's limit and
properties are carried in it: the request that sends it may leave them out, as the examples of section 8.2.3 do, and may
not say others.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine.access import base64url
from engine.adapters.authzen.reading import NOT_GIVEN, Page, Search
from engine.decide.request import Entity
from engine.errors import BadRequest, FieldError
from ledger import canonical, strict
from ledger.model import JSON

LONGEST_ID: Final = 2900
"""Bytes of an ID as JSON for which a token is a text that the strict reader takes (4,096 characters)."""
_NONCE: Final = 12
_TAG: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a search goes on: behind the candidate of this ID ("": at the first one), in pages like the first."""

    after: str
    limit: int | None
    properties: str | None
    """SHA-256 (hex) of the page's properties; None where there were none."""


class Tokens:
    """Seals positions, and opens what it has sealed."""

    def __init__(self, key: bytes) -> None:
        """`key`: 32 secret bytes of this home, for this purpose."""
        self._cipher = AESGCM(key)

    def sealed(self, position: Position, tenant: str, search: Search) -> str:
        """The token of a position in a search."""
        nonce = secrets.token_bytes(_NONCE)
        inner: JSON = {"after": position.after, "limit": position.limit, "properties": position.properties}
        data = self._cipher.encrypt(nonce, canonical.encode(inner), _bound(tenant, search))
        return base64url.encoded(nonce + data).decode()

    def position(self, tenant: str, search: Search) -> Position:
        """Where a search begins or goes on; raises BadRequest for a token that was not sealed for this search."""
        page = search.page or Page()
        if page.token is None:
            return Position(after="", limit=page.limit, properties=_digest(page.properties))
        opened = self._opened(page.token, tenant, search)
        if page.limit not in (None, opened.limit):
            raise _refused("/page/limit", "is another than the first page's: leave it out, or repeat it")
        if page.properties is not NOT_GIVEN and _digest(page.properties) != opened.properties:
            raise _refused("/page/properties", "are others than the first page's: leave them out, or repeat them")
        return opened

    def _opened(self, token: str, tenant: str, search: Search) -> Position:
        refused = _refused("/page/token", "is no token of this search: begin anew without one")
        data = base64url.decoded(token.encode())
        if data is None or len(data) < _NONCE + _TAG:
            raise refused
        try:
            inner = strict.read(self._cipher.decrypt(data[:_NONCE], data[_NONCE:], _bound(tenant, search)))
        except InvalidTag as exc:
            raise refused from exc
        assert isinstance(inner, dict)  # we sealed it
        limit, properties = inner["limit"], inner["properties"]
        assert limit is None or isinstance(limit, int)
        assert properties is None or isinstance(properties, str)
        return Position(after=str(inner["after"]), limit=limit, properties=properties)


def _refused(pointer: str, detail: str) -> BadRequest:
    return BadRequest("the page that is asked for is not of this search", (FieldError(pointer, detail),))


def _digest(properties: Mapping[str, JSON]) -> str | None:
    return None if properties is NOT_GIVEN else hashlib.sha256(canonical.encode(dict(properties))).hexdigest()


def _bound(tenant: str, search: Search) -> bytes:
    """What a token is bound to: SHA-256 of the search as it was read, so that what is ignored does not matter."""
    asked = search.question
    whole: JSON = {
        "tenant": tenant,
        "kind": search.kind,
        "subject": _entity(asked.subject),
        "action": [asked.action, _properties(asked.action_properties)],
        "resource": _entity(asked.resource),
        "context": _properties(asked.context),
    }
    return hashlib.sha256(canonical.encode(whole)).digest()


def _entity(entity: Entity) -> JSON:
    return [entity.type, entity.id, _properties(entity.properties)]


def _properties(given: Mapping[str, JSON]) -> JSON:
    return None if given is NOT_GIVEN else dict(given)
