"""An evidence archive, checked offline: the manifest and its signature, every file, every entry, and every row again.

Nothing in the folder is believed. Entries are held against the checkpoint, which a key of the log has signed; rows are
made again from the entries; and where the archive says that it is complete for a person, every header of its range is
tested with the person's key. Everything is read in pieces, and what has to be looked up is in a temporary database.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from . import archive_entries, archive_leases, archive_range, archive_signed, entries
from . import archive_files as files
from . import archive_rows as rows
from .archive_run import Person, Run
from .archive_signed import signed_text
from .entries import Header
from .errors import Invalid
from .finding import Finding, Report
from .tree import leaf_hash

__all__ = ["check", "report", "signed_text"]


def check(folder: Path, vkey: str | None = None, policy: bytes | None = None) -> list[Finding]:
    """What is wrong with an archive, the first thing first; `policy` is a C2SP tlog-policy. See `report`."""
    return list(report(folder, vkey, policy=policy).findings)


def report(
    folder: Path,
    vkey: str | None = None,
    *,
    former: tuple[str, ...] = (),
    policy: bytes | None = None,
    since: tuple[tuple[str, bytes], ...] = (),
) -> Report:
    """Check an archive against the log's verifier key from elsewhere; without one by its own, which is told.

    The log has to name the `former` keys too, which may have signed what was kept.
    `since` are checkpoints that were kept, by where they are from: a log that was signed twice is seen by them, where
    the archive has what it takes to compare.
    """
    run = Run(folder, tuple(each for each in (vkey, *former) if each is not None))
    try:
        _whole(run, policy, since)
    except OSError as exc:
        run.found(None, None, "storage", f"{exc.filename}: {exc.strerror}")
    except Invalid as exc:
        run.found(None, None, "archive", str(exc))
    finally:
        run.close()
    return run.report()


def _whole(run: Run, policy: bytes | None, since: tuple[tuple[str, bytes], ...]) -> None:
    """All checks, from what is signed to what it says."""
    data = archive_signed.read_manifest(run)
    if data is None:
        return
    archive_signed.read_files(run)
    checkpoint = archive_signed.read_checkpoint(run)
    run.person = run.small("person.json", Person) if "person.json" in run.manifest["files"] else None
    archive_entries.read(run)
    key = archive_signed.signing_key(run)
    archive_signed.check_signature(run, data, key)
    if checkpoint is not None:
        archive_signed.check_checkpoint(run, checkpoint, key, policy)
    before = run.wrong
    if run.manifest["completeness"]["proved"]:
        archive_range.complete(run, [size for size in map(archive_signed.size_of, since) if size is not None])
    complete = run.wrong == before
    for index, entry_id, wrong in run.ids.twice():
        run.found(index, entry_id, "id", wrong)
    _rows(run)
    for name in files.COUNTS:
        if run.counted[name] != run.manifest["counts"][name]:
            detail = f"the manifest counts {run.manifest['counts'][name]} {name}, there are {run.counted[name]}"
            run.found(None, None, "count", detail)
    for where, kept in since:
        archive_signed.compare(run, where, kept)
    _tell(run, complete=complete)


def _tell(run: Run, *, complete: bool) -> None:
    """What is not wrong, and has to be known."""
    query, span = run.manifest["query"], run.manifest["range"]
    said = run.manifest["completeness"]
    if not said["proved"]:
        run.told.append(f"the archive says of its completeness: {said['why']}")
    elif complete:
        where = f"entries {span['start']} to {span['stop'] - 1}" if span["start"] < span["stop"] else "no entry"
        run.told.append(f"complete for the user {query['subjects'][0]}: {where}, each tested with their key")
    if run.counted["erased"]:
        run.told.append(f"{run.counted['erased']} entries are here without payload: erased, the archive says")
    run.told += [f"the archive says: {limit}" for limit in run.manifest["limits"]]


def _rows(run: Run) -> None:
    """The rows of both files, made again from the entries and compared cell by cell."""
    with _Opened(run.folder, ("evidence.csv", "evidence.json")) as found:
        listed: list[files.Listed] = []
        for kind in (files.Sheet, files.Array):
            if kind.name in found:
                listed.append(kind(found[kind.name], partial(_wrong_row, run)))
        for row in _expected(run):
            run.counted["rows"] += 1
            for name in row["evidence"]:
                if rows.is_id(name) and not run.is_here(name):
                    detail = f"it leans on entry {name}, which is not here"
                    run.found(row["index"], row["entry_id"], "evidence", detail)
            for each in listed:
                each.take(row)
        for each in listed:
            each.end(run.digests.get(each.name, ""))


def _wrong_row(run: Run, index: int | None, entry_id: str | None, detail: str) -> None:
    run.found(index, entry_id, "row", detail)


def _expected(run: Run) -> Iterator[rows.Row]:
    """The rows that there have to be, in the order of the log."""
    query, span = dict(run.manifest["query"]), run.manifest["range"]
    query["subjects"] = frozenset(query["subjects"])  # of any length, and looked into for every row
    linked = query["decision"] is not None or query["incident"] is not None
    last = -1
    page = "SELECT idx, header, start, length FROM opened WHERE is_open AND idx > ? ORDER BY idx LIMIT 256"
    while chunk := run.scratch.execute(page, (last,)).fetchall():
        for index, data, start, length in chunk:
            header = entries.header(data.encode())
            value = run.at(start, length)
            if header is None or value is None or header.kind not in rows.KINDS:
                continue
            value = archive_leases.whole(run, index, header, value)
            row = _row(run, index, header, data.encode(), value)
            fits = span["start"] <= index < span["stop"] and rows.fits(query, row, value)
            decision = header.kind == "decision"
            if linked and decision and not fits and not run.is_leaned_on(header.id):
                run.found(index, header.id, "query", "the decision is not one that was asked for")
            if fits or (linked and not decision):
                yield row
        last = chunk[-1][0]


def _row(run: Run, index: int, header: Header, data: bytes, value: dict[str, Any]) -> rows.Row:
    return rows.expected(
        index,
        header,
        leaf_hash(data),
        value,
        lambda name: run.value("id = ? AND kind = 'result'", (name,)),
        lambda person: run.value(
            "identity = ? AND type = ? AND kind = 'subject' AND idx < ? ORDER BY idx DESC LIMIT 1",
            (person[1], person[0], index),
        ),
    )


class _Opened(dict[str, Any]):
    """Those of some files that can be opened; the others were found missing before."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        super().__init__()
        self._folder, self._names = folder, names

    def __enter__(self) -> _Opened:
        for name in self._names:
            try:
                self[name] = files.opened(self._folder, name)
            except Invalid:
                continue
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.values():
            file.close()
