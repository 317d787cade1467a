"""A key set (RFC 7517) as an issuer publishes it: what of it can verify a user's token, and what of it is ignored.

A document that cannot be read, holds too many keys, or offers two keys for one `kid` and algorithm is not believed at
all (`NotAKeySet`), and whoever fetched it keeps what it had. A single key that is of no use is ignored, and counted by
its reason. A set without a usable key is believed: that is how an issuer withdraws its keys.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from engine.access import base64url
from engine.access.issuers import ALGORITHMS
from ledger import strict
from ledger.errors import StrictError
from ledger.model import JSON

MOST_BYTES: Final = 256 * 1024
MOST_KEYS: Final = 64
RSA_BITS: Final = range(2048, 8192 + 1)
"""Below is too weak; above, one signature costs more than a millisecond."""
_RSA_EXPONENT: Final = range(3, 1 << 32, 2)  # a larger one is nobody's, and slow
NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,255}")
"""What a `kid`, a `jti` and a subject may be: nothing that would break a line of a record or a log."""

JoseKey = RSAKey | ECKey | OKPKey
_MEMBERS: Final[Mapping[str, tuple[type[RSAKey] | type[ECKey] | type[OKPKey], tuple[str, ...]]]] = {
    "RSA": (RSAKey, ("n", "e")),
    "EC": (ECKey, ("x", "y")),
    "OKP": (OKPKey, ("x",)),
}


class NotAKeySet(Exception):
    """The document cannot be believed; a sentence for whoever runs Muster."""


class _Ignored(Exception):
    """A key of no use here; its text is the reason."""


@dataclass(frozen=True, slots=True, eq=False)
class VerifyingKey:
    """A public key, with the algorithms that it may be used with: those that fit it, or the one that it names."""

    kid: str | None
    algorithms: frozenset[str]
    public: bytes
    """DER of its SubjectPublicKeyInfo: what tells whether two keys are one."""
    jose: JoseKey

    def made(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `signed`, by an algorithm that is one of its own."""
        try:
            return JWSRegistry.algorithms[algorithm].verify(signed, signature, self.jose)
        except (JoseError, ValueError):  # a signature of a shape that the library refuses rather than checks
            return False


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """The usable keys of a set. Compared by identity: as long as a set stays the same, it is the same object."""

    keys: tuple[VerifyingKey, ...]
    ignored: Mapping[str, int]
    digest: str
    _named: Mapping[tuple[str, str], VerifyingKey]
    _only: Mapping[str, VerifyingKey]

    def find(self, kid: str | None, algorithm: str) -> VerifyingKey | None:
        """The key of that name and algorithm; without a name, the only one that there is for the algorithm."""
        return self._only.get(algorithm) if kid is None else self._named.get((kid, algorithm))


def read(data: bytes) -> KeySet:
    """The key set in a document; raises NotAKeySet."""
    try:
        document = strict.read(data, max_bytes=MOST_BYTES, max_depth=16, max_array=1024, max_string=MOST_BYTES)
    except StrictError as exc:
        raise NotAKeySet(f"its key set is not JSON that can be believed: {exc}") from exc
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise NotAKeySet("its key set has no list `keys`")
    if len(listed) > MOST_KEYS:
        raise NotAKeySet(f"its key set has {len(listed)} keys, and at most {MOST_KEYS} are taken")
    keys: list[VerifyingKey] = []
    ignored: Counter[str] = Counter()
    for each in listed:
        try:
            keys.append(_key(each))
        except _Ignored as exc:
            ignored[str(exc)] += 1
    return _set(keys, ignored)


def _set(keys: list[VerifyingKey], ignored: Mapping[str, int]) -> KeySet:
    """The keys, found by name and algorithm; raises NotAKeySet where that would be a guess."""
    named: dict[tuple[str, str], VerifyingKey] = {}
    fitting: dict[str, dict[bytes, VerifyingKey]] = {}
    for key in keys:
        for algorithm in key.algorithms:
            fitting.setdefault(algorithm, {})[key.public] = key
            if key.kid is None:
                continue
            other = named.setdefault((key.kid, algorithm), key)
            if other.public != key.public:
                raise NotAKeySet(f"its key set has two different keys of one `kid`, both for {algorithm}")
    lines = sorted(f"{key.kid!r} {sorted(key.algorithms)} {key.public.hex()}" for key in keys)
    return KeySet(
        keys=tuple(keys),
        ignored=dict(ignored),
        digest=sha256("\n".join(lines).encode()).hexdigest(),
        _named=named,
        _only={algorithm: next(iter(each.values())) for algorithm, each in fitting.items() if len(each) == 1},
    )


def _key(said: JSON) -> VerifyingKey:
    """One key; raises _Ignored."""
    if not isinstance(said, dict):
        raise _Ignored("not an object")
    kind, kid = said.get("kty"), said.get("kid")
    if kind == "oct":
        raise _Ignored("symmetric")
    if not isinstance(kind, str) or kind not in _MEMBERS:
        raise _Ignored("of a type that is not used here")
    if "d" in said:
        raise _Ignored("private: whoever reads the set can sign with it")
    if said.get("use", "sig") != "sig":
        raise _Ignored("not for signatures")
    operations = said.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise _Ignored("not for verifying")
    if "kid" in said and not (isinstance(kid, str) and NAME.fullmatch(kid)):
        raise _Ignored("with a `kid` that is no text of 1 to 255 characters")
    algorithms = _algorithms(said)
    jose = _material(kind, said)
    public = jose.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return VerifyingKey(kid if isinstance(kid, str) else None, algorithms, public, jose)


def _algorithms(said: Mapping[str, JSON]) -> frozenset[str]:
    fitting = {
        name for name, (kind, curve) in ALGORITHMS.items() if said["kty"] == kind and curve in (None, said.get("crv"))
    }
    if "alg" in said:
        fitting &= {name for name in fitting if name == said["alg"]}
    if not fitting:
        raise _Ignored("for an algorithm or on a curve that is not used here")
    return frozenset(fitting)


def _material(kind: str, said: Mapping[str, JSON]) -> JoseKey:
    """The key itself. joserfc is given what makes the key and nothing else, so that nothing else can matter."""
    imported, members = _MEMBERS[kind]
    material: dict[str, str | list[str]] = {"kty": kind}
    numbers: list[int] = []
    for member in members:
        text = said.get(member)
        data = base64url.decoded(text.encode()) if isinstance(text, str) else None
        if not data or not isinstance(text, str):
            raise _Ignored("malformed")
        material[member] = text
        numbers.append(int.from_bytes(data))
    if kind == "RSA":
        if numbers[0].bit_length() not in RSA_BITS:
            raise _Ignored(f"RSA of a size outside {RSA_BITS[0]} to {RSA_BITS[-1]} bits")
        if numbers[1] not in _RSA_EXPONENT:
            raise _Ignored("RSA with an exponent that is even, 1, or above 2^32")
    else:
        material["crv"] = str(said["crv"])
    try:
        return imported.import_key(material)
    except (JoseError, ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise _Ignored("malformed") from exc
