"""What an evidence archive is asked for: filters that all have to fit, and the entries that a time spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from engine.errors import BadRequest
from engine.reports.rows import Row
from ledger import canonical, instants
from ledger.errors import CanonicalError
from ledger.fields import Payload
from ledger.model import JSON, Person
from ledger.store import Reader

MOST_SUBJECTS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Filters of an archive; None filters nothing. `subjects` are IDs of users, any of which fits."""

    subjects: tuple[str, ...] = ()
    scope: str | None = None
    module: str | None = None
    persona: str | None = None
    since: str | None = None
    until: str | None = None
    decision: str | None = None
    incident: str | None = None

    def check(self) -> None:
        """Raise BadRequest for a filter that cannot be one."""
        for name in ("since", "until"):
            value = getattr(self, name)
            if value is not None and not instants.is_instant(value):
                raise BadRequest(f"--{name}: expected an instant such as 2026-01-31T09:00:00.000Z, got {value}")
        if self.since is not None and self.until is not None and not self.since < self.until:
            raise BadRequest("--until must be later than --since; the instant of --until is not included")
        if len(self.subjects) > MOST_SUBJECTS:
            raise BadRequest(f"--subject: at most {MOST_SUBJECTS}; without it the archive is about everybody")
        empty = [name for name, value in self.described().items() if value == "" or value == [""]]
        if empty:
            raise BadRequest(f"{', '.join(empty)}: a filter that is empty fits nothing")
        try:
            canonical.encode(self.described())
        except CanonicalError as exc:
            raise BadRequest(f"a filter holds characters that no entry has: {exc}") from exc

    def described(self) -> dict[str, JSON]:
        """The query as the manifest has it."""
        named = ("scope", "module", "persona", "since", "until", "decision", "incident")
        return {"subjects": list(self.subjects), **{name: getattr(self, name) for name in named}}

    @property
    def linked(self) -> bool:
        """Whether it asks for decisions with all that stands behind them, which then has rows of its own."""
        return self.decision is not None or self.incident is not None

    @property
    def person(self) -> Person | None:
        """The one person whose entries it asks for, all of them: what can be proved to be complete."""
        others = (self.scope, self.module, self.persona, self.decision, self.incident)
        alone = len(self.subjects) == 1 and all(other is None for other in others)
        return Person("user", self.subjects[0]) if alone else None

    def fits_time(self, at: str) -> bool:
        """Whether an instant is asked for."""
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)

    def takes(self, row: Row, value: Payload) -> bool:
        """Whether an entry's row is asked for."""
        return (
            self.fits_time(str(row["at"]))
            and (not self.subjects or (row["type"] == "user" and row["user"] in self.subjects))
            and (self.scope is None or self.scope in _list(row["scopes"]))
            and (self.module is None or self.module in _modules(row, value))
            and (self.persona is None or row["persona"] == self.persona)
            and (self.decision is None or (row["kind"] == "decision" and row["entry_id"] == self.decision))
            and (self.incident is None or (row["kind"] == "decision" and _names(value, self.incident)))
        )


def window(reader: Reader, tenant: str, size: int, query: Query, adjusted: Sequence[int]) -> tuple[int, int]:
    """The smallest range of indices that holds every entry of the query's time.

    `at` grows but at the entries in `adjusted`, where a clock was believed again: each part between them is searched.
    """
    if query.since is None and query.until is None:
        return 0, size
    bounds = [0, *(index for index in adjusted if index < size), size]
    spans, start = [], 0
    for low, high in pairwise(bounds):
        start = low if query.since is None else _first(reader, tenant, low, high, query.since)
        stop = high if query.until is None else _first(reader, tenant, low, high, query.until)
        if start < stop:
            spans.append((start, stop))
    first, last = (spans[0][0], spans[-1][1]) if spans else (start, start)
    # A side that is open reaches to the end of the log, whatever a clock did.
    return (0 if query.since is None else first), (size if query.until is None else last)


def _first(reader: Reader, tenant: str, low: int, high: int, instant: str) -> int:
    """The first index of a part whose `at` is not before an instant; its end where there is none."""
    while low < high:
        middle = (low + high) // 2
        entry = reader.entry_at(tenant, middle)
        assert entry is not None, "an entry below the checkpoint's size is there"
        if entry.at < instant:
            low = middle + 1
        else:
            high = middle
    return low


def _modules(row: Row, value: Payload) -> list[JSON]:
    """The modules that an entry has to do with: its own, a certification's parts, those that a gate asked about."""
    if row["kind"] == "certification":
        return [row["module"], *_keys(value.get("parts"))]
    asked = value.get("input") if row["kind"] == "decision" else None
    facts = asked.get("facts") if isinstance(asked, dict) else None
    return [row["module"], *_keys(facts.get("modules") if isinstance(facts, dict) else None)]


def _names(value: Payload, identifier: str) -> bool:
    """Whether a decision's context names a ticket, change, incident, window or approval, in whatever field."""
    asked = value.get("input")
    context = asked.get("context") if isinstance(asked, dict) else None
    fields = context.values() if isinstance(context, dict) else ()
    return any(value == identifier or (isinstance(value, list) and identifier in value) for value in fields)


def _keys(value: JSON) -> Sequence[str]:
    return list(value) if isinstance(value, dict) else []


def _list(value: JSON) -> list[JSON]:
    return value if isinstance(value, list) else []
