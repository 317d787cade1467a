"""A log entry by entry: leaves and root, commitments, tags, order, reads, facts; the first wrong entry and all others.

Entries are given in blocks of up to 256, which is what a tile of the tree is; nothing is kept of them but facts, keys
and what is still open. A payload that is not there is either listed by an `erasure` entry behind it, or missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from . import entries, leases
from .entries import Header
from .errors import Invalid
from .facts import Facts
from .finding import Finding
from .leases import Firsts, Row
from .signed import Keys
from .tree import Tree

BLOCK: Final = 256
LATEST_MS: Final = 2_000
_NOBODYS: Final = frozenset(
    {"activation", "alarm", "change_window", "clock.adjusted", "copy", "erasure", "log.key", "rebuilt", "restored"}
)
"""Kinds of entries that are about nobody, so that nobody's erasure takes them."""

Person: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Known:
    """A person by their first entry."""

    index: int
    id: str
    ref: Any
    key: bytes


@dataclass(slots=True)
class _Siblings:
    """A result and the certifications behind it: those may only have read what was before the result."""

    result: str | None = None
    before: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    """What only a later entry can settle: payloads that are not there, and reads of objects that are gone."""

    missing: dict[int, Header] = field(default_factory=dict)
    read: list[tuple[Finding, int]] = field(default_factory=list)


class LogCheck:
    """One pass over a log. `key_of` answers a person's tag key, `row_of` the row of an ID; None where there is none.

    By `row_of` a decision is looked up again that a leased one leans on; what it answers is not believed either.
    """

    def __init__(
        self, tenant: str, key_of: Callable[[Person], bytes | None], row_of: Callable[[str], Row | None]
    ) -> None:
        self.tenant = tenant
        self.size = 0
        self.newest_at: str | None = None
        self.facts = Facts()
        self.keys = Keys()
        self.people: dict[Person, Known] = {}
        self.versions: dict[str, int] = {}
        self.erased: dict[int, int] = {}
        """Index of an erased entry -> index of the `erasure` that lists it."""
        self.idempotency: list[tuple[str, str, str, int]] = []
        self.findings: list[Finding] = []
        self.nodes: list[tuple[int, int, list[bytes]]] = []
        """(level, number of the first, hashes): runs of complete subtrees of 16**level entries, since last emptied."""
        self._key_of = key_of
        self._firsts = Firsts(tenant, row_of)
        self._tree = Tree()
        self._block: list[bytes] = []
        self._levels: dict[int, list[bytes]] = {}
        self._open = _Open()
        self._siblings = _Siblings()

    def found(self, index: int | None, entry_id: str | None, check: str, detail: str) -> None:
        """Note a finding."""
        self.findings.append(Finding(index=index, id=entry_id, check=check, detail=detail))

    # the tree

    def root(self) -> bytes:
        """The root over all entries so far."""
        tree = self._tree.copy()
        tree.extend(self._block)
        return tree.root()

    def take(self, rows: Sequence[Row]) -> None:
        """Check the next entries, which must not go beyond the block that is begun."""
        for row in rows:
            self.missing_until(row[0])
            self._entry(row)
        if len(self._block) == BLOCK:
            self._close_block()

    def missing_until(self, index: int) -> None:
        """Note that the log has no entries from here to `index`."""
        if self.size < index:
            self.found(self.size, None, "index", f"entries {self.size} to {index - 1} are missing")
            self._leaf(b"")  # the root cannot come out right any more, and shall not
            self.size = index

    def _leaf(self, leaf: bytes) -> None:
        self._block.append(leaf)
        if len(self._block) > BLOCK:
            self._close_block()

    def _close_block(self) -> None:
        if len(self._block) != BLOCK:  # entries were missing
            self._tree.extend(self._block)
        else:
            sixteens = _folded(self._block)
            self.nodes.append((1, (self.size >> 4) - 16, sixteens))
            [root] = _folded(sixteens)
            self._tree.graft(8, root)
            self._node(2, root)
        self._block = []

    def _node(self, level: int, node: bytes) -> None:
        self.nodes.append((level, (self.size >> 4 * level) - 1, [node]))
        row = self._levels.setdefault(level, [])
        row.append(node)
        if len(row) == 16:
            self._levels[level] = []
            self._node(level + 1, _folded(row)[0])

    def tail(self) -> tuple[int, int, list[bytes]]:
        """The run of complete subtrees of 16 entries in the block that is begun."""
        whole = len(self._block) // 16 * 16
        return 1, (self.size - len(self._block)) >> 4, _folded(self._block[:whole])

    # one entry

    def _entry(self, row: Row) -> None:
        index, entry_id, data, stored, payload, salt, kind_of, identity = row
        leaf = sha256(b"\x00" + data).digest()
        self._leaf(leaf)
        self.size = index + 1
        if leaf != stored:
            self.found(index, entry_id, "leaf", "the header is not the one whose hash stands beside it")
        header = entries.header(data)
        if header is None:
            self.found(index, entry_id, "header", "the header is not one that the format has, in its canonical form")
            return
        if header.id != entry_id or header.tenant != self.tenant:
            self.found(index, entry_id, "header", "the header is of another ID or tenant than its row")
            return
        self._order(index, header)
        if payload is None and salt is None:
            self._open.missing[index] = header
            self._siblings = _Siblings()
            self.facts.apply(index=index, id=entry_id, at=header.at, kind=header.kind, about=None, payload=None)
            return
        if not entries.opens(header.commitment, salt, payload):
            self.found(index, entry_id, "commitment", "payload and salt are not what the header commits to")
        value = entries.payload(payload)
        if value is None:
            self.found(index, entry_id, "payload", "the payload is no canonical JSON object")
            return
        about = (kind_of, identity) if kind_of is not None and identity is not None else None
        self._content(index, header, about, value)

    def _order(self, index: int, header: Header) -> None:
        if self.newest_at is not None and header.at < self.newest_at and header.kind != "clock.adjusted":
            self.found(index, header.id, "at", f"{header.at}, behind an entry of {self.newest_at}")
        self.newest_at = header.at

    def _content(self, index: int, header: Header, about: Person | None, value: dict[str, Any]) -> None:
        kind = header.kind
        named = entries.named(kind, value)
        nobodys = kind in _NOBODYS or (kind == "token" and named is None)
        if (named is not None and named != about) or (nobodys and about is not None):
            self.found(index, header.id, "about", "the row is about another person than the payload")
        if kind == "subject" and about is not None and about not in self.people:
            self._first(index, header, about, value)
        known = None if about is None else self.people.get(about)
        if header.tag != (None if known is None else entries.tag(known.key, header.id)):
            self.found(index, header.id, "tag", "the tag is not the one of the person's key")
        if leases.is_leased(kind, value):
            self._leased(index, header, about, value)
        elif kind in ("decision", "certification"):
            self._decided(index, header, value)
        elif kind == "log.key":
            for wrong in self.keys.take(index, value):
                self.found(index, header.id, "key", wrong)
        elif kind == "erasure":
            self._erasure(index, header, value)
        self._apply(index, header, about, value)

    def _first(self, index: int, header: Header, about: Person, value: dict[str, Any]) -> None:
        key = self._key_of(about) or b""
        self.people[about] = Known(index, header.id, value.get("ref"), key)
        if entries.key_commitment(key) != value.get("key_commitment"):
            self.found(index, header.id, "key", "the person's key is not the one that was committed to")

    def _erasure(self, index: int, header: Header, value: dict[str, Any]) -> None:
        listed = value.get("indices")
        if not isinstance(listed, list) or not all(type(n) is int and 0 <= n < index for n in listed):
            self.found(index, header.id, "erasure", "what it lists are not indices of entries before it")
            return
        for gone in listed:
            self.erased.setdefault(gone, index)

    def _decided(self, index: int, header: Header, value: dict[str, Any]) -> None:
        """What a decision or certification leaned on must be what the entries before it say."""
        given = value.get("input")
        latest = LATEST_MS if value.get("undecided") is None else None
        self._instant(index, header, given.get("now") if isinstance(given, dict) else None, latest)
        siblings = self._siblings
        if header.kind == "certification" and (siblings.result is None or value.get("for") != siblings.result):
            self.found(index, header.id, "for", "the certification does not stand behind its result")
        self._leaned(index, header, value.get("revision"), value.get("reads"))

    def _instant(self, index: int, header: Header, now: Any, latest: int | None = LATEST_MS) -> None:
        """`latest`: milliseconds; None for what was not decided: that leans on no instant and may have taken long."""
        late = _between(now, header.at)
        if late is None:
            self.found(index, header.id, "now", "the input has no instant")
        elif late < 0 or (latest is not None and late > latest):
            self.found(index, header.id, "now", f"decided {late} ms before it was recorded")

    def _leaned(self, index: int, header: Header, revision: Any, reads: Any) -> None:
        if revision != self.facts.active_revision:
            self.found(index, header.id, "revision", "the revision is not the one active at this entry")
        for read in reads if isinstance(reads, list) else [None]:
            self._read(index, header, read)

    def _leased(self, index: int, header: Header, about: Person | None, value: dict[str, Any]) -> None:
        """What a leased decision leans on must be a whole one before it, and still be what the entries say."""
        first = self._firsts.of(str(value["leans_on"]))
        for wrong in leases.wrong(index, value, first):
            self.found(index, header.id, "lease", wrong)
        self._instant(index, header, value.get("now"))
        if first is None or first.fault is not None or first.index >= index:
            return
        if about is None or first.about != about:
            self.found(index, header.id, "lease", f"it leans on entry {first.index}, which is about another person")
        self._leaned(index, header, first.revision, first.reads)

    def _read(self, index: int, header: Header, read: Any) -> None:
        if not isinstance(read, list) or len(read) != 2 or not isinstance(read[0], str) or type(read[1]) is not int:
            self.found(index, header.id, "reads", "the reads are not a list of [object, version]")
            return
        name, version = read
        current = self._version(name)
        if header.kind == "certification":
            current = self._siblings.before.get(name, current)
        if version != current and (current != -1 or version < 0):
            self.found(index, header.id, "reads", f"read {name} at {version}, where the log has {current}")
        elif version != current:
            detail = f"read {name} at {version}, where the log has {current}"
            wrong = Finding(index=index, id=header.id, check="reads", detail=detail)
            self._open.read.append((wrong, version))

    def _version(self, name: str) -> int:
        if not name.startswith("unknown/"):
            return self.versions.get(name, -1)
        kind, _, identity = name.removeprefix("unknown/").partition("/")
        known = self.people.get((unquote(kind), identity))
        return -1 if known is None else known.index

    def _apply(self, index: int, header: Header, about: Person | None, value: dict[str, Any]) -> None:
        taken = value.get("idempotency")
        if isinstance(taken, dict):
            self.idempotency.append((str(taken.get("key")), str(taken.get("request")), header.id, index))
        kind, siblings = header.kind, self._siblings
        if kind == "decision":
            if siblings.result is not None:
                self._siblings = _Siblings()
            return
        if kind != "certification" or value.get("for") != siblings.result:
            siblings = self._siblings = _Siblings(result=header.id if kind == "result" else None)
        try:
            names = self.facts.apply(index=index, id=header.id, at=header.at, kind=kind, about=about, payload=value)
        except Invalid as exc:
            self.found(index, header.id, "reduction", str(exc))
            return
        for name in names:
            siblings.before.setdefault(name, self.versions.get(name, -1))
            self.versions[name] = index

    # the end

    def settle(self) -> None:
        """Judge what was left open: missing payloads, and reads of what was erased."""
        for index, header in self._open.missing.items():
            if index not in self.erased:
                self.found(index, header.id, "commitment", "payload and salt are missing, and no erasure lists them")
            elif header.kind in _NOBODYS:
                self.found(index, header.id, "erasure", f"an entry of kind {header.kind}, about nobody, was erased")
            elif header.tag is not None:
                self._not_erased(index, header)
        for wrong, version in self._open.read:
            # What was read has been erased since: nobody can tell any more, and that is no finding.
            gone = self.erased.get(version, -1) > (wrong.index or 0) and version in self._open.missing
            if not gone:
                self.findings.append(wrong)
        for index in sorted(self.erased - self._open.missing.keys()):
            self.found(index, None, "erasure", "an erasure lists the entry, and its payload is there")

    def _not_erased(self, index: int, header: Header) -> None:
        """All of a person goes, key and all, or nothing: an erased entry that a living person's key marks was taken."""
        for person, known in self.people.items():
            if entries.tag(known.key, header.id) == header.tag:
                wrong = f"the entry is about {person[0]} {person[1]}, who was not erased"
                self.found(index, header.id, "erasure", wrong)


def _folded(row: list[bytes]) -> list[bytes]:
    """The roots of each 16 hashes of a row."""
    for _ in range(4):
        row = [sha256(b"\x01" + row[n] + row[n + 1]).digest() for n in range(0, len(row), 2)]
    return row


def _between(now: Any, at: str) -> int | None:
    """Milliseconds from `now` to `at`; None where `now` is no instant."""
    if now == at:
        return 0
    if not isinstance(now, str) or len(now) != 24:
        return None
    first, second = now[17:19] + now[20:23], at[17:19] + at[20:23]
    if now[:17] == at[:17] and (now[19], now[23]) == (".", "Z") and first.isascii() and first.isdigit():
        return int(second) - int(first)  # within one minute, as nearly all are
    if not entries.is_instant(now):
        return None
    try:
        passed = datetime.fromisoformat(at) - datetime.fromisoformat(now)
    except ValueError:  # the 31st of February
        return None
    return round(passed.total_seconds() * 1000)
