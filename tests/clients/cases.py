"""Assertions, and what each kit has to say of them: made by the running service, then changed or signed by others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.adapters.gateway.edge import EXPORT, Edge

Case = dict[str, Any]
TYPE = "muster-assertion+jwt"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(frozen=True, slots=True)
class Signer:
    """A key of our own, with a set of its own."""

    key: Ed25519PrivateKey
    kid: str

    def jwks(self) -> dict[str, Any]:
        """The set with its public key."""
        raw = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {
            "keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.kid, "x": b64(raw)}]
        }

    def token(self, claims: dict[str, Any] | str, **header: Any) -> str:
        """Signed; a member of the header that is `...` is left out."""
        said = {"alg": "EdDSA", "typ": TYPE, "kid": self.kid, **header}
        head = json.dumps({name: value for name, value in said.items() if value is not ...})
        body = claims if isinstance(claims, str) else json.dumps(claims)
        signed = f"{b64(head.encode())}.{b64(body.encode())}"
        return f"{signed}.{b64(self.key.sign(signed.encode()))}"


def cases(edge: Edge) -> list[Case]:
    """Every case, with its name and what it has to be taken for."""
    got = edge.ask("caddy", "ada")
    assert got.status == 200
    token = got.header("Muster-Assertion")
    assert token is not None
    jwks = edge.service.http("GET", "/tenants/default/jwks.json").json()
    header, claims = (json.loads(unb64(part)) for part in token.split(".")[:2])
    base: Case = {
        "issuer": edge.service.url,
        "audience": "backend",
        "tenant": "default",
        "method": "POST",
        "target": EXPORT,
        "decision": got.decision,
        "now": claims["iat"] + 1,
        "jwks": jwks,
        "token": token,
    }
    found: list[Case] = []

    def case(name: str, want: str, **more: Any) -> None:
        found.append({**base, "name": name, "want": want, **more})

    case("as it came", "ok")
    case("with another query", "ok", target=EXPORT.partition("?")[0] + "?to=elsewhere")
    _replayed(case, claims)
    _resigned(case, token, header, claims, jwks)
    _malformed(case, token)
    _own(case, claims, header["kid"])
    return found


def _replayed(case: Any, claims: dict[str, Any]) -> None:
    """The service's own assertion, beside another request, or at another time."""
    path = EXPORT.partition("?")[0]
    for target in (
        "/",
        path + "/",
        path.replace("acme", "evil"),
        path.replace("customers", "%63ustomers"),
        "/" + path,
        "",
    ):
        case(f"at {target}", "wrong-path_sha256", target=target)
    for method in ("GET", "post", "PUT", ""):
        case(f"by {method}", "wrong-htm", method=method)
    case("at another backend", "wrong-aud", audience="backend2")
    case("of another issuer", "wrong-iss", issuer="https://evil.example")
    case("of another tenant", "wrong-tenant", tenant="acme")
    case("beside another decision", "wrong-jti", decision="0193-1")
    case("beside no decision", "wrong-jti", decision="")
    case("at its last second", "ok", now=claims["exp"] + 4)
    case("too late", "expired", now=claims["exp"] + 5)
    case("a day late", "expired", now=claims["exp"] + 86_400)
    case("a little early", "ok", now=claims["iat"] - 5)
    case("too early", "expired", now=claims["iat"] - 6)


def _resigned(case: Any, token: str, header: dict[str, Any], claims: dict[str, Any], jwks: dict[str, Any]) -> None:
    """Signed by somebody else, in another way, or by nobody."""
    other = Signer(Ed25519PrivateKey.generate(), header["kid"])
    head, body, signature = token.split(".")
    case("by another key of the same name", "bad-signature", token=other.token(claims))
    case("held against another key", "bad-signature", jwks=other.jwks())
    case("by a key that is not there", "unknown-key", token=other.token(claims, kid="x"))
    case("by no key", "unknown-key", token=other.token(claims, kid=...))
    case("by a key that it brings", "unknown-key", token=other.token(claims, kid="x", jwk=other.jwks()["keys"][0]))
    for alg in ("none", "None", "HS256", "ES256", "eddsa", "Ed25519", "", None, 1, ...):
        case(f"alg {alg!r}", "wrong-type", token=other.token(claims, alg=alg))
    for typ in ("JWT", "MUSTER-ASSERTION+JWT", "", None, ...):
        case(f"typ {typ!r}", "wrong-type", token=other.token(claims, typ=typ))
    case("ALG", "wrong-type", token=other.token(claims, alg=..., ALG="EdDSA"))
    case("crit", "wrong-type", token=other.token(claims, crit=["exp"]))
    unsigned = b64(json.dumps({**header, "alg": "none"}).encode()) + "." + body
    case("unsigned", "wrong-type", token=unsigned + ".")
    secret = unb64(jwks["keys"][0]["x"])
    hashed = b64(json.dumps({**header, "alg": "HS256"}).encode()) + "." + body
    case("by the public key as a secret", "wrong-type",
         token=f"{hashed}.{b64(hmac.digest(secret, hashed.encode(), hashlib.sha256))}")  # fmt: skip
    case("without its signature", "bad-signature", token=f"{head}.{body}.")
    case("with half its signature", "bad-signature", token=f"{head}.{body}.{b64(unb64(signature)[:32])}")
    for name, value in {"sub": "root", "aud": "backend2", "exp": claims["exp"] + 9, "action": "x"}.items():
        changed = b64(json.dumps({**claims, name: value}).encode())
        case(f"tampered {name}", "bad-signature", token=f"{head}.{changed}.{signature}")
    case(
        "one bit",
        "bad-signature",
        token=f"{head}.{body}.{b64(bytes([unb64(signature)[0] ^ 1]) + unb64(signature)[1:])}",
    )


def _malformed(case: Any, token: str) -> None:
    """No assertion at all, or one spelt in another way."""
    head, body, signature = token.split(".")
    spelt = {
        "empty": "",
        "two parts": f"{head}.{body}",
        "four parts": token + ".x",
        "padded": f"{head}.{body}.{signature}==",
        "with a line end": f"{head}.{body}.{signature}\n",
        "with a line end inside": f"{head}.{body}.{signature[:4]}\r\n{signature[4:]}",
        "with a blank": " " + token,
        "with other letters": f"{head}.{body}.{signature[:-1]}+",
        "with letters of no alphabet": f"{head}.{body}.{signature[:-1]}\u00e9",
        "with bits that count for nothing": f"{head}.{body}.{signature[:-1]}{_next(signature[-1])}",
        "with a scheme": f"Bearer {token}",
        "twice": f"{token}, {token}",
        "too long": f"{head}.{body}.{signature}{'A' * 9000}",
        "a header that is a list": f"{b64(b'[]')}.{body}.{signature}",
        "a header that is no JSON": f"{b64(b'{')}.{body}.{signature}",
    }
    for name, each in spelt.items():
        case(name, "malformed", token=each)


def _own(case: Any, claims: dict[str, Any], kid: str) -> None:
    """Signed by a key that is believed, and saying what the service never says."""
    own = Signer(Ed25519PrivateKey.generate(), kid)

    def signed(name: str, want: str, said: dict[str, Any] | str) -> None:
        case(name, want, token=own.token(said), jwks=own.jwks())

    signed("by a key that is believed", "ok", claims)
    for name in ("iss", "tenant", "aud", "jti", "sub", "sub_type", "action", "htm", "path_sha256", "iat", "exp"):
        signed(f"without {name}", "malformed", {key: value for key, value in claims.items() if key != name})
    for name, value in {"aud": ["backend"], "sub": None, "jti": 1, "exp": None, "iat": True}.items():
        signed(f"{name} of another type", "malformed", {**claims, name: value})
    signed("exp as a text", "malformed", {**claims, "exp": str(claims["exp"])})
    signed("exp with a fraction", "malformed", {**claims, "exp": claims["exp"] + 0.5})
    signed("for an hour", "expired", {**claims, "exp": claims["iat"] + 3600})
    signed("for no time", "expired", {**claims, "exp": claims["iat"]})
    text = json.dumps(claims)
    signed("a claim twice", "malformed", text[:-1] + ', "sub": "root"}')
    signed("two objects", "malformed", text + text)
    signed("no object", "malformed", f"[{text}]")
    signed("no JSON", "malformed", text[:-1])


def _next(letter: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(letter) + 1]
