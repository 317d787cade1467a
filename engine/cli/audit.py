"""Commands for auditors: replay, ledger verify. They read beside a running service, and write nothing."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.bundling.store import BundleStore
from engine.cli import output
from engine.cli.client import call
from engine.cli.operating import Subparsers, tenant
from engine.errors import BadRequest
from engine.home import Home
from engine.replay.replay import Replayer, Report, Selection
from engine.settings import Settings
from ledger import instants
from ledger.model import JSON
from ledger.sqlite import SqliteReader
from ledger.store import Reader
from ledger.verify import verify


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add this room's commands."""
    replay = tenant(commands.add_parser("replay", help="give every decision again, byte for byte"))
    replay.add_argument("--since", metavar="INSTANT")
    replay.add_argument("--until", metavar="INSTANT", help="not included")
    replay.add_argument("--subject", metavar="ID")
    replay.add_argument("--action", metavar="NAME")
    replay.add_argument("--id", metavar="DECISION_ID")
    replay.add_argument("--json", action="store_true", help="print JSON")
    replay.set_defaults(run=_replay)

    ledger = commands.add_parser("ledger", help="the log").add_subparsers(required=True, metavar="COMMAND")
    verifying = tenant(ledger.add_parser("verify", help="recompute the log from its raw entries"))
    verifying.add_argument("--json", action="store_true", help="print JSON")
    verifying.set_defaults(run=_verify)

    adjust = tenant(ledger.add_parser("adjust-clock", help="believe a clock that moved; takes two admins' tokens"))
    adjust.add_argument("--token", action="append", required=True, metavar="TOKEN", help="give it twice, of two people")
    adjust.add_argument("--reason", required=True)
    adjust.add_argument("--json", action="store_true", help="print JSON")
    adjust.set_defaults(run=_adjust_clock)


def _adjust_clock(arguments: argparse.Namespace, settings: Settings) -> int:
    if len(arguments.token) != 2:
        raise BadRequest("--token: give it twice, the tokens of two different people")
    first, second = arguments.token
    wanted: JSON = {"first": first, "second": second, "reason": arguments.reason}
    answer = call(settings, arguments.tenant, "POST", "/v1/ledger/clock-adjustment", wanted)
    if answer.status != 200 or not isinstance(answer.body, dict):
        return output.refused(answer.status, answer.body)
    if arguments.json:
        output.machine(answer.body)
    else:
        print(f"the clock is believed again from {answer.body['at']} on (entry {answer.body['index']})")
    return output.YES


@contextmanager
def open_reader(settings: Settings, tenant: str) -> Iterator[Reader]:
    """The home's ledger, read only; raises BadRequest for a tenant that it does not have."""
    home = Home(settings.home)
    home.check()
    reader = SqliteReader(home.database)
    try:
        if tenant not in reader.tenants():
            raise BadRequest(f"--tenant: there is no log of tenant {tenant}")
        yield reader
    finally:
        reader.close()


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
            f" ({report.undecided} could not be decided then, {report.erased} erased)"
        )
    if arguments.id is not None and not (report.replayed or report.undecided or report.erased or report.findings):
        raise BadRequest(f"--id: there is no decision {arguments.id}")
    return output.NO if report.findings else output.YES


def _verify(arguments: argparse.Namespace, settings: Settings) -> int:
    with open_reader(settings, arguments.tenant) as reader:
        report = verify(reader, arguments.tenant)
    if arguments.json:
        output.machine(report.described())
    for finding in report.findings:
        place = f"entry {finding.index} ({finding.id}): " if finding.index is not None else ""
        output.progress(f"{place}{finding.check}: {finding.detail}")
    if not arguments.json:
        words = "the log is whole" if report.ok else f"{len(report.findings)} findings"
        print(f"{report.size} entries, root {report.root.hex()}: {words}")
    return output.YES if report.ok else output.NO
