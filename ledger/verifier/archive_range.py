"""One person over a range of the log: every header of it is tested with their key, so that none can be left out."""

from __future__ import annotations

from functools import partial
from typing import Any

from . import archive_files as files
from . import canonical, entries
from .archive_run import Person, Run, hashes, is_index
from .errors import Invalid
from .tree import Tree, leaf_hash


def complete(run: Run, sizes: list[int]) -> None:
    """That nothing about the person is left out of the range; a finding wherever that is not shown."""
    query, person = run.manifest["query"], run.person
    alone = len(query["subjects"]) == 1 and all(
        query[name] is None for name in files.FILTERS if name not in ("since", "until")
    )
    if not alone or person is None or person.named != ("user", query["subjects"][0]):
        detail = "only what is asked for one person over a time can be complete, with that person's key"
        run.found(None, None, "completeness", detail)
        return
    _key_of(run, person)
    span = run.small("range.json", partial(_span, run))
    if span is None:
        return
    try:
        _headers(run, person, span, sizes)
    except Invalid as exc:
        run.found(None, None, "completeness", f"headers.bin: {exc}")


def _key_of(run: Run, person: Person) -> None:
    """The log itself says which key is the person's, by their first entry."""
    where = "idx = ? AND kind = 'subject'"
    first = run.value(where, (person.first,))
    said = None if first is None else (first.get("key_commitment"), first.get("ref"))
    if first is None or entries.named("subject", first) != person.named:
        run.found(person.first, person.first_id, "key", "the person's first entry is not opened here")
    elif said != (entries.key_commitment(person.key), person.ref):
        run.found(person.first, person.first_id, "key", "the key or ref in person.json is not the one of the log")


def _span(run: Run, data: bytes) -> dict[str, Any]:
    span = canonical.parse(data.removesuffix(b"\n"))
    bounds = ("start", "stop", "first", "last")
    if span is None or span.keys() != {*bounds, "before", "after"} or not all(is_index(span[n]) for n in bounds):
        raise Invalid("range.json does not have the fields start, stop, first, last, before and after")
    start, stop = span["start"], span["stop"]
    query, size = run.manifest["query"], run.said.size
    if {"start": start, "stop": stop} != run.manifest["range"] or not start <= stop <= size:
        raise Invalid("range.json is of another range than the manifest")
    if (query["since"] is None and start) or (query["until"] is None and stop != size):
        raise Invalid("the range does not reach to the end of the log, on a side where no time bounds it")
    if (span["first"], span["last"]) != (max(start - 1, 0), min(stop + 1, size)):
        raise Invalid("the range does not show the entry on either side of it")
    return span


def _headers(run: Run, person: Person, span: dict[str, Any], sizes: list[int]) -> None:
    tree = Tree(span["first"], hashes(span["before"]))
    wanted = sorted({size for size in sizes if span["first"] <= size <= span["last"]})
    with files.opened(run.folder, "headers.bin") as file:
        for index in range(span["first"], span["last"]):
            while wanted and wanted[0] == index:
                run.roots[wanted.pop(0)] = tree.root()
            length = file.read(2)
            data = file.read(int.from_bytes(length))
            if length == b"\0\0":
                raise Invalid(f"it has nothing for entry {index}")  # a sparse file has as much as its maker likes
            if len(length) != 2 or len(data) != int.from_bytes(length):
                raise Invalid(f"it ends within entry {index}, the range reaches to {span['last'] - 1}")
            tree.append(leaf_hash(data))
            run.counted["headers"] += 1
            _header(run, index, data, person, span)
        if file.read(1):
            raise Invalid("it goes on behind the range")
    for size in wanted:
        run.roots[size] = tree.root()
    tree.close(run.said.size, hashes(span["after"]))
    if tree.root() != run.said.root:
        raise Invalid(f"the headers of entries {span['first']} to {span['last'] - 1} are not those of the log")


def _header(run: Run, index: int, data: bytes, person: Person, span: dict[str, Any]) -> None:
    header = entries.header(data)
    if header is None:
        run.found(index, None, "header", "the header is not one that the format has, in its canonical form")
        return
    run.ids.take(index, header.id)
    query = run.manifest["query"]
    if not span["start"] <= index < span["stop"]:
        after, before = query["since"] or "", query["until"]
        if header.at >= after and (before is None or header.at < before):
            run.found(index, header.id, "completeness", "the entry is of the time asked for, and not of the range")
    elif header.tag == entries.tag(person.key, header.id):
        room = run.scratch.execute("SELECT is_open FROM opened WHERE idx = ?", (index,)).fetchone()
        if room is None or not room[0]:
            run.found(index, header.id, "completeness", "the entry is about the person, and is not opened here")
