"""The way back: where somebody came from who was sent to a lesson, signed, so that no page of ours leads anywhere else.

A *word* is `ENDS.ADDRESS.MAC`: milliseconds since 1970, the address in base64url, and an HMAC-SHA256 (its first 128
bits) by a key that only this home has. The MAC covers for whom it was made as well: whoever sends somebody else a link
with a word of their own sends a link without one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final

from engine.access import base64url
from engine.home import Home
from ledger import canonical
from ledger.model import Person

PARAMETER: Final = "return"
LIFE_MS: Final = 2 * 3_600_000
"""Longer than any lesson takes, and short enough that in the evening nobody is offered the way back of the morning."""
LONGEST_ADDRESS: Final = 2000
LONGEST: Final = 14 + LONGEST_ADDRESS * 4 // 3 + 3 + 23
_ADDRESS: Final = re.compile(r"https?://[a-z0-9._\[\]:-]+/[!-\[\]-~]*")
"""A host as routes name it, perhaps a port, a path and a query: no user, no blank, no backslash."""
_FORM: Final = re.compile(r"(\d{13})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{22})", re.ASCII)


@dataclass(slots=True)
class Returns:
    """Makes and reads words; the same in every process of a home. Raises SetupError where its key cannot be read."""

    home: Home
    _key: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._key = self.home.derived_key("return")

    def word(self, tenant: str, person: Person, address: str, now_ms: int) -> str | None:
        """The word for an address and a person; None for what is no address that anybody should be led to."""
        if len(address) > LONGEST_ADDRESS or not _ADDRESS.fullmatch(address):
            return None
        said = f"{now_ms + LIFE_MS}.{base64url.encoded(address.encode('ascii')).decode()}"
        return f"{said}.{self._mac(tenant, person, said)}"

    def address(self, tenant: str, person: Person, word: str, now_ms: int) -> str | None:
        """The address that a word leads this person to, now; None for any other word."""
        form = _FORM.fullmatch(word) if len(word) <= LONGEST else None
        if form is None or not hmac.compare_digest(self._mac(tenant, person, word.rpartition(".")[0]), form[3]):
            return None
        address = base64url.decoded(form[2].encode())
        return address.decode("ascii") if address is not None and now_ms < int(form[1]) else None

    def _mac(self, tenant: str, person: Person, said: str) -> str:
        whole = canonical.encode([tenant, person.type, person.id, said])
        return base64url.encoded(hmac.digest(self._key, whole, hashlib.sha256)[:16]).decode()


def looks_like(word: str) -> bool:
    """Whether a text could be a word: worth keeping until its person is known."""
    return len(word) <= LONGEST and _FORM.fullmatch(word) is not None
