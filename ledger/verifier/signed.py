"""Which key signs a log, and since when: told by the log itself, each key introduced by the one before.

The first key is as trustworthy as where it came from: a log that was made up whole has a key of its own. So who checks
brings the key, or an older checkpoint, or witnesses.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from . import note
from .errors import Invalid
from .note import Key


class Keys:
    """The keys of a log by the entries that name them."""

    def __init__(self) -> None:
        self._held: list[tuple[int, Key]] = []

    def take(self, index: int, payload: dict[str, Any]) -> Iterator[str]:
        """The next `log.key` entry; answers what is wrong with it."""
        try:
            key = note.parse_key(str(payload.get("vkey")))
        except Invalid as exc:
            yield f"the key that the entry names is not one: {exc}"
            return
        before = self._held[-1][1] if self._held else None
        if key.name != payload.get("origin") or key.kind != note.ED25519:
            yield "the key is not one of a log of this origin"
        if payload.get("previous") != (before.vkey() if before else None):
            yield "the entry names another key before it than the log does"
        if before is not None and not _introduced(before, key, payload.get("signature")):
            yield "the key before it has not signed the hand-over"
        self._held.append((index, key))

    def at(self, size: int) -> tuple[Key, ...]:
        """The keys that a checkpoint of this size may carry, the one that it must carry first."""
        held = [key for index, key in self._held if index < size]
        return tuple(reversed(held[-2:]))

    @property
    def newest(self) -> Key | None:
        """The key that signs now."""
        return self._held[-1][1] if self._held else None

    def known(self) -> tuple[Key, ...]:
        """Every key that the log has named."""
        return tuple(key for _, key in self._held)


def _introduced(before: Key, after: Key, signature: object) -> bool:
    try:
        body = base64.b64decode(str(signature), validate=True)
        before.verify(f"muster/log-key/v1\n{before.vkey()}\n{after.vkey()}\n", note.Signature(before.name, b"", body))
    except (binascii.Error, ValueError, Invalid):
        return False
    return True
