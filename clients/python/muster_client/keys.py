"""The keys that assertions are signed with: `/tenants/{tenant}/jwks.json`, fetched in the background and kept.

No request waits for a key. Keys are fetched anew every five minutes, and sooner (but at most every ten seconds) when an
assertion names a key that is not there. What was fetched is used for a day at most while the service is away.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
import threading
import time
from typing import Any, Final

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from muster_client import calls, strict
from muster_client.errors import Undecided

_REFRESH: Final = 300.0
_SOONEST: Final = 10.0
_FIRST: Final = 1.0
_KEPT: Final = 86_400.0
_MOST: Final = 65_536
_log = logging.getLogger(__name__)


class Keys:
    """The keys of one tenant. `url` is https, or http on this machine."""

    def __init__(self, url: str, *, plain_http: bool = False, timeout: float = 5.0) -> None:
        self.url = calls.base_url(url, plain_http=plain_http)
        self._timeout = timeout
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._at: float | None = None
        self._asked = threading.Event()
        self._ended: threading.Event | None = None
        self._lock = threading.Lock()
        self._of: int | None = None

    def start(self) -> None:
        """Begin to fetch, once in each process."""
        with self._lock:
            if self._of != os.getpid():
                self._of, self._ended = os.getpid(), threading.Event()
                threading.Thread(target=self._keep, args=(self._ended,), name="muster-keys", daemon=True).start()

    def close(self) -> None:
        """Fetch no more."""
        with self._lock:
            if self._ended is not None:
                self._ended.set()
            self._of = None
            self._asked.set()

    def key_of(self, kid: str) -> Ed25519PublicKey | None:
        """The key of this name; raises Undecided while there are none that can be used."""
        self.start()
        if self._at is None or time.monotonic() - self._at > _KEPT:
            raise Undecided("no-keys", f"{self.url} could not be fetched yet")
        found = self._keys.get(kid)
        if found is None:
            self._asked.set()
        return found

    def _keep(self, ended: threading.Event) -> None:
        """Fetch for as long as this is wanted; whatever goes wrong is logged, and tried again."""
        with httpx.Client(timeout=self._timeout, follow_redirects=False, trust_env=False) as http:
            while not ended.is_set():
                try:
                    self._keys, self._at = self._fetched(http), time.monotonic()
                except (httpx.HTTPError, OSError, strict.NotJSON) as exc:
                    _log.warning("the keys at %s could not be fetched: %s", self.url, exc)
                ended.wait(_SOONEST if self._at is not None else _FIRST)
                self._asked.wait(_REFRESH if self._at is not None else 0)
                self._asked.clear()

    def _fetched(self, http: httpx.Client) -> dict[str, Ed25519PublicKey]:
        with http.stream("GET", self.url, headers={"Accept-Encoding": "identity"}) as answer:
            found = bytearray()
            for part in answer.iter_raw():
                found += part
                if len(found) > _MOST:
                    raise strict.NotJSON(f"it is longer than {_MOST} bytes")
        if answer.status_code != 200:
            raise strict.NotJSON(f"the answer is {answer.status_code}")
        return parsed(bytes(found))


def parsed(document: bytes) -> dict[str, Ed25519PublicKey]:
    """The Ed25519 keys of a JWKS (RFC 7517, 8037) by name; other keys are passed over. Raises NotJSON."""
    listed = strict.table(document).get("keys")
    if not isinstance(listed, list):
        raise strict.NotJSON("it has no list of keys")
    usable = [each for each in listed if isinstance(each, dict) and _usable(each)]
    found = {each["kid"]: _key(each) for each in usable}
    if not found or len(found) != len(usable):
        raise strict.NotJSON("it has no Ed25519 key, or two of one name")
    return found


def _usable(key: dict[str, Any]) -> bool:
    return (
        (key.get("kty"), key.get("crv")) == ("OKP", "Ed25519")
        and key.get("use", "sig") == "sig"
        and key.get("alg", "EdDSA") == "EdDSA"
        and isinstance(key.get("kid"), str)
        and isinstance(key.get("x"), str)
    )


def _key(key: dict[str, Any]) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "=" * (-len(key["x"]) % 4)))
    except (binascii.Error, ValueError) as exc:
        raise strict.NotJSON("a key is not of 32 bytes") from exc
