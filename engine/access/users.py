"""Who is asking: a user's token, verified against the pinned issuers that a gateway's profile takes.

The one way in for whoever holds a token: it chooses the issuer, takes the keys that are there, and remembers what it
verified. A verified token is remembered by its SHA-256 until it ends, its issuer is pinned otherwise, or the issuer's
keys change; only good tokens are remembered, and at most `most` of them, so strangers cannot fill the memory. Nothing
waits, and nothing runs off the event loop: the dearest signature costs less than a millisecond.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from engine.access import jwt
from engine.access.issuers import Issuer
from engine.access.jwks import KeySet
from engine.access.jwt import Refused, Verified
from engine.access.keysets import KeySets, NoKeys

REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class _Remembered:
    verified: Verified
    issuer: Issuer
    keys: KeySet


@dataclass(slots=True)
class Users:
    """Verifies users' tokens. `most` good ones are remembered; 0: none."""

    keysets: KeySets
    most: int = REMEMBERED
    _memory: OrderedDict[tuple[str, bytes], _Remembered] = field(default_factory=OrderedDict)

    def verify(self, tenant: str, issuers: Sequence[Issuer], token: str, now_ms: int) -> Verified | Refused | NoKeys:
        """Whose token it is at `now_ms` (milliseconds since 1970), by one of these issuers of the tenant."""
        known = self._recalled(tenant, issuers, token, now_ms) if len(token) <= jwt.MOST_BYTES else None
        if known is not None:
            return known
        unverified = jwt.read(token)
        if isinstance(unverified, Refused):
            return unverified
        issuer = next((each for each in issuers if each.url == unverified.iss), None)
        if issuer is None:
            return Refused("issuer", "the token is of no issuer that is pinned here")
        keys = self.keysets.keys(tenant, issuer)
        if isinstance(keys, NoKeys):
            return keys
        result = jwt.verify(unverified, issuer, keys, now_ms)
        if isinstance(result, Verified):
            self._remember((tenant, _key(token)), _Remembered(result, issuer, keys))
        elif result.code == "unknown_key":
            self.keysets.wake(tenant, issuer)
        return result

    def _recalled(self, tenant: str, issuers: Sequence[Issuer], token: str, now_ms: int) -> Verified | None:
        """What was verified before, if all that it leaned on is as it was."""
        key = (tenant, _key(token))
        known = self._memory.get(key)
        if known is None:
            return None
        if (
            not known.verified.from_ms <= now_ms < known.verified.until_ms
            or known.issuer not in issuers
            or self.keysets.keys(tenant, known.issuer) is not known.keys
        ):
            del self._memory[key]
            return None
        self._memory.move_to_end(key)
        return known.verified

    def _remember(self, key: tuple[str, bytes], known: _Remembered) -> None:
        if self.most:
            self._memory[key] = known
            if len(self._memory) > self.most:
                self._memory.popitem(last=False)


def _key(token: str) -> bytes:
    """What a token is found by. What is not ASCII becomes `?`, which no token has."""
    return sha256(token.encode("ascii", "replace")).digest()
