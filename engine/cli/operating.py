"""Commands for those who run Muster: init, serve, status, opa, token."""

from __future__ import annotations

import argparse
import asyncio
from urllib.parse import quote

from engine.cli import output
from engine.cli.client import call, find_opa
from engine.home import Home, running
from engine.opa import binary
from engine.settings import DEFAULT_TENANT, MOST_WORKERS, Settings
from ledger.model import JSON

Subparsers = argparse._SubParsersAction  # the type has no public name


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add this room's commands."""
    init = commands.add_parser("init")
    _json(init).set_defaults(run=_init)

    serving = commands.add_parser("serve")
    serving.add_argument(
        "--demo",
        action="store_true",
        help="make the home if there is none, activate what is configured, leave tokens for a day in demo.env",
    )
    serving.add_argument(
        "--workers",
        type=_workers,
        metavar="N",
        help="processes that answer (default: MUSTER_WORKERS, else 1); with more than one the ledger has its own",
    )
    serving.set_defaults(run=_serve)

    _json(commands.add_parser("status")).set_defaults(run=_status)

    opa = commands.add_parser("opa").add_subparsers(required=True, metavar="COMMAND")
    for name, words in (
        ("path", "where it is"),
        ("version", "which it is"),
        ("install", "install it into the cache"),
    ):
        _json(opa.add_parser(name, help=words)).set_defaults(run=_opa, what=name)

    token = commands.add_parser("token").add_subparsers(required=True, metavar="COMMAND")
    create = _json(tenant(token.add_parser("create", help="issue a token; it is shown once")))
    create.add_argument("--role", required=True)
    create.add_argument("--principal", required=True, metavar="user:ID|system:NAME")
    create.add_argument("--expires", default="P1D", metavar="P1D", help="how long it lives (default: a day)")
    create.set_defaults(run=_token_create)
    _json(tenant(token.add_parser("list", help="all tokens, without their secrets"))).set_defaults(run=_token_list)
    revoke = _json(tenant(token.add_parser("revoke", help="revoke a token")))
    revoke.add_argument("id")
    revoke.set_defaults(run=_token_revoke)


def tenant(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add `--tenant`."""
    parser.add_argument("--tenant", default=DEFAULT_TENANT, help=f"whose log (default: {DEFAULT_TENANT})")
    return parser


def _json(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _init(arguments: argparse.Namespace, settings: Settings) -> int:
    from engine.cli.setup import make_home  # rules and sources: for this command alone

    token, revision = asyncio.run(make_home(settings, find_opa(settings)))
    if arguments.json:
        output.machine({"home": str(settings.home), "revision": revision, "token": token})
        return output.YES
    output.progress(f"made a home in {settings.home}, revision {revision[:12]} is active")
    output.progress("the first admin token, shown once and stored nowhere:")
    print(token)
    return output.YES


def _workers(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_WORKERS:
        return int(text)
    raise argparse.ArgumentTypeError(f"a whole number from 1 to {MOST_WORKERS}")


def _serve(arguments: argparse.Namespace, settings: Settings) -> int:
    from engine.cli.serve import serve  # the whole application: for this command alone

    return serve(settings, demo=arguments.demo, workers=arguments.workers)


def _status(arguments: argparse.Namespace, settings: Settings) -> int:
    home = Home(settings.home)
    home.check()
    service = running(home)
    if service is None:
        if arguments.json:
            output.machine({"running": False, "ready": False})
        output.progress(f"no service is running on {settings.home}: start one with `muster serve`")
        return output.UNAVAILABLE
    answer = call(settings, DEFAULT_TENANT, "GET", "/readyz")
    ready = answer.status == 200
    body = answer.body if isinstance(answer.body, dict) else {}
    detail, alarms = None if ready else body.get("detail"), body.get("alarms")
    for alarm in alarms if isinstance(alarms, list) else ():
        if isinstance(alarm, dict):
            output.progress(f"FORK ALARM: {alarm['reason']} (log of {alarm['tenant']}, witness {alarm['witness']})")
    if arguments.json:
        output.machine({"running": True, "pid": service.pid, "ready": ready, "missing": detail, "alarms": alarms})
    else:
        print(f"running (process {service.pid}), " + ("ready" if ready else f"not able to decide: {detail}"))
    if ready and alarms:
        return output.NO
    return output.YES if ready else output.UNAVAILABLE


def _opa(arguments: argparse.Namespace, settings: Settings) -> int:
    if arguments.what == "install":
        opa = binary.install(settings.cache, progress=output.progress)
    else:
        opa = find_opa(settings)
    if arguments.json:
        output.machine({"path": str(opa.path), "version": opa.version, "sha256": opa.sha256})
    else:
        print(opa.version if arguments.what == "version" else opa.path)
    return output.YES


def _token_create(arguments: argparse.Namespace, settings: Settings) -> int:
    wanted: JSON = {"role": arguments.role, "principal": arguments.principal, "expires": arguments.expires}
    answer = call(settings, arguments.tenant, "POST", "/v1/tokens", wanted)
    if answer.status != 200 or not isinstance(answer.body, dict):
        return output.refused(answer.status, answer.body)
    if arguments.json:
        output.machine(answer.body)
    else:
        output.progress(f"token {answer.body['id']} until {answer.body['expires_at']}, shown once:")
        print(answer.body["token"])
    return output.YES


def _token_list(arguments: argparse.Namespace, settings: Settings) -> int:
    answer = call(settings, arguments.tenant, "GET", "/v1/tokens")
    if answer.status != 200 or not isinstance(answer.body, dict):
        return output.refused(answer.status, answer.body)
    listed = answer.body["tokens"]
    if arguments.json:
        output.machine(answer.body)
        return output.YES
    for token in listed if isinstance(listed, list) else ():
        assert isinstance(token, dict)
        principal = token["principal"]
        assert isinstance(principal, dict)
        state = f"revoked {token['revoked_at']}" if "revoked_at" in token else f"until {token['expires_at']}"
        print(f"{token['id']}  {token['role']:<16} {principal['type']}:{principal['id']}  {state}")
    return output.YES


def _token_revoke(arguments: argparse.Namespace, settings: Settings) -> int:
    answer = call(settings, arguments.tenant, "DELETE", f"/v1/tokens/{quote(arguments.id, safe='')}")
    if answer.status != 200 or not isinstance(answer.body, dict):
        return output.refused(answer.status, answer.body)
    if arguments.json:
        output.machine(answer.body)
    else:
        print(f"revoked {arguments.id} at {answer.body['revoked_at']}")
    return output.YES
