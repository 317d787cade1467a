"""The command that gives answers again: replay. It reads beside a running service, and writes nothing."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.bundling.store import BundleStore
from engine.cli import output
from engine.cli.operating import Subparsers, tenant
from engine.errors import BadRequest
from engine.home import Home
from engine.replay.replay import Replayer, Report, Selection
from engine.settings import Settings
from ledger import instants
from ledger.errors import LedgerError, NotReady
from ledger.sqlite import SqliteReader
from ledger.store import Reader


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add this room's commands."""
    replay = tenant(commands.add_parser("replay"))
    replay.add_argument("--since", metavar="INSTANT")
    replay.add_argument("--until", metavar="INSTANT", help="not included")
    replay.add_argument("--subject", metavar="ID")
    replay.add_argument("--action", metavar="NAME")
    replay.add_argument("--id", metavar="DECISION_ID")
    replay.add_argument("--json", action="store_true", help="print JSON")
    replay.set_defaults(run=_replay)


@contextmanager
def open_reader(settings: Settings, tenant: str, *, damaged: bool = False) -> Iterator[Reader]:
    """The home's ledger, read only; raises BadRequest for a tenant that it does not have.

    With `damaged` it is enough that any row is of the tenant, or that this cannot be read: whoever verifies says so.
    """
    home = Home(settings.home)
    home.check()
    reader = SqliteReader(home.database)
    try:
        readable, faults = reader.faults(whole=False)
        if not readable and not damaged:
            raise NotReady(f"the ledger at {home.database} is not one that can be read: {faults[0]}")
        if readable and not _has(reader, tenant, damaged=damaged):
            raise BadRequest(f"--tenant: there is no log of tenant {tenant}")
        yield reader
    finally:
        reader.close()


def _has(reader: Reader, tenant: str, *, damaged: bool) -> bool:
    try:
        return tenant in reader.tenants() or (damaged and tenant in reader.strangers(whole=False))
    except LedgerError:
        if not damaged:
            raise
        return True


def _replay(arguments: argparse.Namespace, settings: Settings) -> int:
    for name in ("since", "until"):
        value = getattr(arguments, name)
        if value is not None and not instants.is_instant(value):
            raise BadRequest(f"--{name}: expected an instant such as 2026-01-31T09:00:00.000Z, got {value}")
    selection = Selection(
        since=arguments.since,
        until=arguments.until,
        subject=arguments.subject,
        action=arguments.action,
        id=arguments.id,
    )
    home = Home(settings.home)
    with (
        open_reader(settings, arguments.tenant) as reader,
        tempfile.TemporaryDirectory(prefix="muster-replay-") as runtime,
    ):
        replayer = Replayer(
            reader=reader,
            bundles=BundleStore(home.bundles),
            verification_key=home.bundle_public_key,
            runtime_dir=Path(runtime),
            progress=lambda done, total: output.bar("entries read", done, total),
        )
        report = asyncio.run(replayer.run(arguments.tenant, selection))
    return _tell(report, arguments)


def _tell(report: Report, arguments: argparse.Namespace) -> int:
    if arguments.json:
        output.machine(report.described())
    for finding in report.findings:
        output.progress(f"entry {finding.index} ({finding.id}): {finding.check}: {finding.detail}")
    if not arguments.json:
        print(
            f"{report.replayed} answers given again, {len(report.findings)} findings"
            f" ({report.undecided} could not be decided then, {report.erased} erased,"
            f" {report.leaning} leaned on what was erased since)"
        )
    if arguments.id is not None and not (report.replayed or report.undecided or report.erased or report.findings):
        raise BadRequest(f"--id: there is no decision {arguments.id}")
    return output.NO if report.findings else output.YES
