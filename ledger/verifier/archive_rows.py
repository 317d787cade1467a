"""The rows of an evidence archive, made again from its entries: which have one, what is in it, how it is written.

A path of its own, by tables: the service makes the same rows in `engine.reports.rows`, and neither knows the other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from . import entries
from .entries import Header

Row: TypeAlias = dict[str, Any]
Payload: TypeAlias = dict[str, Any]

KINDS: Final = frozenset({"certification", "decision", "result", "revocation", "waiver"})
COLUMNS: Final = (
    "user", "type", "persona", "tracks", "module", "version", "tier", "scopes", "score", "passed", "attempt", "issued",
    "expires", "policy_ids", "runbook_ids", "kind", "action", "verdict", "allow", "denials", "evidence", "entry_id",
    "index", "at", "leaf",
)  # fmt: skip
_LISTS: Final = frozenset({"tracks", "scopes", "policy_ids", "runbook_ids", "denials", "evidence"})
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

# column=path of the payload; `[]` copies a list, `+` makes one of the one value that is there.
_LEARNED: Final = "persona=persona tracks[]=tracks score=score.percent passed=passed attempt=attempts"
_LINKED: Final = "policy_ids[]=policy_ids runbook_ids[]=runbook_ids"
_OWN: Final = {
    "result": f"{_LEARNED} {_LINKED} module=module version=version tier=tier scopes[]=scopes issued=occurred_at",
    "certification": "module=input.result.module version=input.result.version tier=tier scopes+=scope"
    " issued=issued_at expires=expires_at",
    "revocation": "scopes+=scope",
    "waiver": "tracks+=requirement.track module=requirement.module scopes+=requirement.scope expires=until",
    "decision": "tier=input.tier issued=input.now expires=result.valid_until policy_ids+=result.policy_id"
    " runbook_ids+=result.runbook_id evidence[]=evidence",
}


def expected(
    index: int,
    header: Header,
    leaf: bytes,
    value: Payload,
    result: Callable[[str], Payload | None],
    directory: Callable[[tuple[str, str]], Payload | None],
) -> Row:
    """The row of an entry. `result` answers the payload of a result by its ID; `directory` a person's, as of then."""
    row: Row = {column: [] if column in _LISTS else None for column in COLUMNS}
    row |= _copied(_OWN[header.kind], value)
    if header.kind == "certification":
        row |= _copied(f"{_LEARNED} {_LINKED}", result(str(value.get("for"))) or {})
    if header.kind in ("revocation", "waiver"):
        row["issued"] = header.at
    if header.kind == "decision":
        row |= _decided(value)
    else:
        row["evidence"] = _evidence(header.kind, value)
    person = entries.named(header.kind, value)
    if header.kind in ("revocation", "waiver", "decision") and not _states_persona(value):
        row["persona"] = _at(directory(person) or {}, "directory.persona") if person else None
    whom = "input.subject" if header.kind == "decision" else "person"
    row |= {"user": _at(value, f"{whom}.id"), "type": _at(value, f"{whom}.type")}
    row |= {"kind": header.kind, "entry_id": header.id, "index": index, "at": header.at, "leaf": leaf.hex()}
    return row


def fits(query: dict[str, Any], row: Row, value: Payload) -> bool:
    """Whether an entry is asked for by the manifest's query; its place in the range is the caller's to judge."""
    since, until, decision = query.get("since"), query.get("until"), row["kind"] == "decision"
    asked: list[tuple[Any, Callable[[], bool]]] = [
        (since, lambda: row["at"] >= since),
        (until, lambda: row["at"] < until),
        (query.get("subjects") or None, lambda: row["type"] == "user" and row["user"] in query["subjects"]),
        (query.get("scope"), lambda: query["scope"] in row["scopes"]),
        (query.get("module"), lambda: query["module"] in [row["module"], *_modules(row["kind"], value)]),
        (query.get("persona"), lambda: row["persona"] == query["persona"]),
        (query.get("decision"), lambda: decision and row["entry_id"] == query["decision"]),
        (query.get("incident"), lambda: decision and query["incident"] in set(_context(value))),
    ]
    return all(judge() for filtered, judge in asked if filtered is not None)


def cell(value: Any) -> str:
    """A value as the CSV has it, with an apostrophe before what a spreadsheet would calculate."""
    if isinstance(value, list):
        text = " ".join(str(item) for item in value)
    else:
        text = {True: "true", False: "false"}[value] if isinstance(value, bool) else "" if value is None else str(value)
    shown = next((c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Zs", "Zl", "Zp")), "")
    dangerous = unicodedata.normalize("NFKC", shown)[:1] in ("=", "+", "-", "@", "\u2212")
    return f"'{text}" if dangerous or text.startswith(("'", "\t", "\r", "\n")) else text


def is_id(text: Any) -> bool:
    """Whether it is the ID of an entry."""
    return isinstance(text, str) and _UUID.fullmatch(text) is not None


def _copied(table: str, value: Payload) -> Row:
    row: Row = {}
    for pair in table.split():
        column, path = pair.split("=")
        found = _at(value, path)
        if column.endswith("[]"):
            row[column[:-2]] = list(found) if isinstance(found, list) else []
        elif column.endswith("+"):
            row[column[:-1]] = [] if found is None else [found]
        else:
            row[column] = found
    return row


def _decided(value: Payload) -> Row:
    answer = value.get("result")
    asked = value.get("input") if isinstance(value.get("input"), dict) else {}
    assert isinstance(asked, dict)
    row: Row = {"verdict": "undecided", "persona": _at(asked, "subject.persona")}
    if isinstance(answer, dict) and answer:
        certified = "certified" if answer.get("certified") is True else "not-certified"
        row["verdict"] = answer.get("verdict", certified)
        row["allow"] = answer.get("allow", answer.get("certified"))
        denials = answer.get("denials")
        row["denials"] = [d.get("code") for d in denials if isinstance(d, dict)] if isinstance(denials, list) else []
    named = _at(asked, "action")
    row["action"] = "is-certified" if "scope" in asked else None
    if isinstance(named, dict) and "name" in named:
        row["action"] = named["name"]
    scopes = set(_keys(_at(asked, "facts.scopes")))
    row["scopes"] = sorted(scopes | ({str(asked["scope"])} if "scope" in asked else set()))
    return row


def _evidence(kind: str, value: Payload) -> list[str]:
    if kind == "result":
        links = value.get("evidence_links")
        return [link for link in links if is_id(link)] if isinstance(links, list) else []
    if kind == "revocation":
        return [value["certification"]] if is_id(value.get("certification")) else []
    if kind != "certification":
        return []
    first = [value["for"]] if is_id(value.get("for")) else []
    modules = _at(value, "input.facts.modules")
    passes = [modules[m] for m in _keys(value.get("parts")) if m in modules] if isinstance(modules, dict) else []
    return [*first, *sorted(set(_behind(passes)) - set(first))]


def _behind(facts: Any) -> Iterator[str]:
    if isinstance(facts, list):
        for item in facts:
            if isinstance(item, dict):
                yield from _behind(item)
    elif isinstance(facts, dict):
        for key, member in facts.items():
            if key in ("evidence", "revocation", "lowered") and is_id(member):
                yield member
            elif isinstance(member, dict):
                yield from _behind(member)


def _states_persona(value: Payload) -> bool:
    subject = _at(value, "input.subject")
    return isinstance(subject, dict) and "persona" in subject


def _modules(kind: str, value: Payload) -> list[str]:
    return _keys(_at(value, {"certification": "parts", "decision": "input.facts.modules"}.get(kind, "nothing")))


def _context(value: Payload) -> Iterator[str]:
    """The texts in a decision's context: of its fields, and of the lists in them."""
    context = _at(value, "input.context")
    for field in context.values() if isinstance(context, dict) else ():
        yield from (text for text in (field if isinstance(field, list) else [field]) if isinstance(text, str))


def _at(value: Any, path: str) -> Any:
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _keys(value: Any) -> list[str]:
    return list(value) if isinstance(value, dict) else []
