"""Which revisions have passed the check before they decide, so that a start need not run it over the same again.

A note is a MAC, under a key of the home, over everything that the check's outcome depends on: archive, allowlist, OPA,
and the text of the checks themselves, so that none outlives an upgrade. Whatever is odd about a note, the check is run;
one that cannot be written stops nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.bundling import archive, capabilities, rules
from engine.bundling.errors import Finding
from engine.bundling.store import StoredBundle
from engine.home import write_private
from engine.opa.binary import OpaBinary


@dataclass(frozen=True, slots=True)
class Checked:
    """The notes in a folder; `key` gives the secret that they are made with."""

    folder: Path
    key: Callable[[], bytes]

    def findings(self, stored: StoredBundle, opa: OpaBinary, *, anew: bool) -> list[Finding]:
        """What is wrong with a revision from the store; checked again where it has no note, or `anew`."""
        data, note = stored.path.read_bytes(), self.folder / stored.revision
        mark = self._mark(data, stored.capabilities_text, opa)
        if not anew and _is(note, mark):
            return []
        found = archive.check_archive(data, stored.capabilities_text, opa)
        if not found:
            with suppress(OSError):  # a full disk, say: without the note the next start checks again, and that is all
                self.folder.mkdir(mode=0o700, exist_ok=True)
                write_private(note, mark)
        return found

    def _mark(self, data: bytes, allowlist: str, opa: OpaBinary) -> str:
        texts = [Path(str(module.__file__)).read_bytes() for module in (archive, capabilities, rules)]
        parts = [data, allowlist.encode(), opa.sha256.encode(), *texts]
        message = b"".join(hashlib.sha256(part).digest() for part in parts)
        return hmac.new(self.key(), message, "sha256").hexdigest()


def _is(note: Path, mark: str) -> bool:
    try:
        return hmac.compare_digest(note.read_bytes(), mark.encode())
    except OSError:
        return False
