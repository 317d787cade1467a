"""The running whole: home, ledger, active revisions and their OPA; everything else is handed this one object.

Owns start, stop and activation, and follows what another worker activates. Refuses to start on anything that is not in
order, with one sentence. With one worker the ledger is a thread in here; with several each has one of these, and the
ledger is a process of its own (`engine.serving`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from engine.access.caller import Caller
from engine.bundling.catalogue import Catalogue
from engine.bundling.checked import Checked
from engine.bundling.errors import Finding
from engine.bundling.store import BundleStore, StoredBundle
from engine.errors import Conflict, MusterError, NotFound, SetupError, Unavailable
from engine.home import Home, HomeLock, Shared
from engine.opa import binary
from engine.opa.errors import CouldNotDecide, OpaError
from engine.opa.evaluator import Evaluator
from engine.publishing.outside import Outside
from engine.settings import DEFAULT_TENANT as DEFAULT_TENANT
from engine.settings import Settings
from ledger import errors as ledger_errors
from ledger.ids import uuid7
from ledger.model import JSON, Append, Changed, Draft, Person, Receipt
from ledger.overdue import Overdue
from ledger.remote import RemoteLedger
from ledger.sqlite import SqliteLedger
from ledger.sqlite.owning import free
from ledger.sqlite.writer import FREE_FLOOR
from ledger.store import Ledger, Reader

EVALUATION_SECONDS = 1.0
_DRAIN_SECONDS = 2 * EVALUATION_SECONDS
"""How long an OPA of a revision that is no longer active is kept for what is under way."""
_FOLLOW_SECONDS = 10.0
_AGAIN_SECONDS = 0.5
_APPEND_SECONDS = 10.0
"""A disk that hangs must not hang whoever asks."""

_log = logging.getLogger(__name__)


def _silent() -> Exception:
    what = f"the ledger did not answer within {_APPEND_SECONDS:g} s"
    return Unavailable(f"{what}, so it is not known whether it was recorded")


def _refuse(revision: str, findings: list[Finding]) -> None:
    if findings:
        raise SetupError(f"revision {revision} may not decide: " + "; ".join(str(f) for f in findings))


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """One revision, loaded: the rules, what they are about, and the OPA that evaluates them."""

    revision: str
    capabilities: str
    catalogue: Catalogue
    evaluator: Evaluator


@dataclass(slots=True, kw_only=True)
class Runtime:
    """One home, open for writing. Use as an async context manager.

    Takes the home's lock, and its ledger into this process; `held`, where the lock is the caller's already and stays
    so. Or, where it is a worker's, it is `shared`: lock and ledger are another process's.
    """

    settings: Settings
    home: Home
    opa: binary.OpaBinary
    making: bool = False
    held: HomeLock | None = None
    shared: Shared | None = None
    folder: Path = field(init=False)
    """Private to this process, on a short path: sockets lie there."""
    ledger: Ledger = field(init=False)
    reader: Reader = field(init=False)
    bundles: BundleStore = field(init=False)
    _lock: HomeLock | None = field(init=False, default=None)
    _active: dict[str, Active] = field(init=False, default_factory=dict)
    _wanted: dict[str, str] = field(init=False, default_factory=dict)
    """The revision that the ledger has as active, by tenant, as far as it is known here."""
    _loaded: dict[str, Active] = field(init=False, default_factory=dict)
    _loading: dict[str, asyncio.Task[Active]] = field(init=False, default_factory=dict)
    _activating: list[str] = field(init=False, default_factory=list)
    _following: dict[str, asyncio.Task[None]] = field(init=False, default_factory=dict)
    _retiring: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _appends: Overdue = field(init=False, default_factory=lambda: Overdue(_APPEND_SECONDS, _silent))
    _loop: asyncio.AbstractEventLoop = field(init=False)

    async def __aenter__(self) -> Runtime:
        if not self.making:
            self.home.check()
        self._loop = asyncio.get_running_loop()
        if self.shared is None:
            self._lock = self.held or HomeLock(self.home)
            self.folder = self._lock.runtime
        else:
            self.folder = self.shared.runtime
        try:
            self.bundles = BundleStore(self.home.bundles)
            self.bundles.put_opa(self.opa)  # a replay needs the very binary that decided, also after an upgrade
            self.ledger = await self._open()
            self.reader = self.ledger.reader()
            self.outside.check(self.reader)
            self.watch(self._changed, self._look)
            for tenant in self.reader.tenants():
                await self._begin(tenant)
        except BaseException:
            await self._close()
            raise
        return self

    async def _open(self) -> Ledger:
        if self.shared is None:
            return SqliteLedger(self.home.database)
        return await RemoteLedger.connect(self.home.database, self.shared.socket)

    async def _begin(self, tenant: str) -> None:
        """Load what is active at the start; whatever is activated meanwhile is loaded, too."""
        while True:
            revision = self.reader.head(tenant).active_revision
            if revision is None:
                return
            self._wanted[tenant] = revision
            active = await self._load(revision)
            if self._wanted[tenant] == revision:
                self._active[tenant] = active
                return

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        async with AsyncExitStack() as closing:  # from the last to the first, and what fails keeps no other open
            if self._lock is not None and self.held is None:
                closing.callback(self._lock.release)
            if hasattr(self, "ledger"):
                if isinstance(self.ledger, RemoteLedger):
                    closing.push_async_callback(self.ledger.aclose)
                else:
                    closing.callback(self.ledger.close)
            if hasattr(self, "reader"):
                # The last connection that closes takes the log of writes with it: one file is left.
                closing.callback(self.reader.close)
            tasks = [*self._retiring, *self._following.values(), *self._loading.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for active in self._loaded.values():
                closing.push_async_callback(active.evaluator.stop)

    @property
    def outside(self) -> Outside:
        """Where the newest checkpoints stand beside the database."""
        return Outside(self.settings.log.outside or self.home.checkpoints)

    def watch(self, changed: Callable[[Changed], None], missed: Callable[[], None]) -> None:
        """Have every commit told that moves an object or a revision, before any of its appends is answered.

        `changed` may be called in another thread. `missed` is called in this process's loop where commits may have gone
        by untold: whoever remembers anything must forget all of it.
        """
        self.ledger.watch(changed)
        if isinstance(self.ledger, RemoteLedger):
            self.ledger.gap(missed)

    def active(self, tenant: str) -> Active:
        """The revision that decides for a tenant now."""
        try:
            return self._active[tenant]
        except KeyError:
            if tenant in self._wanted:
                raise Unavailable(f"the revision of tenant {tenant} is being loaded: send it again") from None
            raise Unavailable(f"tenant {tenant} has no active revision: run `muster policy activate`") from None

    def tenants(self) -> tuple[str, ...]:
        """The tenants that have an active revision."""
        return tuple(sorted(self._active.keys() | self._wanted.keys()))

    def has(self, tenant: str) -> bool:
        """Whether a tenant has an active revision."""
        return tenant in self._wanted or tenant in self._active

    def not_ready(self) -> str | None:
        """Why this service cannot decide now, or not record it, or None."""
        if not self._wanted:
            return "no revision is active: run `muster policy activate`"
        if isinstance(self.ledger, RemoteLedger) and self.ledger.away:
            return "the ledger's process does not answer"
        for tenant, revision in self._wanted.items():
            if self.behind(tenant):
                return f"revision {revision[:12]} was activated and is being loaded"
            active = self._active[tenant]
            if not active.evaluator.ready:
                return f"OPA for revision {active.revision[:12]} is not answering"
            try:
                self.ledger.now(tenant)
            except ledger_errors.LedgerError as exc:
                return str(exc)
        if free(self.home.database) < FREE_FLOOR:
            return "the disk is nearly full, so nothing can be recorded: make space"
        return None

    @property
    def opa_restarts(self) -> int:
        """How often an OPA that is loaded now was started again."""
        return sum(active.evaluator.restarts for active in self._loaded.values())

    def behind(self, tenant: str) -> bool:
        """Whether another revision than the one that decides here is known to be active."""
        active = self._active.get(tenant)
        return (None if active is None else active.revision) != self._wanted.get(tenant)

    async def caught_up(self, tenant: str) -> None:
        """Return once this process serves the ledger's active revision of a tenant; raises Unavailable."""
        until = self._loop.time() + _FOLLOW_SECONDS
        while True:
            self._look_at(tenant)
            if not self.behind(tenant):
                return
            left = until - self._loop.time()
            if left <= 0:
                raise Unavailable(f"the revision of tenant {tenant} is not loaded yet: send it again")
            await asyncio.wait({self._following[tenant]}, timeout=left)

    def _changed(self, changed: Changed) -> None:
        """A commit was made, by whichever worker."""
        if changed.revision is not None:
            self._loop.call_soon_threadsafe(self._look_at, changed.tenant)

    def _look(self) -> None:
        for tenant in self.reader.tenants():
            self._look_at(tenant)

    def _look_at(self, tenant: str) -> None:
        """Serve what the ledger has as active: at once where it is loaded, else as soon as it is."""
        revision = self.reader.head(tenant).active_revision
        if revision is None:
            return
        self._wanted[tenant] = revision
        loaded = self._loaded.get(revision)
        if loaded is not None:
            self._swap(tenant, loaded)
        elif tenant not in self._following or self._following[tenant].done():
            self._following[tenant] = asyncio.create_task(self._follow(tenant))

    async def _follow(self, tenant: str) -> None:
        """Load what is wanted, until it is served."""
        while self.behind(tenant):
            revision = self._wanted[tenant]
            try:
                loaded = await self._load(revision)
            except (MusterError, OSError) as exc:
                _log.error("revision %s was activated and cannot be loaded here: %s", revision[:12], exc)
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            if self._wanted[tenant] == revision:
                self._swap(tenant, loaded)
            else:
                await self._retire_unused(loaded)

    def now(self, tenant: str) -> str:
        """The instant of an evaluation: never behind the newest entry."""
        try:
            return self.ledger.now(tenant)
        except ledger_errors.NotReady as exc:
            raise Unavailable(str(exc)) from exc

    async def append(self, append: Append) -> tuple[Receipt, ...]:
        """Append and wait until it is durable; `Stale` and `IdempotencyConflict` are for the caller to act on."""
        appended = self.ledger.append(append)
        self._appends.add(appended)
        try:
            return await appended
        except (ledger_errors.Stale, ledger_errors.IdempotencyConflict):
            raise
        except ledger_errors.Conflict as exc:
            raise Conflict(str(exc)) from exc
        except ledger_errors.LedgerError as exc:
            raise Unavailable(f"not recorded, so not answered: {exc}") from exc
        finally:
            self._appends.discard(appended)

    def ref(self, tenant: str, person: Person | None) -> str | None:
        """A person's pseudonym, None where they are not in the directory."""
        return self.reader.person(tenant, person) if person else None

    async def activate(
        self, tenant: str, revision: str, caller: Caller, reason: str, idempotency: Mapping[str, JSON] | None = None
    ) -> Receipt:
        """Make a stored revision the one that decides: load, check, canary, then the entry, then the swap.

        A revision that fails any check before its entry changes nothing. `idempotency` is for the entry's payload.
        """
        active = await self._load(revision, anew=True)
        self._activating.append(revision)
        payload = {**self._activation(active, tenant, caller, reason), **(idempotency or {})}
        draft = Draft(id=uuid7(), kind="activation", payload=payload)
        try:
            (receipt,) = await self.append(Append(tenant=tenant, drafts=(draft,)))
            self._look_at(tenant)
        finally:
            self._activating.remove(revision)
            await self._retire_unused(active)
        return receipt

    def _swap(self, tenant: str, active: Active) -> None:
        before = self._active.get(tenant)
        self._active[tenant] = active
        if before is not None and before.revision != active.revision:
            task = asyncio.create_task(self._retire_later(before))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def _activation(self, active: Active, tenant: str, caller: Caller, reason: str) -> Mapping[str, JSON]:
        return {
            "revision": active.revision,
            "opa": {"version": self.opa.version, "sha256": self.opa.sha256},
            "capabilities": active.capabilities,
            "source": {"name": active.catalogue.name, "version": active.catalogue.version},
            "reason": reason,
            "by": caller.named(self.ref(tenant, caller.principal.person)),
        }

    async def _retire_later(self, active: Active) -> None:
        await asyncio.sleep(_DRAIN_SECONDS)  # what is under way on the old revision ends by its own deadline
        await self._retire_unused(active)

    async def _retire_unused(self, active: Active) -> None:
        serving = {a.revision for a in self._active.values()} | {*self._wanted.values(), *self._activating}
        if active.revision not in serving and self._loaded.pop(active.revision, None) is not None:
            await active.evaluator.stop()

    async def _load(self, revision: str, *, anew: bool = False) -> Active:
        """Have a revision loaded, once however many ask for it; raises SetupError, NotFound.

        `anew`: it is checked whatever was found before; who only loads what was activated believes the note of that.
        """
        if revision in self._loaded:
            return self._loaded[revision]
        if revision not in self._loading or self._loading[revision].done():
            self._loading[revision] = asyncio.create_task(self._start(revision, anew=anew))
        return await asyncio.shield(self._loading[revision])

    async def _start(self, revision: str, *, anew: bool) -> Active:
        stored = self.stored(revision)
        checked = Checked(self.home.checked, lambda: self.home.derived_key("checked-revision"))
        # Beside each other: the check asks an OPA of its own, and nobody asks this one before both are done.
        checking = asyncio.create_task(asyncio.to_thread(checked.findings, stored, self.opa, anew=anew))
        evaluator = Evaluator(
            self.opa,
            stored.path,
            revision,
            verification_key=self.home.bundle_public_key,
            runtime_dir=self.folder,
            evaluation_seconds=EVALUATION_SECONDS,
        )
        try:
            await evaluator.start()
            _refuse(revision, await checking)
        except BaseException as exc:
            await evaluator.stop()
            await asyncio.gather(checking, return_exceptions=True)
            if isinstance(exc, CouldNotDecide | OpaError):
                raise SetupError(f"revision {revision}: OPA does not serve it: {exc}") from exc
            raise
        active = self._loaded[revision] = Active(
            revision=revision,
            capabilities=stored.capabilities,
            catalogue=Catalogue(stored.data),
            evaluator=evaluator,
        )
        return active

    def stored(self, revision: str) -> StoredBundle:
        """A bundle from the store, its content checked against its name."""
        try:
            return self.bundles.get(revision)
        except FileNotFoundError as exc:
            raise NotFound(f"revision {revision} is not in the store {self.home.bundles}") from exc
