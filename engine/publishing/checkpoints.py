"""Makes checkpoints: after so many entries or seconds, and on demand; only over what is committed, never backwards.

Each is kept in the database for ever, and the newest one in a file beside it (`outside.py`). The key that signs is
named by the log itself; a start with another key is refused until the old one has handed over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field

from engine.access.caller import Caller, itself
from engine.entries.writer import Once, Writer
from engine.errors import Conflict, MusterError, NotFound, SetupError, Unavailable
from engine.publishing import keys
from engine.publishing.outside import root_at, subtrees
from engine.runtime import Runtime
from ledger import note
from ledger.errors import LedgerError
from ledger.ids import uuid7
from ledger.merkle import consistency_proof, inclusion_proof
from ledger.model import JSON, Append, Draft, Entry, Published, StoredCheckpoint
from ledger.note import FileSigner, Signer
from ledger.verifier.note import Checkpoint, Key, parse, parse_checkpoint

_POLL_SECONDS = 0.5
_LOOK_SECONDS = 1.0
"""How long a checkpoint that another worker made may go unnoticed."""
_OBJECT = "log/key"
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Checkpoints:
    """A home's checkpoints, all tenants'."""

    writer: Writer
    signer: Signer = field(init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _grown: dict[str, float] = field(default_factory=dict)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        """Load the key; refuse one that the log does not name; raises SetupError."""
        tenants = self.runtime.tenants()
        for tenant in tenants:
            keys.finish_hand_over(self.runtime.home, self.key(tenant))
        self.signer = keys.load_signer(self.runtime.settings, self.runtime.home)
        for tenant in tenants:
            named = self.key(tenant)
            if named is not None and named.public != self.signer.public:
                raise SetupError(
                    f"the log's key is not the one that the log of {tenant} names ({named.vkey()}): put that one back, "
                    "and hand over with `muster ledger rotate-key`"
                )

    @property
    def runtime(self) -> Runtime:
        return self.writer.runtime

    def key(self, tenant: str) -> Key | None:
        """The key that the log names now; None before its first checkpoint."""
        _, state = self.runtime.reader.objects(tenant, [_OBJECT])[_OBJECT]
        return keys.key_of(str(state["vkey"])) if isinstance(state, dict) else None

    def newest(self, tenant: str) -> StoredCheckpoint:
        """The newest checkpoint; raises NotFound where none was made yet."""
        found = self.runtime.reader.checkpoint(tenant)
        if found is None:
            raise NotFound(f"the log of {tenant} has no checkpoint yet: make one with `muster ledger checkpoint`")
        return found

    async def make(self, tenant: str, *more: Signer) -> StoredCheckpoint:
        """A checkpoint over all that is committed: the newest one where nothing was appended since. Raises Unavailable.

        `more` sign besides: at a hand-over both keys do.
        """
        async with self._lock:
            return await self._make(tenant, *more)

    async def _make(self, tenant: str, *more: Signer) -> StoredCheckpoint:
        """The same, for whoever holds the lock."""
        key = await self._named_key(tenant)
        head, newest = self.runtime.reader.head(tenant), self.runtime.reader.checkpoint(tenant)
        self._hold(key)
        if self.key(tenant) != key:  # then nobody knows whether the head is from before or after
            raise Unavailable("the log's key hands over just now: send it again")
        if newest is not None and newest.size == head.size:
            return newest
        self._whole(tenant, newest, head.size, head.root)
        text = note.checkpoint_text(key.name, head.size, head.root)
        published = Published(
            tenant=tenant,
            size=head.size,
            root=head.root,
            at=self.runtime.now(tenant),
            note=note.signed(text, key.name, self.signer, *more),
        )
        try:
            await asyncio.wrap_future(self.runtime.ledger.keep(published))
        except LedgerError as exc:
            found = self.runtime.reader.checkpoint(tenant)
            if found is not None and found.size >= head.size:  # another worker was sooner
                return found
            raise Unavailable(f"the checkpoint could not be kept, so it does not count: {exc}") from exc
        try:
            self.runtime.outside.write(tenant, published.note)
        finally:  # it is kept: those who wait for it see it, whatever the other disk does
            async with self._changed:
                self._changed.notify_all()
        return self.newest(tenant)

    def signed(self, tenant: str, text: str) -> str:
        """A note of a text that is no checkpoint, by the key that the log names; raises NotFound, Unavailable."""
        key = self.key(tenant)
        if key is None:
            raise NotFound(f"the log of {tenant} names no key yet: make a checkpoint first")
        self._hold(key)
        return note.signed(text, key.name, self.signer)

    def _hold(self, key: Key) -> None:
        """Sign with the key that the log names; another worker may have handed over to it. Raises Unavailable."""
        if key.public != self.signer.public:
            self.signer = keys.load_signer(self.runtime.settings, self.runtime.home)
        if key.public != self.signer.public:
            raise Unavailable("the log's key hands over just now: send it again")

    async def covering(self, tenant: str, size: int) -> StoredCheckpoint:
        """The newest checkpoint, which has at least `size` entries; made now if need be."""
        newest = self.runtime.reader.checkpoint(tenant)
        return newest if newest is not None and newest.size >= size else await self.make(tenant)

    async def beyond(self, tenant: str, size: int) -> StoredCheckpoint:
        """Wait until there is a checkpoint of more than `size` entries; the newest one."""

        def newest() -> StoredCheckpoint | None:
            found = self.runtime.reader.checkpoint(tenant)
            return found if found is not None and found.size > size else None

        async with self._changed:
            while (found := newest()) is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._changed.wait()
            return found

    async def prove(self, tenant: str, entry_id: str) -> tuple[Entry, list[bytes], StoredCheckpoint]:
        """An entry, the hashes that lead from it to a checkpoint's root, and that checkpoint; raises NotFound."""
        entry = self.runtime.reader.entry(tenant, entry_id)
        if entry is None:
            raise NotFound(f"there is no entry {entry_id}")
        checkpoint = await self.covering(tenant, entry.index + 1)
        tree = subtrees(self.runtime.reader, tenant)
        return entry, inclusion_proof(tree, entry.index, checkpoint.size), checkpoint

    def consistency(self, tenant: str, old: int, new: int) -> list[bytes]:
        """The hashes that show a log of `old` entries to begin one of `new`."""
        return consistency_proof(subtrees(self.runtime.reader, tenant), old, new)

    async def rotate(self, caller: Caller, reason: str, once: Once, signer: FileSigner | None) -> Entry:
        """Hand over to another key: a new one of the home's own, or the one that will be configured from now on.

        The old key signs the hand-over, which is an entry, and the first checkpoint over it beside the new one.
        """
        async with self._lock:  # a checkpoint in between would be signed by the key that the log no longer names
            earlier = self.writer.before(once)
            if earlier is not None:
                return earlier
            tenants = self.runtime.tenants()
            if self.runtime.settings.log.key or self.runtime.settings.log.key_file:
                if signer is None:
                    raise Conflict("the log's key is configured, not the home's own: give the new one (--new-key FILE)")
            elif signer is not None:
                raise Conflict("the log's key is the home's own: a new one is made here, none is given")
            old, new = self.signer, signer or keys.new_key(self.runtime.home)
            for tenant in tenants:
                await self._make(tenant)
            entries = {}
            for tenant in tenants:
                before = self.key(tenant)
                assert before is not None, "a log with a checkpoint has its key"
                by = self.writer.by(caller)
                entries[tenant] = await self._record_key(tenant, before.name, new, by, reason, "rotated", old, once)
            self.signer = new
            if signer is None:
                keys.take_new_key(self.runtime.home)
            for tenant in tenants:
                await self._make(tenant, old)
            return entries[caller.tenant]

    async def run(self) -> None:
        """Make checkpoints as configured, for ever; what fails is logged and tried again."""
        while True:
            for tenant in self.runtime.tenants():
                try:
                    if self._due(tenant):
                        await self.make(tenant)
                except (MusterError, LedgerError, OSError) as exc:
                    _log.error("no checkpoint of %s was made, it will be tried again: %s", tenant, exc)
            await asyncio.sleep(_POLL_SECONDS)

    def _due(self, tenant: str) -> bool:
        newest = self.runtime.reader.checkpoint(tenant)
        grown = self.runtime.reader.head(tenant).size - (newest.size if newest else 0)
        if grown == 0:
            self._grown.pop(tenant, None)
            return False
        since = self._grown.setdefault(tenant, time.monotonic())
        log = self.runtime.settings.log
        due = newest is None or grown >= log.entries or time.monotonic() - since >= log.seconds
        if due:
            self._grown.pop(tenant, None)
        return due

    def _whole(self, tenant: str, newest: StoredCheckpoint | None, size: int, root: bytes) -> None:
        """Nothing is signed that contradicts what was signed before, or whose root is not that of its leaves."""
        before = self.read(newest) if newest is not None else Checkpoint("", 0, root_at(self.runtime.reader, tenant, 0))
        for what, until, expected in (("the newest checkpoint", before.size, before.root), ("its head", size, root)):
            if until > size or root_at(self.runtime.reader, tenant, until) != expected:
                raise Unavailable(f"the log of {tenant} is not what {what} says: run `muster ledger verify`")

    @staticmethod
    def read(stored: StoredCheckpoint) -> Checkpoint:
        """What a stored checkpoint says."""
        return parse_checkpoint(parse(stored.note.encode()).text)

    async def _named_key(self, tenant: str) -> Key:
        """The key that signs, after the log has named it; raises Unavailable if the log names another."""
        held = self.key(tenant)
        name = keys.origin(self.runtime.settings, tenant, held.name if held else None)
        if held is None or held.name != name:
            event, old = ("renamed", self.signer) if held else ("began", None)
            by = itself(tenant).named(None)
            once = Once.of(itself(tenant), None, name)
            reason = "the log's public address" if held else "the log's first checkpoint"
            await self._record_key(tenant, name, self.signer, by, reason, event, old, once)
        key = self.key(tenant)
        assert key is not None, "the entry was just acknowledged"
        return key

    async def _record_key(
        self,
        tenant: str,
        name: str,
        signer: Signer,
        by: dict[str, JSON],
        reason: str,
        event: str,
        old: Signer | None,
        once: Once,
    ) -> Entry:
        version, state = self.runtime.reader.objects(tenant, [_OBJECT])[_OBJECT]
        before = self.key(tenant)
        vkey = keys.vkey_of(name, signer)
        payload: dict[str, JSON] = {
            "event": event,
            "origin": name,
            "vkey": vkey,
            "previous": str(state["vkey"]) if isinstance(state, dict) else None,
            "signature": keys.introduced(before, vkey, old) if before is not None and old is not None else None,
            "reason": reason,
            "by": by,
        }
        draft = Draft(id=uuid7(), kind="log.key", payload=once.marked(payload))
        await self.runtime.append(Append(tenant=tenant, drafts=(draft,), reads=((_OBJECT, version),)))
        entry = self.runtime.reader.entry(tenant, draft.id)
        assert entry is not None, "an entry that was acknowledged is there"
        return entry
