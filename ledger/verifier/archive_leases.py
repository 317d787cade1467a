"""The leased decisions of an evidence archive: joined with those that they lean on, which have to be here as well."""

from __future__ import annotations

from typing import Any

from . import entries, leases
from .archive_run import Run
from .entries import Header


def whole(run: Run, index: int, header: Header, value: dict[str, Any]) -> dict[str, Any]:
    """What an entry says, a leased decision together with its first; a finding where it may not lean on that."""
    if not leases.is_leased(header.kind, value):
        return value
    row = run.scratch.execute(
        "SELECT idx, header, start, length, is_open FROM opened WHERE id = ?", (str(value["leans_on"]),)
    ).fetchone()
    if row is None:
        _judge(run, index, header, value, None)
        return leases.joined(value, None)
    first_index, data, start, length, is_open = row
    first_header = entries.header(data.encode())
    first_value = run.at(start, length) if is_open else None
    found = leases.first(first_index, first_header.kind if first_header else "", first_value)
    _judge(run, index, header, value, found)
    if found.fault is None and first_header is not None:
        for wrong in _persons(run, header, first_header, found):
            run.found(index, header.id, "lease", wrong)
    whole_one = first_header is not None and first_header.kind == "decision" and "leans_on" not in (first_value or {})
    return leases.joined(value, first_value if whole_one else None)


def _judge(run: Run, index: int, header: Header, value: dict[str, Any], found: leases.First | None) -> None:
    for wrong in leases.wrong(index, value, found):
        run.found(index, header.id, "lease", wrong)


def _persons(run: Run, header: Header, first_header: Header, found: leases.First) -> list[str]:
    """By their tags the two are about one person, as far as a key is known; with the lease's key it is this one."""
    if header.tag is None or first_header.tag is None:
        return ["it, or what it leans on, carries no tag: about somebody who was not known nothing is leased"]
    person = run.person
    if person is None:
        return []
    marked = entries.tag(person.key, header.id) == header.tag
    if marked != (found.about == person.named):
        return [f"it leans on entry {found.index}, which is about another person"]
    return []
