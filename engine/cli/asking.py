"""Commands that ask: decide, certified, explain."""

from __future__ import annotations

import argparse
from pathlib import Path
from urllib.parse import quote

from engine.cli import output
from engine.cli.client import call
from engine.cli.operating import Subparsers, tenant
from engine.errors import BadRequest
from engine.settings import Settings
from ledger import strict
from ledger.errors import StrictError
from ledger.model import JSON


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add this room's commands."""
    decide = tenant(commands.add_parser("decide"))
    decide.add_argument("subject", metavar="SUBJECT")
    decide.add_argument("action", metavar="ACTION")
    decide.add_argument("--resource", default="none/none", metavar="TYPE/ID")
    decide.add_argument("--properties", metavar="JSON|@FILE", help="the resource's properties")
    decide.add_argument("--context", metavar="JSON|@FILE")
    decide.add_argument("--json", action="store_true", help="print JSON")
    decide.set_defaults(run=_decide)

    explain = tenant(commands.add_parser("explain"))
    explain.add_argument("decision_id", metavar="DECISION_ID")
    explain.add_argument("--json", action="store_true", help="print JSON")
    explain.set_defaults(run=_explain)

    certified = tenant(commands.add_parser("certified"))
    certified.add_argument("user", metavar="USER")
    certified.add_argument("scope", metavar="SCOPE")
    certified.add_argument("--tier", choices=("completed", "proficient", "certified"))
    certified.add_argument("--within", metavar="P12M")
    certified.add_argument("--json", action="store_true", help="print JSON")
    certified.set_defaults(run=_certified)


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
    if record["leans_on"] is not None:
        print(f"  answered by the lease of decision {record['leans_on']}")
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


def _document(option: str, text: str | None) -> JSON:
    if text is None:
        return {}
    try:
        data = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        return strict.read(data)
    except (OSError, StrictError) as exc:
        raise BadRequest(f"{option}: {exc}") from exc
