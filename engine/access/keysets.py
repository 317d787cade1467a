"""The keys of all pinned issuers, kept fresh in the background; whoever asks is answered from what is there.

One task for each place that keys come from (tenant, issuer, pinned key set), so none waits for another, and no ask
waits for any. A set is fetched again when its issuer says that it may have changed, within bounds; after a failure
sooner, with growing pauses. A key that nobody has heard of wakes the task, at most once in ten seconds: a flood of
made-up names costs one fetch. The last good set is used until it is as old as its issuer's `max_age_hours`; after that,
and before the first, there are no keys (`NoKeys`): that is "could not decide", and never the user's fault.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import SystemRandom
from types import TracebackType
from typing import Final, Self

from engine.access.discovery import Fetched, NoUse, Way
from engine.access.issuers import Issuer
from engine.access.jwks import KeySet
from ledger import instants
from ledger.model import JSON

_log = logging.getLogger(__name__)
_SPREAD: Final = (0.9, 1.0)  # many workers that began together shall not come back together


def boot_seconds() -> float:
    """The clock that nobody can set, and that a suspend does not stop: by it sets grow old."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often keys are fetched, in seconds: `usual` where the issuer says nothing, else what it says in bounds."""

    shortest: float = 60.0
    usual: float = 300.0
    longest: float = 3600.0
    woken: float = 10.0
    """From the beginning of one fetch to the earliest beginning of one that an unknown key asked for."""
    first_failure: float = 1.0
    most_failures: float = 60.0

    def after(self, fetched: Fetched) -> float:
        """The pause after a success."""
        fresh = self.usual if fetched.fresh_seconds is None else fetched.fresh_seconds
        return min(self.longest, max(self.shortest, fresh)) * SystemRandom().uniform(*_SPREAD)

    def backoff(self, failures: int) -> float:
        """The pause after so many failures in a row: doubled each time up to a cap, and spread."""
        pause = self.first_failure * 2.0 ** min(failures - 1, 30)
        return min(self.most_failures, pause) * SystemRandom().uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class NoKeys:
    """Nobody can say now whether a token of this issuer is good; a sentence fit for a caller."""

    issuer: str
    detail: str


@dataclass(frozen=True, slots=True)
class Failure:
    """An issuer whose keys are not here. `wrong`: waiting will not cure it."""

    tenant: str
    issuers: tuple[str, ...]
    url: str
    detail: str
    wrong: bool

    def __str__(self) -> str:
        return f"issuer {', '.join(self.issuers)} of tenant {self.tenant} ({self.url}): {self.detail}"


@dataclass(frozen=True, slots=True)
class _Place:
    tenant: str
    url: str
    jwks: str | None


def _place(tenant: str, issuer: Issuer) -> _Place:
    return _Place(tenant, issuer.url, issuer.jwks)


@dataclass(slots=True, eq=False)
class _Source:
    """What is known of one place. `fetched` is when the fetch of `keys` began, by the boot clock."""

    place: _Place
    names: tuple[str, ...]
    keys: KeySet | None = None
    fetched: float = 0.0
    fetched_at: str | None = None
    error: str | None = None
    error_at: str | None = None
    wrong: bool = False
    failures: int = 0
    """In a row, up to now."""
    fetches: int = 0
    task: asyncio.Task[None] | None = None
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def failed(self, exc: NoUse) -> None:
        """Note a failure, and log it where it is a new one."""
        if self.error != str(exc):
            _log.warning("the keys of issuer %s were not fetched: %s", self.named, exc)
        self.error, self.error_at = str(exc), instants.now_from(time.time_ns())
        self.wrong, self.failures = exc.wrong, self.failures + 1

    def took(self, keys: KeySet, began: float) -> None:
        """Note a success. A set that has not changed stays the object that it was."""
        if self.keys is None or self.keys.digest != keys.digest or self.keys.ignored != keys.ignored:
            _log.info("issuer %s has %d usable keys; ignored: %s", self.named, len(keys.keys), keys.ignored or "none")
            self.keys = keys
        self.fetched, self.fetched_at = began, instants.now_from(time.time_ns())
        self.error, self.error_at, self.wrong, self.failures = None, None, False, 0

    def missing(self, seconds: float) -> str:
        """Why there is no key after so many seconds."""
        if self.keys is not None and self.error is None:
            ignored = "; ".join(f"{count} {why}" for why, count in self.keys.ignored.items())
            return f"it publishes no key that can be used ({ignored or 'its key set is empty'})"
        return self.error or f"it has not answered within {seconds:g} s"

    @property
    def named(self) -> str:
        return f"{', '.join(self.names)} of tenant {self.place.tenant}"


class KeySets:
    """The key sets of all issuers that are followed. It lives on one event loop; `async with` ends its tasks."""

    def __init__(
        self, way: Way | None = None, *, pace: Pace | None = None, clock: Callable[[], float] = boot_seconds
    ) -> None:
        self._way = way or Way()
        self._pace = pace or Pace()
        self._clock = clock
        self._sources: dict[_Place, _Source] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def follow(self, issuers: Mapping[str, Iterable[Issuer]]) -> None:
        """Follow these, by tenant, and no others from now on. What was followed already keeps its keys."""
        names: dict[_Place, list[str]] = {}
        for tenant, each in issuers.items():
            for issuer in each:
                names.setdefault(_place(tenant, issuer), []).append(issuer.name)
        for place in [place for place in self._sources if place not in names]:
            task = self._sources.pop(place).task
            if task is not None:
                task.cancel()
        for place, named in names.items():
            if place in self._sources:
                self._sources[place].names = tuple(named)
            else:
                self._sources[place] = _Source(place, tuple(named))
                self._begin(self._sources[place])

    async def close(self) -> None:
        """End all tasks."""
        tasks = [source.task for source in self._sources.values() if source.task is not None]
        self._sources.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def first(self, seconds: float) -> tuple[Failure, ...]:
        """Wait until each source was tried, no longer than this; what there are no keys of, and why."""
        waiting = [asyncio.create_task(source.tried.wait()) for source in self._sources.values()]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=seconds)
            for task in late:
                task.cancel()
        return tuple(
            Failure(source.place.tenant, source.names, source.place.url, source.missing(seconds), source.wrong)
            for source in self._sources.values()
            if source.keys is None or not source.keys.keys
        )

    def keys(self, tenant: str, issuer: Issuer) -> KeySet | NoKeys:
        """The keys to verify with now."""
        source = self._sources.get(_place(tenant, issuer))
        if source is None:
            return NoKeys(issuer.name, f"issuer {issuer.name} is not followed (yet)")
        if source.keys is None:
            return NoKeys(issuer.name, f"the keys of issuer {issuer.name} could not be fetched yet")
        if self._clock() - source.fetched > issuer.max_age_seconds:
            hours = issuer.max_age_seconds / 3600
            return NoKeys(issuer.name, f"the keys of issuer {issuer.name} were last fetched more than {hours:g} h ago")
        if not source.keys.keys:
            return NoKeys(issuer.name, f"issuer {issuer.name} publishes no key that can be used")
        return source.keys

    def wake(self, tenant: str, issuer: Issuer) -> None:
        """A token names a key that is not there: fetch as soon as it is time. Costs nothing and never waits."""
        source = self._sources.get(_place(tenant, issuer))
        if source is not None:
            source.woken.set()

    def described(self, tenant: str) -> list[JSON]:
        """How each source of a tenant stands, for whoever runs Muster."""
        return [self._described(source) for source in self._sources.values() if source.place.tenant == tenant]

    def _described(self, source: _Source) -> JSON:
        keys = source.keys
        return {
            "issuers": list(source.names),
            "url": source.place.url,
            "keys": len(keys.keys) if keys else 0,
            "ignored": dict(keys.ignored) if keys else {},
            "fetched_at": source.fetched_at,
            "age_seconds": round(self._clock() - source.fetched) if keys else None,
            "fetches": source.fetches,
            "failures": source.failures,
            "error": source.error,
            "error_at": source.error_at,
            "wrong": source.wrong,
        }

    def _begin(self, source: _Source) -> None:
        """Start the task of a source, and again if it ever ends by a mistake of ours."""

        def ended(task: asyncio.Task[None]) -> None:
            if task.cancelled() or self._sources.get(source.place) is not source:
                return
            _log.error("the task of issuer %s ended, and begins again", source.named, exc_info=task.exception())
            source.task = None
            asyncio.get_running_loop().call_later(self._pace.most_failures, again)

        def again() -> None:
            if self._sources.get(source.place) is source:
                self._begin(source)

        source.task = asyncio.create_task(self._keep(source))
        source.task.add_done_callback(ended)

    async def _keep(self, source: _Source) -> None:
        """Keep one source fresh, for ever."""
        while True:
            began = self._clock()
            source.fetches += 1
            try:
                fetched = await self._way.keys(source.place.url, source.place.jwks)
            except NoUse as exc:
                source.failed(exc)
                pause = self._pace.backoff(source.failures)
            else:
                source.took(fetched.keys, began)
                pause = self._pace.after(fetched)
            source.tried.set()
            await self._rest(source, began, pause)

    async def _rest(self, source: _Source, began: float, pause: float) -> None:
        """Wait until it is time, or until somebody asks for a key that is not there and that is not too soon."""
        source.woken.clear()
        try:
            async with asyncio.timeout(pause):
                await source.woken.wait()
                await asyncio.sleep(self._pace.woken - (self._clock() - began))
        except TimeoutError:
            return
