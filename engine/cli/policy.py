"""Commands for those who write policy: check, test, build, activate, rollback, list."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
from collections.abc import Iterator

from engine.cli import output
from engine.cli.audit import open_reader
from engine.cli.client import connected, find_opa, send
from engine.cli.operating import Subparsers, tenant
from engine.cli.setup import build_and_store, check_configured
from engine.errors import NotFound
from engine.home import Home
from engine.settings import Settings
from ledger.model import JSON, Entry


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add this room's commands."""
    policy = commands.add_parser("policy").add_subparsers(required=True, metavar="COMMAND")
    words = {
        "check": "every mistake in rules and source, with file and line",
        "test": "the tests beside the rules",
        "build": "build a revision and keep it in the home's store",
        "list": "the revisions that were active, newest last",
    }
    runs = {"check": _check, "test": _test, "build": _build, "list": _list}
    for name, run in runs.items():
        parser = tenant(policy.add_parser(name, help=words[name]))
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(run=run)
    activate = tenant(
        policy.add_parser("activate", help="let a revision decide; without one, build what is configured")
    )
    activate.add_argument("revision", nargs="?")
    rollback = tenant(policy.add_parser("rollback", help="let the revision decide that was active before"))
    for parser, run in ((activate, _activate), (rollback, _rollback)):
        parser.add_argument("--reason", default="by hand", help="why, for the record")
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(run=run)


def _check(arguments: argparse.Namespace, settings: Settings) -> int:
    findings = check_configured(settings, find_opa(settings))
    if arguments.json:
        output.machine([f.described() for f in findings])
    for finding in findings:
        output.progress(str(finding))
    if not findings:
        output.progress("rules and source are in order")
    return output.NO if findings else output.YES


def _test(_: argparse.Namespace, settings: Settings) -> int:
    opa = find_opa(settings)
    capabilities = settings.policies / "capabilities.json"
    command = [
        str(opa.path),
        "test",
        "--timeout",
        "60s",
        "--capabilities",
        str(capabilities),
        str(settings.policies / "muster"),
    ]
    return output.YES if subprocess.run(command, check=False).returncode == 0 else output.NO


def _build(arguments: argparse.Namespace, settings: Settings) -> int:
    home, opa = Home(settings.home), find_opa(settings)
    if not home.exists():  # without a home there is no key to sign with: say so before the work
        home.check()
    built = build_and_store(settings, home, opa)
    if arguments.json:
        output.machine({"revision": built.revision})
    else:
        print(built.revision)
    return output.YES


def _list(arguments: argparse.Namespace, settings: Settings) -> int:
    listed: list[dict[str, JSON]] = [
        {"revision": str(e.value["revision"]), "entry": e.id, "index": e.index, "at": e.at}
        for e in _activations(settings, arguments.tenant)
    ]
    if arguments.json:
        output.machine({"activations": [*listed]})
    else:
        for a in listed:
            print(f"{a['at']}  {a['revision']}  entry {a['index']}")
    return output.YES


def _activate(arguments: argparse.Namespace, settings: Settings) -> int:
    home = Home(settings.home)
    home.check()
    revision = arguments.revision or build_and_store(settings, home, find_opa(settings)).revision
    return asyncio.run(_put_into_force(arguments, settings, revision))


def _rollback(arguments: argparse.Namespace, settings: Settings) -> int:
    trail: list[str] = []
    for entry in _activations(settings, arguments.tenant):
        revision = str(entry.value["revision"])
        if trail[-2:-1] == [revision]:
            trail.pop()  # a way back: the revision that was left does not come again
        elif trail[-1:] != [revision]:
            trail.append(revision)
    if len(trail) < 2:
        raise NotFound("there is no earlier revision to roll back to: activate one by its name (`muster policy list`)")
    return asyncio.run(_put_into_force(arguments, settings, trail[-2]))


async def _put_into_force(arguments: argparse.Namespace, settings: Settings, revision: str) -> int:
    async with connected(settings, arguments.tenant) as client:
        wanted = {"revision": revision, "reason": arguments.reason}
        answer = await send(client, "POST", "/v1/activations", dict(wanted))
    if answer.status != 200 or not isinstance(answer.body, dict):
        return output.refused(answer.status, answer.body)
    if arguments.json:
        output.machine(answer.body)
    else:
        print(f"revision {revision} decides from {answer.body['at']} on (entry {answer.body['index']})")
    return output.YES


def _activations(settings: Settings, tenant: str) -> Iterator[Entry]:
    with open_reader(settings, tenant) as reader:
        size = reader.head(tenant).size
        yield from (e for e in reader.entries(tenant, 0, size) if e.kind == "activation")
