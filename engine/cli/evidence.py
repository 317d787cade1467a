"""The command that makes an evidence archive: `muster ledger export --out DIR`, with filters that all have to fit."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.access import tokens
from engine.access.caller import operator
from engine.cli import output
from engine.cli.audit import open_reader
from engine.cli.client import Answer, connected, send
from engine.errors import BadRequest, NotFound
from engine.reports import evidence
from engine.reports.query import Query
from engine.settings import Settings
from ledger import instants
from ledger.model import JSON
from ledger.store import Reader
from ledger.verifier.note import parse_key

_FILTERS = ("subject", "scope", "module", "persona", "since", "until", "decision", "incident")
_BAR_SECONDS = 0.1


def add_options(export: argparse.ArgumentParser) -> None:
    """Add an archive's options to `ledger export`."""
    export.add_argument("--out", type=Path, metavar="DIR", help="an evidence archive, into a new folder")
    export.add_argument("--subject", action="append", default=[], metavar="ID", help="may be given more than once")
    export.add_argument("--scope", metavar="SCOPE")
    export.add_argument("--module", metavar="MODULE")
    export.add_argument("--persona", metavar="PERSONA", help="as it was then")
    export.add_argument("--since", metavar="INSTANT")
    export.add_argument("--until", metavar="INSTANT", help="not included")
    export.add_argument("--decision", metavar="ID", help="one decision and its evidence")
    export.add_argument("--incident", metavar="ID", help="decisions whose context names it, and their evidence")


def asked(arguments: argparse.Namespace) -> bool:
    """Whether an archive is asked for; raises BadRequest for filters without one."""
    if arguments.out is not None:
        return True
    given = [f"--{name}" for name in _FILTERS if getattr(arguments, name)]
    if given:
        raise BadRequest(f"{', '.join(given)}: filters of an evidence archive, which takes --out DIR")
    return False


def export(arguments: argparse.Namespace, settings: Settings) -> int:
    """Make an archive: a checkpoint, the files, and the signature of the log's key."""
    query = Query(
        subjects=tuple(dict.fromkeys(arguments.subject)),
        **{name: getattr(arguments, name) for name in _FILTERS[1:]},
    )
    query.check()
    try:
        with evidence.fresh(arguments.out):
            made, authorization = asyncio.run(_begin(settings, arguments.tenant))
            with open_reader(settings, arguments.tenant) as reader:
                written = _write(arguments, query, reader, made, authorization)
            signed = asyncio.run(_sign(settings, arguments.tenant, query, written))
            written.seal(str(signed["note"]))
    except _RefusedError as exc:
        return output.refused(exc.answer.status, exc.answer.body)
    _tell(arguments, written, signed, str(made["vkey"]))
    return output.YES


class _RefusedError(Exception):
    """The service said no; nothing is left of what was begun."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


async def _begin(settings: Settings, tenant: str) -> tuple[dict[str, Any], str | None]:
    """A checkpoint over all that is committed, and the caller's own credential, if it takes one."""
    async with connected(settings, tenant) as client:
        answer = await send(client, "POST", "/v1/ledger/checkpoint")
        return _body(answer), client.headers.get("Authorization")


async def _sign(settings: Settings, tenant: str, query: Query, written: evidence.Written) -> dict[str, Any]:
    """The signature of the log's key, which the log records."""
    wanted: JSON = {
        "sha256": written.sha256,
        "name": _name(query, written),
        "user": query.subjects[0] if len(query.subjects) == 1 else None,
    }
    async with connected(settings, tenant) as client:
        return _body(await send(client, "POST", "/v1/ledger/archives", wanted))


def _body(answer: Answer) -> dict[str, Any]:
    if answer.status != 200 or not isinstance(answer.body, dict):
        raise _RefusedError(answer)
    return answer.body


def _write(
    arguments: argparse.Namespace, query: Query, reader: Reader, made: dict[str, Any], authorization: str | None
) -> evidence.Written:
    tenant = arguments.tenant
    stored = reader.checkpoint(tenant, int(made["size"]))
    if stored is None or not stored.note.startswith(str(made["note"]).partition("\n\n")[0]):
        raise NotFound(
            f"the checkpoint that was just made is none of the tenant {tenant}: is the token of another one?"
        )
    now = _now(reader, tenant)
    return evidence.write(
        evidence.Source(reader=reader, tenant=tenant, key=parse_key(str(made["vkey"])), checkpoint=stored),
        query,
        arguments.out,
        made_at=now,
        made_by=_caller(reader, tenant, authorization, now),
        progress=_bars(),
    )


def _now(reader: Reader, tenant: str) -> str:
    """The log's own instant: never before its newest entry."""
    return max(instants.now_from(time.time_ns()), reader.head(tenant).newest_at or "")


def _caller(reader: Reader, tenant: str, authorization: str | None, now: str) -> dict[str, JSON]:
    """Who makes the archive, named as entries name callers; whether they may is the service's to say."""
    if authorization is None:
        return operator(tenant).named(None)
    caller = tokens.authenticate(reader, authorization.partition(" ")[2], now)
    person = caller.principal.person
    return caller.named(reader.person(tenant, person) if person else None)


def _name(query: Query, written: evidence.Written) -> str:
    """What the log calls the archive: its folder, where that does not name a person for ever."""
    name = written.folder.absolute().name
    personal = not name or not name.isprintable() or any(subject in name for subject in query.subjects)
    return f"archive-{written.sha256[:16]}" if personal else name


def _bars() -> Callable[[int, int], None]:
    """A line on the terminal; a million rows are not a million lines."""
    shown = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if done == total or now - shown > _BAR_SECONDS:
            shown = now
            output.bar("entries", done, total)

    return progress


def _tell(arguments: argparse.Namespace, written: evidence.Written, signed: dict[str, Any], vkey: str) -> None:
    if arguments.json:
        told: dict[str, JSON] = {
            "folder": str(written.folder),
            "sha256": written.sha256,
            "counts": {**written.counts},
            "complete": written.complete,
            "entry": signed["id"],
            "vkey": vkey,
        }
        output.machine(told)
        return
    counts = written.counts
    print(f"{counts['rows']} rows from {counts['entries']} entries in {written.folder}")
    print(f"signed, and recorded as entry {signed['index']} ({signed['id']})")
    print("complete for this person and range" if written.complete else "completeness is not proved: see README.txt")
    print(f"verifier key: {vkey}")
