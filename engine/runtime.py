"""The running whole: home, ledger, active revisions and their OPA; everything else is handed this one object.

Owns start, stop and activation. Refuses to start on anything that is not in order, with one sentence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.access.caller import Caller
from engine.bundling.build import check_archive
from engine.bundling.catalogue import Catalogue
from engine.bundling.store import BundleStore, StoredBundle
from engine.errors import Conflict, NotFound, SetupError, Unavailable
from engine.home import Home, HomeLock
from engine.opa import binary
from engine.opa.errors import CouldNotDecide, OpaError
from engine.opa.evaluator import Evaluator
from engine.publishing.outside import Outside
from engine.settings import Settings
from ledger import errors as ledger_errors
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Person, Receipt
from ledger.sqlite import SqliteLedger
from ledger.store import Reader

DEFAULT_TENANT = "default"
EVALUATION_SECONDS = 1.0
_DRAIN_SECONDS = 2 * EVALUATION_SECONDS
"""How long an OPA of a revision that is no longer active is kept for what is under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """One revision, loaded: the rules, what they are about, and the OPA that evaluates them."""

    revision: str
    capabilities: str
    catalogue: Catalogue
    evaluator: Evaluator


@dataclass(slots=True, kw_only=True)
class Runtime:
    """One home, open for writing. Use as an async context manager."""

    settings: Settings
    home: Home
    opa: binary.OpaBinary
    making: bool = False
    lock: HomeLock = field(init=False)
    ledger: SqliteLedger = field(init=False)
    reader: Reader = field(init=False)
    bundles: BundleStore = field(init=False)
    _active: dict[str, Active] = field(init=False, default_factory=dict)
    _started: list[Evaluator] = field(init=False, default_factory=list)
    _retiring: set[asyncio.Task[None]] = field(init=False, default_factory=set)

    async def __aenter__(self) -> Runtime:
        if not self.making:
            self.home.check()
        self.lock = HomeLock(self.home)
        try:
            self.bundles = BundleStore(self.home.bundles)
            self.bundles.put_opa(self.opa)  # a replay needs the very binary that decided, also after an upgrade
            self.ledger = SqliteLedger(self.home.database)
            self.reader = self.ledger.reader()
            self.outside.check(self.reader)
            for tenant in self.reader.tenants():
                revision = self.reader.head(tenant).active_revision
                if revision is not None:
                    self._active[tenant] = await self._load(revision)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        for evaluator in self._started:
            await evaluator.stop()
        if hasattr(self, "reader"):
            self.reader.close()  # the last connection that closes takes the log of writes with it: one file is left
        if hasattr(self, "ledger"):
            self.ledger.close()
        self.lock.release()

    @property
    def outside(self) -> Outside:
        """Where the newest checkpoints stand beside the database."""
        return Outside(self.settings.log.outside or self.home.checkpoints)

    def active(self, tenant: str) -> Active:
        """The revision that decides for a tenant now."""
        try:
            return self._active[tenant]
        except KeyError:
            raise Unavailable(f"tenant {tenant} has no active revision: run `muster policy activate`") from None

    def tenants(self) -> tuple[str, ...]:
        """The tenants that have an active revision."""
        return tuple(sorted(self._active))

    def not_ready(self) -> str | None:
        """Why this service cannot decide now, or None."""
        if not self._active:
            return "no revision is active: run `muster policy activate`"
        for tenant, active in self._active.items():
            if not active.evaluator.ready:
                return f"OPA for revision {active.revision[:12]} is not answering"
            try:
                self.ledger.now(tenant)
            except ledger_errors.LedgerError as exc:
                return str(exc)
        return None

    def now(self, tenant: str) -> str:
        """The instant of an evaluation: never behind the newest entry."""
        try:
            return self.ledger.now(tenant)
        except ledger_errors.NotReady as exc:
            raise Unavailable(str(exc)) from exc

    async def append(self, append: Append) -> tuple[Receipt, ...]:
        """Append and wait until it is durable; `Stale` and `IdempotencyConflict` are for the caller to act on."""
        try:
            return await asyncio.wrap_future(self.ledger.submit(append))
        except (ledger_errors.Stale, ledger_errors.IdempotencyConflict):
            raise
        except ledger_errors.Conflict as exc:
            raise Conflict(str(exc)) from exc
        except ledger_errors.LedgerError as exc:
            raise Unavailable(f"not recorded, so not answered: {exc}") from exc

    def ref(self, tenant: str, person: Person | None) -> str | None:
        """A person's pseudonym, None where they are not in the directory."""
        return self.reader.person(tenant, person) if person else None

    async def activate(
        self, tenant: str, revision: str, caller: Caller, reason: str, idempotency: Mapping[str, JSON] | None = None
    ) -> Receipt:
        """Make a stored revision the one that decides: load, check, canary, then the entry, then the swap.

        A revision that fails any check before its entry changes nothing. `idempotency` is for the entry's payload.
        """
        active = next((a for a in self._active.values() if a.revision == revision), None) or await self._load(revision)
        payload = {**self._activation(active, tenant, caller, reason), **(idempotency or {})}
        draft = Draft(id=uuid7(), kind="activation", payload=payload)
        try:
            (receipt,) = await self.append(Append(tenant=tenant, drafts=(draft,)))
        except BaseException:
            await self._retire_unused(active)
            raise
        before = self._active.get(tenant)
        self._active[tenant] = active
        if before is not None and before.revision != revision:
            task = asyncio.create_task(self._retire_later(before))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        return receipt

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
        if all(a.revision != active.revision for a in self._active.values()):
            await active.evaluator.stop()
            self._started.remove(active.evaluator)

    async def _load(self, revision: str) -> Active:
        stored = self.stored(revision)
        findings = check_archive(stored.path.read_bytes(), stored.capabilities_text, self.opa)
        if findings:
            raise SetupError(f"revision {revision} may not decide: " + "; ".join(str(f) for f in findings))
        evaluator = Evaluator(
            self.opa,
            stored.path,
            revision,
            verification_key=self.home.bundle_public_key,
            runtime_dir=self.lock.runtime,
            evaluation_seconds=EVALUATION_SECONDS,
        )
        self._started.append(evaluator)
        try:
            await evaluator.start()
        except (CouldNotDecide, OpaError) as exc:
            await evaluator.stop()
            raise SetupError(f"revision {revision}: OPA does not serve it: {exc}") from exc
        return Active(
            revision=revision,
            capabilities=stored.capabilities,
            catalogue=Catalogue(stored.data),
            evaluator=evaluator,
        )

    def stored(self, revision: str) -> StoredBundle:
        """A bundle from the store, its content checked against its name."""
        try:
            return self.bundles.get(revision)
        except FileNotFoundError as exc:
            raise NotFound(f"revision {revision} is not in the store {self.home.bundles}") from exc
