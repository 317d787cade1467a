"""Commands for those who write content: check, preview."""

from __future__ import annotations

import argparse

from engine.bundling import gates
from engine.bundling.errors import Finding
from engine.cli import output
from engine.cli.client import find_opa
from engine.cli.operating import Subparsers
from engine.cli.preview import find, serve
from engine.cli.setup import configured
from engine.content import editorial, site
from engine.content.check import contents
from engine.content.preview import page
from engine.errors import SetupError
from engine.serving import listening
from engine.settings import Settings, TcpListen, parse_listen
from ledger.model import JSON


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add this room's commands."""
    content = commands.add_parser("content").add_subparsers(required=True, metavar="COMMAND")
    check = content.add_parser("check", help="every mistake in the content, with file, line and what to do")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(run=_check)

    shown = content.add_parser("preview", help="show a module: as learner, as reviewer with keys, as plain text")
    shown.add_argument("module", metavar="MODULE")
    shown.add_argument("--as", dest="audience", choices=("learner", "reviewer", "text"), help="print it, serve nothing")
    shown.add_argument("--locale", help="in which language (with --as)")
    shown.add_argument("--listen", default="127.0.0.1:8081", metavar="HOST:PORT")
    shown.set_defaults(run=_preview)


def _check(arguments: argparse.Namespace, settings: Settings) -> int:
    source = configured(settings)
    metadata = gates.inspect(settings.policies.resolve(), find_opa(settings), None if source.findings else source.data)
    findings: list[Finding] = sorted(
        {*source.findings, *editorial.check(source), *site.check(source, _codes(metadata.data))}
    )
    if arguments.json:
        output.machine([f.described() for f in findings])
    for finding in findings:
        output.progress(str(finding))
    found = [c for c in contents(source).values() if not c.empty]
    if not findings:
        for content in found:
            for line in editorial.needs(content):
                output.progress(line)
        output.progress(f"{len(found)} modules are in order")
    return output.NO if findings else output.YES


def _preview(arguments: argparse.Namespace, settings: Settings) -> int:
    if arguments.audience is not None:
        print(page(find(configured(settings), arguments.module), arguments.locale, arguments.audience), end="")
        return output.YES
    try:
        where = parse_listen(arguments.listen)
    except ValueError as exc:
        raise SetupError(f"--listen: {exc}") from exc
    if not isinstance(where, TcpListen):
        raise SetupError("--listen: a browser needs HOST:PORT")
    if not listening.resolved(where).inside:
        raise SetupError(
            "--listen: a preview shows answer keys to whoever comes: it stays on this machine, such as 127.0.0.1:8081"
        )
    return serve(settings, arguments.module, where.host, where.port)


def _codes(metadata: dict[str, JSON]) -> dict[str, list[str]]:
    """The requirement codes of each gate, and those that all gates have."""
    listed = metadata.get("gates")
    tables = {**listed} if isinstance(listed, dict) else {}
    asked = {action: gate["requirements"] for action, gate in tables.items() if isinstance(gate, dict)}
    asked[site.COMMON] = metadata.get("common", [])
    return {
        action: [str(r["code"]) for r in requirements if isinstance(r, dict)]
        for action, requirements in asked.items()
        if isinstance(requirements, list)
    }
