"""Commands about learning: import prior learning, a link to My training, a badge, statements for a record store."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import quote

from engine.cli import output
from engine.cli.client import call, connected, send
from engine.cli.operating import Subparsers, tenant
from engine.errors import BadRequest, SetupError
from engine.home import Home, running
from engine.settings import Settings
from engine.training.imports import FIELDS, read_csv
from ledger.model import JSON

_CHUNK = 100
"""Rows of an import in one call: small enough to show progress, whole files are checked first."""


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add this room's commands."""
    learn = commands.add_parser("learn").add_subparsers(required=True, metavar="COMMAND")
    bring = tenant(learn.add_parser("import", help="bring in prior learning, one result or a file"))
    bring.add_argument("file", nargs="?", metavar="FILE", help=f"CSV with the columns {', '.join(FIELDS)}")
    for field in FIELDS:
        bring.add_argument(f"--{field.replace('_', '-')}")
    bring.add_argument("--json", action="store_true", help="print JSON")
    bring.set_defaults(run=lambda a, s: asyncio.run(_import(a, s)))

    link = tenant(learn.add_parser("link", help="a link to a person's My training, good once within a minute"))
    link.add_argument("user", metavar="USER")
    link.add_argument("--json", action="store_true", help="print JSON")
    link.set_defaults(run=_link)

    badge = tenant(learn.add_parser("badge", help="the badge of a certification, as a signed credential"))
    badge.add_argument("certification", metavar="CERTIFICATION_ID")
    badge.set_defaults(run=_badge)

    statements = tenant(learn.add_parser("statements", help="xAPI statements, one a line, in the order of the log"))
    statements.add_argument("--user", metavar="USER")
    statements.set_defaults(run=lambda a, s: asyncio.run(_statements(a, s)))


def _link(arguments: argparse.Namespace, settings: Settings) -> int:
    if running(Home(settings.home)) is None:
        raise SetupError("no service is running on this home, so a link would lead nowhere: `muster serve` first")
    answer = call(settings, arguments.tenant, "POST", "/v1/sessions", {"user": arguments.user})
    if answer.status != 200 or not isinstance(answer.body, dict):
        return output.refused(answer.status, answer.body)
    url = f"{settings.base_url}{answer.body['href']}"
    if arguments.json:
        output.machine({"url": url, "expires_at": answer.body["expires_at"]})
    else:
        print(url)
    return output.YES


def _badge(arguments: argparse.Namespace, settings: Settings) -> int:
    answer = call(settings, arguments.tenant, "GET", f"/v1/badges/{quote(arguments.certification, safe='')}")
    if answer.status != 200 or not isinstance(answer.body, str):
        return output.refused(answer.status, answer.body)
    print(answer.body)
    return output.YES


async def _statements(arguments: argparse.Namespace, settings: Settings) -> int:
    params: dict[str, str] = {"limit": "1000"}
    if arguments.user is not None:
        params["user"] = arguments.user
    async with connected(settings, arguments.tenant) as client:
        while True:
            answer = await send(client, "GET", "/v1/statements", None, params)
            if answer.status != 200 or not isinstance(answer.body, dict):
                return output.refused(answer.status, answer.body)
            found = answer.body["statements"]
            for statement in found if isinstance(found, list) else ():
                sys.stdout.write(json.dumps(statement, ensure_ascii=False) + "\n")
            if not answer.body["more"]:
                return output.YES
            params["start"] = str(answer.body["next"])


async def _import(arguments: argparse.Namespace, settings: Settings) -> int:
    rows = _rows(arguments)
    imported: list[JSON] = []
    path = "/v1/results/import"
    async with connected(settings, arguments.tenant) as client:
        answer = await send(client, "POST", path, {"results": [*rows]}, {"check": "true"})
        if answer.status != 200:
            return output.refused(answer.status, answer.body)
        for start in range(0, len(rows), _CHUNK):
            answer = await send(client, "POST", path, {"results": [*rows[start : start + _CHUNK]]})
            if answer.status != 200 or not isinstance(answer.body, dict):
                output.progress(f"{len(imported)} of {len(rows)} results were imported; send the file again to go on")
                return output.refused(answer.status, answer.body)
            done = answer.body["imported"]
            imported += done if isinstance(done, list) else []
            output.bar("imported", len(imported), len(rows))
    if arguments.json:
        output.machine({"imported": imported})
        return output.YES
    for result in imported:
        assert isinstance(result, dict)
        earned = result["certifications"]
        scopes = (
            ", ".join(f"{c['scope']} {c['tier']}" for c in earned if isinstance(c, dict))
            if isinstance(earned, list)
            else ""
        )
        words = "was imported before" if result["repeated"] else "imported"
        print(f"{result['user']}  {result['module']} {result['tier']}  {words}" + (f"  -> {scopes}" if scopes else ""))
    return output.YES


def _rows(arguments: argparse.Namespace) -> list[dict[str, JSON]]:
    given = {f: getattr(arguments, f) for f in FIELDS if getattr(arguments, f) is not None}
    if arguments.file is None:
        given.setdefault("provenance", "entered by hand")
        missing = [f"--{f.replace('_', '-')}" for f in FIELDS if f not in given]
        if missing:
            raise BadRequest(f"give a FILE, or all of these options: {', '.join(missing)}")
        return [dict(given)]
    if given:
        raise BadRequest("give a FILE or a single result's options, not both")
    path = Path(arguments.file)
    try:
        return read_csv(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise BadRequest(f"{path}: {exc}") from exc
    except BadRequest as exc:
        raise BadRequest(f"{path}: {exc}") from exc
