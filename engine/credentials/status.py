"""Which badges were revoked, as a W3C Bitstring Status List: one bit for each ledger index.

A revocation takes every certification of its scope that the person was given before it; a reviewed regrade takes what
was earned with the lowered pass, from its day on. A list has 131,072 bits, the
least that the recommendation allows, so that nobody learns whose badge is asked about; an entry's bit is its index.
"""

from __future__ import annotations

import base64
import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from ledger.model import Entry
from ledger.store import Reader

LIST_SIZE = 131_072
_CHUNK = 1000


@dataclass(slots=True)
class Revocations:
    """What was revoked, or lowered by a reviewed regrade, read from the log once and kept up with its growth."""

    _since: dict[str, dict[int, str]] = field(default_factory=dict)
    _read: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def revoked(self, reader: Reader, tenant: str, index: int, now: str) -> bool:
        """Whether what stands at an index does not count any more."""
        since = self._all(reader, tenant).get(index)
        return since is not None and since <= now

    def encoded(self, reader: Reader, tenant: str, number: int, now: str) -> str:
        """List `number`: GZIP, then multibase base64url (`u`). Bit 0 is the highest bit of the first byte."""
        bits = bytearray(LIST_SIZE // 8)
        first = number * LIST_SIZE
        for index, since in self._all(reader, tenant).items():
            if first <= index < first + LIST_SIZE and since <= now:
                bits[(index - first) // 8] |= 0x80 >> (index - first) % 8
        packed = gzip.compress(bytes(bits), mtime=0)
        return "u" + base64.urlsafe_b64encode(packed).rstrip(b"=").decode()

    def _all(self, reader: Reader, tenant: str) -> dict[int, str]:
        """Since when, by index."""
        with self._lock:
            size = reader.head(tenant).size
            known = self._since.setdefault(tenant, {})
            for entry in reader.of_kind(tenant, ("revocation", "regrade"), self._read.get(tenant, 0), size):
                if entry.about is None or entry.payload is None:
                    continue
                found = _revoked(reader, entry) if entry.kind == "revocation" else _lowered(reader, entry)
                for index, since in found:
                    known[index] = min(since, known.get(index, since))
            self._read[tenant] = size
            return dict(known)


def _revoked(reader: Reader, revocation: Entry) -> Iterator[tuple[int, str]]:
    """Every certification of the scope that the person was given before."""
    assert revocation.about is not None
    before = revocation.index
    while page := reader.about(revocation.tenant, revocation.about, ("certification",), before, _CHUNK):
        for entry in page:
            if entry.payload is not None and entry.value["scope"] == revocation.value["scope"]:
                yield entry.index, revocation.at
        before = page[-1].index


def _lowered(reader: Reader, regrade: Entry) -> Iterator[tuple[int, str]]:
    """The result that counts until a day, the course that was complete with it, and what was earned with them."""
    value = regrade.value
    if value["event"] != "lowered":
        return
    certifications = value["certifications"]
    assert isinstance(certifications, list)
    for identifier in (value["result"], value.get("course"), *certifications):
        entry = reader.entry(regrade.tenant, identifier) if isinstance(identifier, str) else None
        if entry is not None:
            yield entry.index, str(value["until"])
