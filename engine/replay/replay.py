"""Replays a log: every decision and every certification, byte for byte, with an OPA of its own.

Reads beside a running service and writes nothing. Each revision is loaded from the bundle store, where its content is
checked against its name, and evaluated by the very OPA binary that the record names. A leased decision is replayed as
the record that it and the one it leans on give together, at its own instant.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from engine.bundling.catalogue import Catalogue
from engine.bundling.errors import BundlingError
from engine.bundling.store import BundleStore
from engine.decide import joined
from engine.opa.errors import CouldNotDecide, OpaError
from engine.opa.evaluator import Evaluator
from engine.replay import leases
from engine.replay.checks import Past, callers, check, leans_on_erased
from engine.replay.finding import Finding
from engine.replay.gateways import Gateways
from ledger import canonical
from ledger.errors import LedgerError
from ledger.model import JSON, Entry
from ledger.store import Reader

_AT_ONCE = 32
_REPLAYED = ("decision", "certification")
_EVALUATION_SECONDS = 10.0
_FIRSTS = 64
"""How many of the decisions that were leaned on last are kept: a payload may have a megabyte."""
_MALFORMED = (KeyError, TypeError, ValueError, IndexError, AttributeError, AssertionError, LedgerError)
"""What a record that we never wrote may raise when it is read as if we had: a finding, not the end of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which records to replay; None means all. Instants compare with the entry's `at`, `until` is not included."""

    since: str | None = None
    until: str | None = None
    subject: str | None = None
    action: str | None = None
    id: str | None = None

    def takes(self, entry: Entry) -> bool:
        """Whether an entry with a payload may be one to replay; its action is not looked at."""
        return (
            entry.kind in _REPLAYED
            and (self.since is None or self.since <= entry.at)
            and (self.until is None or entry.at < self.until)
            and (self.subject is None or (entry.about is not None and entry.about.id == self.subject))
            and (self.id is None or entry.id == self.id)
        )

    def takes_action(self, record: dict[str, JSON]) -> bool:
        """Whether a whole record is of the action that is asked for."""
        asked = record["input"]
        assert isinstance(asked, dict)
        action = asked.get("action")
        return self.action is None or (isinstance(action, dict) and action.get("name") == self.action)


@dataclass(slots=True)
class Report:
    """What came of a replay: how many records were given again, how many cannot be, and what does not match.

    `leased` counts those among them that were answered by a lease; `leaning` those that had read what has been erased
    since, an approver's state say.
    """

    replayed: int = 0
    leased: int = 0
    undecided: int = 0
    erased: int = 0
    leaning: int = 0
    findings: list[Finding] = field(default_factory=list)

    def described(self) -> dict[str, JSON]:
        """The report as JSON."""
        return {
            "replayed": self.replayed,
            "leased": self.leased,
            "undecided": self.undecided,
            "erased": self.erased,
            "leaning_on_erased": self.leaning,
            "findings": [{"index": f.index, "id": f.id, "check": f.check, "detail": f.detail} for f in self.findings],
        }


@dataclass(slots=True)
class _Loaded:
    capabilities: str
    catalogue: Catalogue
    gateways: Gateways
    evaluator: Evaluator


@dataclass(slots=True)
class Replayer:
    """Replays one tenant's log."""

    reader: Reader
    bundles: BundleStore
    verification_key: Path
    runtime_dir: Path
    progress: Callable[[int, int], None]
    _loaded: dict[tuple[str, str, str], _Loaded | str] = field(default_factory=dict)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _firsts: OrderedDict[str, Entry | None] = field(default_factory=OrderedDict)

    async def run(self, tenant: str, selection: Selection) -> Report:
        """Replay what is selected; the entries before it are reduced all the same."""
        size = self.reader.head(tenant).size
        report, past = Report(), Past(tenant, erasures=self._erasures(tenant, size))
        waiting: list[tuple[Entry, Evaluator]] = []
        async with self._stack:
            for entry in self.reader.entries(tenant, 0, size):
                try:
                    await self._look(entry, past, selection, report, waiting)
                    past.advance(entry)
                except _MALFORMED as exc:
                    detail = f"the record is not one of ours: {exc!r}"
                    report.findings.append(Finding(index=entry.index, id=entry.id, check="record", detail=detail))
                if len(waiting) >= _AT_ONCE:
                    await self._evaluate(waiting, report)
                    self.progress(entry.index + 1, size)
            await self._evaluate(waiting, report)
            self.progress(size, size)
        report.findings.sort(key=lambda f: (f.index, f.check))
        return report

    def _erasures(self, tenant: str, size: int) -> dict[int, int]:
        """Which entries were erased, and by which entry."""
        gone: dict[int, int] = {}
        for entry in self.reader.of_kind(tenant, ("erasure",), 0, size):
            indices = entry.value["indices"]
            assert isinstance(indices, list)
            gone |= {int(str(index)): entry.index for index in indices}
        return gone

    async def _look(
        self, entry: Entry, past: Past, selection: Selection, report: Report, waiting: list[tuple[Entry, Evaluator]]
    ) -> None:
        """Check one entry against the past; what has to be evaluated is put with what waits."""
        if entry.payload is None:
            report.erased += entry.kind in _REPLAYED
            return
        report.findings += callers(entry, past)
        if not selection.takes(entry):
            return
        if entry.kind == "decision" and joined.is_leased(entry.value):
            found = self._join(entry, past, selection, report)
            if found is None:
                return
            entry = found
        if not selection.takes_action(entry.value):
            return
        loaded = await self._load(entry)
        if isinstance(loaded, str):
            report.findings.append(Finding(index=entry.index, id=entry.id, check="revision", detail=loaded))
            return
        report.findings += check(entry, past, loaded.catalogue)
        report.findings += loaded.gateways.check(entry)
        report.leaning += entry.value.get("undecided") is None and leans_on_erased(entry, past)
        if entry.value["capabilities"] != loaded.capabilities:
            detail = "it names other capabilities than its revision was built with"
            report.findings.append(Finding(index=entry.index, id=entry.id, check="revision", detail=detail))
        waiting.append((entry, loaded.evaluator))

    def _join(self, entry: Entry, past: Past, selection: Selection, report: Report) -> Entry | None:
        """A leased decision as a whole record; None where it cannot be had, which is told of whatever action it is."""
        first = self._first(entry.tenant, str(entry.value["leans_on"]))
        unfit = list(leases.unfit(entry, first, past.erasures))
        report.findings += unfit
        if unfit or first is None:
            return None
        if first.payload is None:
            report.erased += 1
            return None
        whole = leases.whole(entry, first)
        if selection.takes_action(whole.value):
            report.findings += leases.check(entry, first)
            report.leased += 1
        return whole

    def _first(self, tenant: str, entry_id: str) -> Entry | None:
        """The entry that a leased one leans on, in bounded memory."""
        if entry_id not in self._firsts:
            self._firsts[entry_id] = self.reader.entry(tenant, entry_id)
            if len(self._firsts) > _FIRSTS:
                self._firsts.popitem(last=False)
        self._firsts.move_to_end(entry_id)
        return self._firsts[entry_id]

    async def _evaluate(self, waiting: list[tuple[Entry, Evaluator]], report: Report) -> None:
        decided = [(e, v) for e, v in waiting if e.value.get("undecided") is None]
        report.undecided += len(waiting) - len(decided)
        details = await asyncio.gather(*(_differs(e, v) for e, v in decided))
        report.replayed += len(decided)
        for (entry, _), detail in zip(decided, details, strict=True):
            if detail is not None:
                report.findings.append(Finding(index=entry.index, id=entry.id, check="result", detail=detail))
        waiting.clear()

    async def _load(self, entry: Entry) -> _Loaded | str:
        """The revision that an entry names, loaded once; a sentence where it cannot be."""
        opa = entry.value["opa"]
        assert isinstance(opa, dict)
        key = (str(entry.value["revision"]), str(opa["sha256"]), str(opa["version"]))
        if key not in self._loaded:
            self._loaded[key] = await self._start(*key)
        return self._loaded[key]

    async def _start(self, revision: str, opa_sha256: str, version: str) -> _Loaded | str:
        if not re.fullmatch(r"[0-9a-f]{64}", revision) or not re.fullmatch(r"[0-9a-f]{64}", opa_sha256):
            return "the record names no revision or OPA that could be in the store"
        try:
            stored = self.bundles.get(revision)
            evaluator = Evaluator(
                self.bundles.opa(opa_sha256, version),
                stored.path,
                revision,
                verification_key=self.verification_key,
                runtime_dir=self.runtime_dir,
                evaluation_seconds=_EVALUATION_SECONDS,
            )
            self._stack.push_async_callback(evaluator.stop)
            await evaluator.start()
        except (OSError, OpaError, CouldNotDecide, BundlingError) as exc:
            return f"revision {revision} cannot be loaded again: {exc}"
        catalogue = Catalogue(stored.data)
        return _Loaded(stored.capabilities, catalogue, Gateways.of(catalogue), evaluator)


async def _differs(entry: Entry, evaluator: Evaluator) -> str | None:
    """Check 4: the recorded input, evaluated again, gives the recorded result byte for byte."""
    record = entry.value
    try:
        answer = await evaluator.evaluate(str(record["entrypoint"]), canonical.encode(record["input"]))
    except CouldNotDecide as exc:
        return f"could not be evaluated again: {exc.cause}: {exc.detail}"
    if canonical.encode(answer) != canonical.encode(record["result"]):
        return "the answer is another than the one recorded"
    return None
