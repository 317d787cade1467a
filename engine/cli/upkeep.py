"""Commands for the upkeep of the log: rebuild, backup, restore.

Rebuild and backup read beside a running service. What they write into the log goes through it, or in process where none
runs: a rebuild needs no start for that, since what it mends may be why none is possible. Restore needs the home's lock.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from engine.access.caller import operator
from engine.cli import output
from engine.cli.client import Answer, call, connected, send
from engine.cli.operating import Subparsers, tenant
from engine.errors import BadRequest, Unavailable
from engine.home import Home, HomeLock, running
from engine.publishing.outside import Outside
from engine.settings import DEFAULT_TENANT, Settings
from engine.upkeep.backup import backup
from engine.upkeep.index import NotWhole
from engine.upkeep.rebuilding import rebuilding, write
from engine.upkeep.restore import Behind, Told, restore
from ledger.model import JSON
from ledger.rebuild import Rebuild, Report
from ledger.sqlite import SqliteLedger

_REASON: Final = "rows that differed from what the entries say"
_MOST_TOLD: Final = 1000


def add(ledger: Subparsers[argparse.ArgumentParser]) -> None:
    """Add these commands."""
    rebuilding = tenant(ledger.add_parser("rebuild", help="make every projection again and compare it row by row"))
    rebuilding.add_argument("--write", action="store_true", help="put rebuilt rows in the place of those that differ")
    rebuilding.add_argument("--reason", default=_REASON, help="why they are replaced; stays in the log")
    _json(rebuilding).set_defaults(run=_rebuild)

    saving = ledger.add_parser("backup", help="a verified copy of the home, made while it is in use")
    saving.add_argument("folder", type=Path, metavar="DIR", help="empty, or not there yet; its name stays in the log")
    saving.add_argument("--without-keys", action="store_true", help="leave the private keys out")
    _json(saving).set_defaults(run=_backup)

    restoring = ledger.add_parser("restore", help="put a backup in the home's place; the old home is kept beside it")
    restoring.add_argument("folder", type=Path, metavar="DIR")
    restoring.add_argument("--reason", help="why the log goes back behind what is known of it; stays in the log")
    restoring.add_argument("--approved-by", metavar="user:ID|system:NAME", help="who agreed to that")
    _json(restoring).set_defaults(run=_restore)


def _json(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


# rebuild


def _rebuild(arguments: argparse.Namespace, settings: Settings) -> int:
    home = Home(settings.home)
    home.check()
    with _begun(home, settings, arguments.tenant) as rebuild:
        report = rebuild.run()
        _tell(rebuild, report, arguments)
        if report.equal:
            return output.YES
        if report.wrong or not arguments.write:
            return output.NO
        if running(home) is None:
            done = _write_here(home, rebuild, arguments)
            return _tell_written(done, arguments)
    answer = asyncio.run(_write_there(settings, arguments))
    if answer.status != 200 or not isinstance(answer.body, dict):
        return output.refused(answer.status, answer.body)
    return _tell_written(answer.body, arguments)


@contextmanager
def _begun(home: Home, settings: Settings, of: str) -> Iterator[Rebuild]:
    outside = Outside(settings.log.outside or home.checkpoints)
    with rebuilding(home, outside, of, lambda done, total: output.bar("entries read", done, total)) as rebuild:
        yield rebuild


def _tell(rebuild: Rebuild, report: Report, arguments: argparse.Namespace) -> None:
    found = list(islice(rebuild.differences(), _MOST_TOLD)) if arguments.json else rebuild.differences()
    if arguments.json and not (arguments.write and report.differing and not report.wrong):
        rows: list[JSON] = [{"table": f.table, "key": list(f.key), "what": f.what, "mends": f.mends} for f in found]
        counts: dict[str, JSON] = dict(report.rows)
        output.machine(
            {
                "equal": report.equal,
                "size": report.size,
                "rows": counts,
                "differing": report.differing,
                "differences": rows,
                "wrong": list(report.wrong),
            }
        )
    for difference in found:
        output.progress(str(difference))
    for wrong in report.wrong:
        output.progress(f"the log itself: {wrong}")
    if not arguments.json:
        print(_summary(report))


def _summary(report: Report) -> str:
    if report.equal:
        counted = ", ".join(f"{count} {table}" for table, count in report.rows.items())
        return f"equal: {counted}"
    if report.wrong:
        return "the log itself is not whole, so nothing is made of it: see `muster ledger verify`, restore a backup"
    words = "1 row differs" if report.differing == 1 else f"{report.differing} rows differ"
    return f"{words}; --write puts rebuilt rows in their place, and the log says so"


def _write_here(home: Home, rebuild: Rebuild, arguments: argparse.Namespace) -> dict[str, Any]:
    """Without a service: no start is needed, only the right to write."""
    lock = HomeLock(home)
    try:
        ledger = SqliteLedger(home.database)
        try:
            payload: dict[str, JSON] = {"reason": arguments.reason, "by": operator(arguments.tenant).named(None)}
            receipt = write(ledger, rebuild, payload)
            with closing(ledger.reader()) as reader:
                entry = reader.entry(arguments.tenant, receipt.id) if receipt else None
                index, rows = (entry.index, entry.value["rows"]) if entry else (None, {})
        finally:
            ledger.close()
    finally:
        lock.release()
    left = [str(difference) for difference in rebuild.differences() if not difference.mends]
    return {"entry": receipt.id if receipt else None, "index": index, "rows": rows, "left": left}


async def _write_there(settings: Settings, arguments: argparse.Namespace) -> Answer:
    """The service makes its own rebuild, however long that takes: it replaces no row because somebody says so."""
    async with connected(settings, arguments.tenant) as client:
        client.timeout = None
        return await send(client, "POST", "/v1/ledger/rebuilds", {"reason": arguments.reason})


def _tell_written(done: dict[str, Any], arguments: argparse.Namespace) -> int:
    left = done.get("left") or []
    if arguments.json:
        output.machine(done)
    else:
        counted = ", ".join(f"{count} of {table}" for table, count in done["rows"].items()) or "nothing"
        print(f"replaced: {counted}" + (f"; recorded as entry {done['index']}" if done["entry"] else ""))
    for row in left:
        output.progress(f"left as it is: {row}")
    return output.NO if left else output.YES


# backup and restore


def _backup(arguments: argparse.Namespace, settings: Settings) -> int:
    home = Home(settings.home)
    home.check()
    folder = arguments.folder.absolute()

    def record(of: str, sha256: str, size: int) -> None:
        wanted: JSON = {"copy": "backup", "name": folder.name, "sha256": sha256, "size": size}
        answer = call(settings, of, "POST", "/v1/ledger/copies", wanted)
        if answer.status != 200:
            detail = answer.body.get("detail") if isinstance(answer.body, dict) else answer.body
            raise Unavailable(f"the backup is not recorded in the log, so it does not count: {detail}")

    try:
        made = backup(
            home,
            Outside(settings.log.outside or home.checkpoints),
            folder,
            with_keys=not arguments.without_keys,
            record=record,
            progress=lambda done, total: output.bar("entries copied", done, total),
        )
    except NotWhole as exc:
        output.progress(f"muster: {exc}")
        return output.NO
    sizes: dict[str, JSON] = {of: copied.size for of, copied in made.index.tenants.items()}
    if arguments.json:
        output.machine(
            {"folder": str(folder), "sizes": sizes, "sha256": made.sha256, "with_keys": made.index.with_keys}
        )
    else:
        counted = ", ".join(f"{size} entries of {of}" for of, size in sizes.items())
        keys = "with the private keys: keep it as safe as the home" if made.index.with_keys else "without keys"
        print(f"{counted}, verified, in {folder} ({keys})")
    return output.YES


def _restore(arguments: argparse.Namespace, settings: Settings) -> int:
    if (arguments.reason is None) is not (arguments.approved_by is None):
        raise BadRequest("--reason and --approved-by: give both, or none where the backup is not behind")
    told = None
    if arguments.reason is not None:
        by = operator(DEFAULT_TENANT).named(None)
        told = Told(reason=arguments.reason, approved_by=arguments.approved_by, by=by)
    try:
        done = restore(
            Home(settings.home),
            settings.log.outside,
            arguments.folder.absolute(),
            told,
            lambda done, total: output.bar("files restored", done, total),
        )
    except (NotWhole, Behind) as exc:
        output.progress(f"muster: {exc}")
        return output.NO
    if arguments.json:
        sizes: dict[str, JSON] = dict(done.sizes)
        before = str(done.before) if done.before else None
        output.machine({"sizes": sizes, "lost": list(done.lost), "before": before, "unread": done.unread})
        return output.YES
    if done.unread is not None:
        output.progress(f"the ledger that was there cannot be read, so nothing is known from it: {done.unread}")
    for lost in done.lost:
        output.progress(f"lost, as the log now says: {lost}")
    counted = ", ".join(f"{size} entries of {of}" for of, size in done.sizes.items())
    print(f"restored {counted} in {settings.home}" + (f"; the home before is {done.before}" if done.before else ""))
    return output.YES
