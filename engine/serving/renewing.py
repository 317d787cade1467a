"""The certificate in use, and the look for another: what its files hold anew is used from the next handshake on.

Whoever was started by a person looks at the files every few seconds, by content, and at once on SIGHUP. A new pair that
is broken is told once, and the one before it stays; connections that are there live on. Of a service of several
processes only the parent reads files: its workers have what it has in use, whatever lies there when they begin.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Final, TypeAlias

from engine.errors import SetupError
from engine.serving.certificates import Files, Offer, Pair, checked, offer
from engine.settings import Tls

LOOK_SECONDS: Final = 3.0
_DIGEST: Final = 32
_Found: TypeAlias = tuple[str, tuple[Pair, Offer] | SetupError | None]
"""The mark of what is there, and what comes of it: None where that was seen before."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Certificates:
    """See the module. `offer` is what a handshake that begins now is made with."""

    tls: Tls
    pair: Pair
    offer: Offer
    changed: Callable[[], None] = lambda: None
    """Called when another pair is in use."""
    _taken: int = -1
    """What the parent shares with us, where there is one."""
    _shared: int = -1
    """What we share with our workers, where there are any."""
    _seen: str = field(init=False)
    _asked: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._seen = self.pair.mark

    @classmethod
    def load(cls, tls: Tls) -> Certificates:
        """Read the files; raises SetupError. Whoever serves begins here."""
        pair = checked(Files.read(tls), tls)
        for note in pair.notes:
            _log.warning("%s", note)
        return cls(tls=tls, pair=pair, offer=offer(pair, tls))

    @classmethod
    def taken_over(cls, tls: Tls, descriptor: int) -> Certificates:
        """What the parent has in use, from its file in memory; raises SetupError."""
        os.set_inheritable(descriptor, False)
        pair = _unpacked(descriptor)
        if pair is None:
            raise SetupError("the certificate was not handed over whole: begin again")
        return cls(tls=tls, pair=pair, offer=offer(pair, tls), _taken=descriptor)

    def handed_over(self) -> int:
        """The descriptor that a process to be takes over; what is in use here is always in it."""
        if self._shared < 0:
            self._shared = os.memfd_create("certificate")
            self._share()
        return self._shared

    def ask(self) -> None:
        """Look now."""
        self._asked.set()

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._asked.wait()
            except TimeoutError:
                asked = False
            else:
                asked = True
            self._asked.clear()
            await self.look(asked=asked)

    async def look(self, *, asked: bool) -> None:
        """Take what is there, where that has changed, or was asked for."""
        look = self._look_at_files if self._taken < 0 else self._look_at_parents
        mark, made = await asyncio.to_thread(look, None if asked else self._seen)
        if made is None:
            return
        self._seen = mark
        if isinstance(made, SetupError):
            _log.warning("%s; the certificate that was read before stays in use", made)
            return
        self.pair, self.offer = made
        if self._taken < 0:
            _log.warning("the certificate in %s is in use now; it ends at %s", self.tls.cert, self.pair.ends_at)
            for note in self.pair.notes:
                _log.warning("%s", note)
        if self._shared >= 0:
            self._share()
        self.changed()

    def _look_at_files(self, seen: str | None) -> _Found:
        try:
            files = Files.read(self.tls)
        except SetupError as exc:
            return str(exc), None if str(exc) == seen else exc
        if files.mark == seen:
            return files.mark, None
        try:
            pair = checked(files, self.tls)
            return files.mark, (pair, offer(pair, self.tls))
        except SetupError as exc:
            return files.mark, exc

    def _look_at_parents(self, seen: str | None) -> _Found:
        pair = _unpacked(self._taken)
        if pair is None or pair.mark == seen:
            return self._seen, None
        return pair.mark, (pair, offer(pair, self.tls))

    def _share(self) -> None:
        text = json.dumps(asdict(self.pair)).encode()
        os.pwrite(self._shared, hashlib.sha256(text).digest() + text, 0)
        os.ftruncate(self._shared, _DIGEST + len(text))


def _unpacked(descriptor: int) -> Pair | None:
    """The pair in a file in memory; None while it is just being written."""
    data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    if hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
        return None
    value = json.loads(data[_DIGEST:])
    return Pair(**{**value, "chain": tuple(value["chain"]), "notes": tuple(value["notes"])})
