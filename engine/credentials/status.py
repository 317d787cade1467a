"""Which certifications were revoked, as a W3C Bitstring Status List: one bit for each ledger index.

A revocation takes every certification of its scope that the person was given before it. A list has 131,072 bits, the
least that the recommendation allows, so that nobody learns whose badge is asked about; an entry's bit is its index.
"""

from __future__ import annotations

import base64
import gzip
import threading
from dataclasses import dataclass, field

from ledger.store import Reader

LIST_SIZE = 131_072
_CHUNK = 1000


@dataclass(slots=True)
class Revocations:
    """What was revoked, read from the log once and kept up with its growth."""

    _revoked: dict[str, set[int]] = field(default_factory=dict)
    _read: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def revoked(self, reader: Reader, tenant: str, index: int) -> bool:
        """Whether the certification at an index was revoked."""
        return index in self._all(reader, tenant)

    def encoded(self, reader: Reader, tenant: str, number: int) -> str:
        """List `number`: GZIP, then multibase base64url (`u`). Bit 0 is the highest bit of the first byte."""
        bits = bytearray(LIST_SIZE // 8)
        first = number * LIST_SIZE
        for index in self._all(reader, tenant):
            if first <= index < first + LIST_SIZE:
                bits[(index - first) // 8] |= 0x80 >> (index - first) % 8
        packed = gzip.compress(bytes(bits), mtime=0)
        return "u" + base64.urlsafe_b64encode(packed).rstrip(b"=").decode()

    def _all(self, reader: Reader, tenant: str) -> frozenset[int]:
        with self._lock:
            size = reader.head(tenant).size
            known = self._revoked.setdefault(tenant, set())
            for revocation in reader.of_kind(tenant, ("revocation",), self._read.get(tenant, 0), size):
                if revocation.about is None or revocation.payload is None:
                    continue
                before = revocation.index
                while page := reader.about(tenant, revocation.about, ("certification",), before, _CHUNK):
                    for entry in page:
                        if entry.payload is not None and entry.value["scope"] == revocation.value["scope"]:
                            known.add(entry.index)
                    before = page[-1].index
            self._read[tenant] = size
            return frozenset(known)
