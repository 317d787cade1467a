"""The rows of an evidence archive: what an entry says, in columns, with what it leans on; and how a cell is written.

A row copies and never judges. What an entry does not say itself is taken from the entry beside it: a certification's
score from the result that it stands behind, a persona from the person's directory entry of that time; and a leased
decision comes here as the record that it and its first give together (`engine.decide.joined`). The verifier
makes the same rows by a path of its own (`ledger.verifier.archive_rows`).
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from ledger.fields import Payload
from ledger.merkle import leaf_hash
from ledger.model import JSON, Entry

Row: TypeAlias = dict[str, JSON]

KINDS: Final = ("result", "certification", "revocation", "waiver", "decision")
COLUMNS: Final = (
    "user", "type", "persona", "tracks", "module", "version", "tier", "scopes", "score", "passed", "attempt", "issued",
    "expires", "policy_ids", "runbook_ids", "kind", "action", "verdict", "allow", "denials", "evidence", "entry_id",
    "index", "at", "leaf",
)  # fmt: skip
_LISTS: Final = ("tracks", "scopes", "policy_ids", "runbook_ids", "denials", "evidence")
_ENTRY_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_STARTS: Final = frozenset("=+-@\u2212")
_LEADING: Final = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What an entry's row is filled up from: a certification's result, and the directory entry of the person."""

    result: Payload | None = None
    directory: Payload | None = None


def needs_directory(kind: str, value: Payload) -> bool:
    """Whether the persona of an entry stands only in the directory of its time."""
    return kind in ("revocation", "waiver") or (
        kind == "decision" and "persona" not in _part(value, "input", "subject")
    )


def row(entry: Entry, value: Payload, beside: Beside) -> Row:
    """The row of an entry of one of KINDS, which has its payload."""
    person = _part(value, "input", "subject") if entry.kind == "decision" else _part(value, "person")
    own = _CELLS[entry.kind](value, beside, entry.at)
    cells: Row = {
        "user": person.get("id"),
        "type": person.get("type"),
        "kind": entry.kind,
        "entry_id": entry.id,
        "index": entry.index,
        "at": entry.at,
        "leaf": leaf_hash(entry.header).hex(),
        **own,
    }
    return {column: cells.get(column, [] if column in _LISTS else None) for column in COLUMNS}


def leans_on(kind: str, value: Payload) -> list[str]:
    """The IDs of the entries behind an entry: what it names as evidence, and what its facts were taken from."""
    found: set[str] = set()
    if kind == "result":
        found |= set(_ids(value.get("evidence_links")))
    elif kind == "revocation":
        found |= set(_ids([value.get("certification")]))
    elif kind in ("certification", "decision"):
        found |= set(_ids([value.get("for"), value.get("leans_on")])) | set(_ids(value.get("evidence")))
        found |= set(_behind(_part(value, "input", "facts")))
        found |= set(_cited(value.get("reads")))
    return sorted(found)


def csv_bytes(rows: list[list[str]]) -> bytes:
    """Lines of a CSV as RFC 4180 has them."""
    sheet = io.StringIO(newline="")
    csv.writer(sheet, lineterminator="\r\n").writerows(rows)
    return sheet.getvalue().encode()


def cells(cells_of: Row) -> list[str]:
    """The cells of a row as text: lists by spaces, nothing for null; none that a spreadsheet would calculate."""
    return [guarded(_text(cells_of[column])) for column in COLUMNS]


def guarded(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe before what could be one, or begins with one.

    Reading it back, one leading apostrophe is taken off. What a sheet skips before a formula is skipped here as well:
    spaces, controls, marks without width; and a sign counts in its full-width and small forms too.
    """
    if text[:1].isascii() and text[:1].isalnum():
        return text
    if text[:1] in ("\t", "\r", "\n", "'"):
        return "'" + text
    for character in text:
        if unicodedata.category(character) in _LEADING:
            continue
        return "'" + text if unicodedata.normalize("NFKC", character)[0] in _STARTS else text
    return text


def _text(value: JSON) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _result(value: Payload, beside: Beside, at: str) -> Row:
    del beside, at
    return {
        **_learned(value),
        "module": value.get("module"),
        "version": value.get("version"),
        "tier": value.get("tier"),
        "scopes": _list(value.get("scopes")),
        "issued": value.get("occurred_at"),
        "evidence": [*_ids(value.get("evidence_links"))],
    }


def _learned(value: Payload) -> Row:
    """What a result says of itself and, through it, of a certification."""
    return {
        "persona": value.get("persona"),
        "tracks": _list(value.get("tracks")),
        "score": _part(value, "score").get("percent"),
        "passed": value.get("passed"),
        "attempt": value.get("attempts"),
        "policy_ids": _list(value.get("policy_ids")),
        "runbook_ids": _list(value.get("runbook_ids")),
    }


def _certification(value: Payload, beside: Beside, at: str) -> Row:
    del at
    result = _part(value, "input", "result")
    passes = _part(value, "input", "facts", "modules")
    behind = {i for module in _part(value, "parts") if module in passes for i in _behind({module: passes[module]})}
    return {
        **_learned(beside.result or {}),
        "module": result.get("module"),
        "version": result.get("version"),
        "tier": value.get("tier"),
        "scopes": _one(value.get("scope")),
        "issued": value.get("issued_at"),
        "expires": value.get("expires_at"),
        "evidence": [*_ids([value.get("for")]), *sorted(behind - {str(value.get("for"))})],
    }


def _revocation(value: Payload, beside: Beside, at: str) -> Row:
    return {
        "persona": _persona(beside),
        "scopes": _one(value.get("scope")),
        "issued": at,
        "evidence": [*_ids([value.get("certification")])],
    }


def _waiver(value: Payload, beside: Beside, at: str) -> Row:
    waived = _part(value, "requirement")
    return {
        "persona": _persona(beside),
        "tracks": _one(waived.get("track")),
        "module": waived.get("module"),
        "scopes": _one(waived.get("scope")),
        "issued": at,
        "expires": value.get("until"),
    }


def _decision(value: Payload, beside: Beside, at: str) -> Row:
    del at
    asked, answer = _part(value, "input"), _part(value, "result")
    subject = _part(asked, "subject")
    certified = answer.get("certified")
    action = _part(asked, "action").get("name", "is-certified" if "scope" in asked else None)
    verdict = answer.get("verdict", {True: "certified", False: "not-certified"}.get(certified is True))
    return {
        "persona": subject["persona"] if "persona" in subject else _persona(beside),
        "tier": asked.get("tier"),
        "scopes": [*sorted({*_part(asked, "facts", "scopes"), *([str(asked["scope"])] if "scope" in asked else [])})],
        "issued": asked.get("now"),
        "expires": answer.get("valid_until"),
        "policy_ids": _one(answer.get("policy_id")),
        "runbook_ids": _one(answer.get("runbook_id")),
        "action": action,
        "verdict": verdict if answer else "undecided",
        "allow": answer.get("allow", certified),
        "denials": [d.get("code") for d in _list(answer.get("denials")) if isinstance(d, dict)],
        "evidence": _list(value.get("evidence")),
    }


_CELLS: Final = {
    "result": _result,
    "certification": _certification,
    "revocation": _revocation,
    "waiver": _waiver,
    "decision": _decision,
}


def _persona(beside: Beside) -> JSON:
    return _part(beside.directory or {}, "directory").get("persona")


def _part(value: Payload, *path: str) -> dict[str, JSON]:
    """The object at a path; an empty one where there is none."""
    found: JSON = dict(value)
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _list(value: JSON) -> list[JSON]:
    return list(value) if isinstance(value, list) else []


def _one(value: JSON) -> list[JSON]:
    return [] if value is None else [value]


def _ids(value: JSON) -> list[str]:
    """Those of a list that are IDs of entries."""
    return [item for item in _list(value) if isinstance(item, str) and _ENTRY_ID.fullmatch(item)]


def _behind(facts: JSON) -> Iterator[str]:
    """The entries that facts were taken from, wherever in them they are named."""
    for key, member in facts.items() if isinstance(facts, dict) else ():
        if key in ("evidence", "revocation", "lowered"):
            yield from _ids([member])
        yield from _behind(member)


def _cited(reads: JSON) -> Iterator[str]:
    """The approvals, change windows and stored requests that were read: each is called after its entry."""
    for read in _list(reads):
        name = read[0] if isinstance(read, list) and read else None
        room, _, identifier = name.partition("/") if isinstance(name, str) else ("", "", "")
        if room in ("approval", "change_window", "request"):
            yield from _ids([identifier])
