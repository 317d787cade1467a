"""Commands that ask: decide, certified, explain; and `learn import`, which brings prior learning in."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from urllib.parse import quote

from engine.cli import output
from engine.cli.client import call, connected, send
from engine.cli.operating import Subparsers, tenant
from engine.errors import BadRequest
from engine.settings import Settings
from engine.training.imports import FIELDS, read_csv
from ledger import strict
from ledger.errors import StrictError
from ledger.model import JSON

_CHUNK = 100
"""Rows of an import in one call: small enough to show progress, whole files are checked first."""


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add this room's commands."""
    decide = tenant(commands.add_parser("decide", help="may this person do this now? (recorded)"))
    decide.add_argument("subject", metavar="SUBJECT")
    decide.add_argument("action", metavar="ACTION")
    decide.add_argument("--resource", default="none/none", metavar="TYPE/ID")
    decide.add_argument("--properties", metavar="JSON|@FILE", help="the resource's properties")
    decide.add_argument("--context", metavar="JSON|@FILE")
    decide.add_argument("--json", action="store_true", help="print JSON")
    decide.set_defaults(run=_decide)

    explain = tenant(commands.add_parser("explain", help="why a decision was what it was"))
    explain.add_argument("decision_id", metavar="DECISION_ID")
    explain.add_argument("--json", action="store_true", help="print JSON")
    explain.set_defaults(run=_explain)

    certified = tenant(commands.add_parser("certified", help="is this person certified for a scope? (recorded)"))
    certified.add_argument("user", metavar="USER")
    certified.add_argument("scope", metavar="SCOPE")
    certified.add_argument("--tier", choices=("completed", "proficient", "certified"))
    certified.add_argument("--within", metavar="P12M")
    certified.add_argument("--json", action="store_true", help="print JSON")
    certified.set_defaults(run=_certified)

    learn = commands.add_parser("learn", help="training results").add_subparsers(required=True, metavar="COMMAND")
    bring = tenant(learn.add_parser("import", help="bring in prior learning, one result or a file"))
    bring.add_argument("file", nargs="?", metavar="FILE", help=f"CSV with the columns {', '.join(FIELDS)}")
    for field in FIELDS:
        bring.add_argument(f"--{field.replace('_', '-')}")
    bring.add_argument("--json", action="store_true", help="print JSON")
    bring.set_defaults(run=lambda a, s: asyncio.run(_import(a, s)))


def _decide(arguments: argparse.Namespace, settings: Settings) -> int:
    kind, _, identifier = arguments.resource.partition("/")
    request: JSON = {
        "subject": {"type": "user", "id": arguments.subject},
        "action": {"name": arguments.action},
        "resource": {
            "type": kind,
            "id": identifier,
            "properties": _document("--properties", arguments.properties),
        },
        "context": _document("--context", arguments.context),
    }
    answer = call(settings, arguments.tenant, "POST", "/v1/decisions", request)
    if answer.status != 200 or not isinstance(answer.body, dict):
        return output.refused(answer.status, answer.body)
    if arguments.json:
        output.machine(answer.body)
    else:
        _tell(answer.body)
    return output.YES if answer.body["allow"] else output.NO


def _explain(arguments: argparse.Namespace, settings: Settings) -> int:
    answer = call(settings, arguments.tenant, "GET", f"/v1/decisions/{quote(arguments.decision_id, safe='')}")
    if answer.status != 200 or not isinstance(answer.body, dict):
        return output.refused(answer.status, answer.body)
    record = answer.body
    if arguments.json:
        output.machine(record)
        return output.YES
    print(f"decision {record['decision_id']}, entry {record['index']}, recorded at {record['at']}")
    print(f"  revision  {record['revision']}")
    print(f"  asked     {record['request']}")
    print(f"  by        {record['caller']}")
    result = record["answer"]
    if isinstance(result, dict) and "verdict" in result:
        _tell({**result, "decision_id": record["decision_id"]})
    else:
        print(f"  answer    {result if result is not None else record['undecided']}")
    print(f"  facts     {record['facts']}")
    return output.YES


def _tell(answer: dict[str, JSON]) -> None:
    shadowed = "  (shadow mode: the rules say deny)" if answer["allow"] and answer["verdict"] == "deny" else ""
    words = "ALLOW" if answer["allow"] else "DENY"
    print(f"{words}{shadowed}  {answer['gate'] or 'unknown action'}  ({answer['decision_id']})")
    denials, evidence = answer["denials"], answer["evidence"]
    for denial in denials if isinstance(denials, list) else ():
        assert isinstance(denial, dict)
        print(f"  - {denial['title']} [{denial['code']}]: {denial['message']}")
        print(f"    asked: {_words(denial['requirement'])}; what helps: {_words(denial['remedy'])}")
    for entry in evidence if isinstance(evidence, list) else ():
        print(f"  evidence {entry}")
    if answer["valid_until"] is not None:
        print(f"  holds until {answer['valid_until']}, facts unchanged")


def _words(value: JSON) -> str:
    """A small object as a line for people."""
    if not isinstance(value, dict):
        return str(value)
    return str(value["text"]) if "text" in value else ", ".join(f"{k} {v}" for k, v in sorted(value.items()))


def _certified(arguments: argparse.Namespace, settings: Settings) -> int:
    params = {"user": arguments.user, "scope": arguments.scope}
    params |= {k: v for k in ("tier", "within") if (v := getattr(arguments, k)) is not None}
    answer = call(settings, arguments.tenant, "GET", "/v1/is-certified", params=params)
    if answer.status != 200 or not isinstance(answer.body, dict):
        return output.refused(answer.status, answer.body)
    if arguments.json:
        output.machine(answer.body)
    else:
        words = "certified" if answer.body["certified"] else "not certified"
        print(f"{words}: {answer.body['scope']} {answer.body['tier']}, status {answer.body['status']}")
        if answer.body["expires_at"] is not None:
            print(f"  expires at {answer.body['expires_at']}, {answer.body['remaining_days']} days remain")
    return output.YES if answer.body["certified"] else output.NO


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


def _document(option: str, text: str | None) -> JSON:
    if text is None:
        return {}
    try:
        data = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        return strict.read(data)
    except (OSError, StrictError) as exc:
        raise BadRequest(f"{option}: {exc}") from exc
