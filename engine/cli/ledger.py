"""Commands for the log: verify, checkpoint, prove, export, hand over a key, believe a clock.

Verifying and exporting read beside a running service; what signs or writes goes through it, or in process where none
runs.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from engine.cli import evidence, output, upkeep
from engine.cli.audit import open_reader
from engine.cli.client import call
from engine.cli.operating import Subparsers, tenant
from engine.errors import BadRequest, MusterError, NotFound
from engine.home import Home, running
from engine.publishing import tiles
from engine.publishing.alarms import standing
from engine.publishing.outside import Outside
from engine.settings import DEFAULT_TENANT, Settings
from ledger.errors import LedgerError
from ledger.model import JSON
from ledger.verifier import __main__ as offline
from ledger.verifier import reading
from ledger.verifier.errors import Invalid
from ledger.verifier.note import parse_key
from ledger.verify import Trust, verify


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add this room's commands."""
    ledger = commands.add_parser("ledger").add_subparsers(required=True, metavar="COMMAND")

    verifying = tenant(ledger.add_parser("verify", help="recompute the log from its raw entries, or check an export"))
    verifying.add_argument("path", nargs="?", type=Path, metavar="PATH", help="an evidence archive, or tlog-tiles")
    offline.add_options(verifying)
    verifying.set_defaults(run=_verify)

    _command(ledger, "checkpoint", "the newest signed checkpoint; made now, if the log has grown", _checkpoint)

    prove = _command(ledger, "prove", "a .tlog-proof that an entry is in the log, with its checkpoint", _prove)
    prove.add_argument("id", metavar="ID")
    prove.add_argument("--out", type=Path, metavar="FILE", help="write it there (default: stdout)")

    export = _command(ledger, "export", "the log, or evidence from it, for somebody else to check", _export)
    export.add_argument("--tiles", type=Path, metavar="DIR", help="the log as C2SP tlog-tiles; kept up if it is there")
    evidence.add_options(export)

    rotate = _command(ledger, "rotate-key", "hand over to a new log key, signed by the old one", _rotate)
    rotate.add_argument("--reason", required=True)
    rotate.add_argument("--new-key", type=Path, metavar="FILE", help="only where the key is configured (PEM)")

    erase = _command(ledger, "erase", "erase a person: payloads, salts and key; the tree stays whole", _erase)
    erase.add_argument("subject", metavar="SUBJECT", help="a user's ID")
    erase.add_argument("--reason", required=True, help="stays in the log, so it must not name the person")
    agreed = "who agreed: a token, user:ID or system:NAME; may be given twice"
    erase.add_argument("--approved-by", action="append", required=True, metavar="WHO", help=agreed)

    hold = _command(ledger, "hold", "a legal hold: nothing about the person is erased while it stands", _hold)
    hold.add_argument("subject", metavar="SUBJECT", help="a user's ID")
    hold.add_argument("--reason", required=True)
    hold.add_argument("--release", action="store_true", help="release it")

    _command(ledger, "witnesses", "who cosigns the log; 1 without a quorum, or while an alarm stands", _witnesses)

    clear = _command(ledger, "clear-alarm", "say that a witness's alarm of a fork is over; for admins", _clear_alarm)
    clear.add_argument("witness", metavar="WITNESS", help="the name of its key")
    clear.add_argument("--reason", required=True)

    upkeep.add(ledger)

    adjust = _command(ledger, "adjust-clock", "believe a clock that moved; takes two admins' tokens", _adjust_clock)
    adjust.add_argument("--token", action="append", required=True, metavar="TOKEN", help="give it twice, of two people")
    adjust.add_argument("--reason", required=True)

    for command in ledger.choices.values():  # every one, whichever room added it
        command.set_defaults(run=partial(_after_alarms, command.get_default("run")))


def _command(ledger: Subparsers[argparse.ArgumentParser], name: str, words: str, run: Any) -> argparse.ArgumentParser:
    parser = tenant(ledger.add_parser(name, help=words))
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def _after_alarms(run: Any, arguments: argparse.Namespace, settings: Settings) -> int:
    """Tell of every alarm that stands, then do what the command does; what cannot be read is for it to say."""
    try:
        with open_reader(settings, getattr(arguments, "tenant", DEFAULT_TENANT)) as reader:
            for name in reader.tenants():
                for alarm in standing(reader, name).values():
                    output.progress(str(alarm))
    except (MusterError, LedgerError, OSError, ValueError):
        pass
    return int(run(arguments, settings))


def _verify(arguments: argparse.Namespace, settings: Settings) -> int:
    try:
        if arguments.path is not None:
            return offline.tell(offline.check(arguments.path, arguments), as_json=arguments.json)
        trust = _trust(arguments, settings)
    except Invalid as exc:
        raise BadRequest(str(exc)) from exc
    with open_reader(settings, arguments.tenant, damaged=True) as reader:
        report = verify(reader, arguments.tenant, trust)
    return offline.tell(report, as_json=arguments.json)


def _trust(arguments: argparse.Namespace, settings: Settings) -> Trust:
    """Checkpoints that were kept elsewhere: given, and the one beside the database; and the witnesses."""
    home = Home(settings.home)
    outside = Outside(settings.log.outside or home.checkpoints).path(arguments.tenant)
    known = [(str(path), offline.read(path)) for path in arguments.since]
    unread: tuple[str, ...] = ()
    try:
        known.append((str(outside), reading.read(outside, reading.MOST_NOTE, follow=True)))
    except FileNotFoundError:
        pass
    except (Invalid, OSError) as exc:
        unread = (f"{outside}: {exc.strerror if isinstance(exc, OSError) else exc}",)
    quorum = arguments.witness_policy
    if len(arguments.key) > 1:
        raise BadRequest("--key: one, that of now: the log itself names the keys before it")
    return Trust(
        known=tuple(known),
        quorum=offline.read(quorum) if quorum is not None else None,
        key=offline.key(arguments.key[0]) if arguments.key else None,
        unread=unread,
        offline=running(home) is None,
        service=True,
    )


def _checkpoint(arguments: argparse.Namespace, settings: Settings) -> int:
    made = _made(arguments, settings)
    if isinstance(made, int):
        return made
    if arguments.json:
        output.machine(made)
    else:
        output.progress(f"verifier key: {made['vkey']}")
        print(made["note"], end="")
    return output.YES


def _made(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any] | int:
    """The newest checkpoint, over all that is committed; or the exit code of a refusal."""
    answer = call(settings, arguments.tenant, "POST", "/v1/ledger/checkpoint")
    if answer.status != 200 or not isinstance(answer.body, dict):
        return output.refused(answer.status, answer.body)
    return answer.body


def _prove(arguments: argparse.Namespace, settings: Settings) -> int:
    answer = call(
        settings, arguments.tenant, "GET", "/v1/ledger/proofs/inclusion", params={"id": arguments.id, "format": "json"}
    )
    if answer.status != 200 or not isinstance(answer.body, dict):
        return output.refused(answer.status, answer.body)
    text = str(answer.body["tlog_proof"])
    if arguments.out is not None:
        arguments.out.write_text(text, "utf-8")
        output.progress(f"entry {answer.body['index']} of {answer.body['size']}, proved in {arguments.out}")
    if arguments.json:
        output.machine(answer.body)
    elif arguments.out is None:
        print(text, end="")
    return output.YES


def _export(arguments: argparse.Namespace, settings: Settings) -> int:
    if (arguments.tiles is None) is not evidence.asked(arguments):
        raise BadRequest("--out DIR for an evidence archive, or --tiles DIR for the log as tiles: one of them")
    if arguments.tiles is None:
        return evidence.export(arguments, settings)
    made = _made(arguments, settings)
    if isinstance(made, int):
        return made
    with open_reader(settings, arguments.tenant) as reader:
        stored = reader.checkpoint(arguments.tenant, made["size"])
        if stored is None:
            raise NotFound("the checkpoint that was just made is gone: run `muster ledger verify`")
        done = tiles.export(
            reader,
            arguments.tenant,
            parse_key(str(made["vkey"])),
            stored,
            arguments.tiles,
            lambda written, total: output.bar("files written", written, total),
        )
    if arguments.json:
        output.machine({"size": done.size, "before": done.before, "files": done.files, "vkey": made["vkey"]})
    else:
        print(
            f"{done.size} entries in {arguments.tiles}, {done.files} files written ({done.before} entries were there)"
        )
        print(f"verifier key: {made['vkey']}")
    return output.YES


def _rotate(arguments: argparse.Namespace, settings: Settings) -> int:
    wanted: dict[str, JSON] = {"reason": arguments.reason}
    if arguments.new_key is not None:
        wanted["new_key"] = arguments.new_key.read_text("ascii")
    answer = call(settings, arguments.tenant, "POST", "/v1/ledger/key-rotation", wanted)
    if answer.status != 200 or not isinstance(answer.body, dict):
        return output.refused(answer.status, answer.body)
    if arguments.json:
        output.machine(answer.body)
    else:
        print(f"the log is signed by {answer.body['vkey']} from entry {answer.body['index']} on")
    return output.YES


def _erase(arguments: argparse.Namespace, settings: Settings) -> int:
    wanted: JSON = {"user": arguments.subject, "reason": arguments.reason, "approved_by": arguments.approved_by}
    answer = call(settings, arguments.tenant, "POST", "/v1/erasures", wanted)
    if answer.status != 200 or not isinstance(answer.body, dict):
        return output.refused(answer.status, answer.body)
    if arguments.json:
        output.machine(answer.body)
        return output.YES
    body: dict[str, Any] = answer.body
    print(f"{body['erased']} entries erased" + (", the database written anew" if body["rewritten"] else ""))
    for entry in body["entries"]:
        print(f"  recorded as entry {entry['index']} ({entry['id']})")
    for title, lines in (
        (
            "named in entries of others, which stay",
            [f"{m['index']} ({m['id']}), {m['kind']}" for m in body["mentions"]],
        ),
        ("made before, and may hold the person", [f"{c['copy']} {c['name']} of {c['at']}" for c in body["copies"]]),
        ("files of the home that name the person", body["files"]),
    ):
        if lines:
            print(f"{title}:")
        for line in lines:
            print(f"  {line}")
    return output.YES


def _hold(arguments: argparse.Namespace, settings: Settings) -> int:
    event = "released" if arguments.release else "placed"
    wanted: JSON = {"user": arguments.subject, "event": event, "reason": arguments.reason}
    answer = call(settings, arguments.tenant, "POST", "/v1/legal-holds", wanted)
    if answer.status != 200 or not isinstance(answer.body, dict):
        return output.refused(answer.status, answer.body)
    if arguments.json:
        output.machine(answer.body)
    else:
        print(f"{event}: entry {answer.body['index']} ({answer.body['hold_id']})")
    return output.YES


def _witnesses(arguments: argparse.Namespace, settings: Settings) -> int:
    answer = call(settings, arguments.tenant, "GET", "/v1/ledger/witnesses")
    if answer.status != 200 or not isinstance(answer.body, dict):
        return output.refused(answer.status, answer.body)
    told: dict[str, Any] = answer.body
    if arguments.json:
        output.machine(told)
    else:
        _tell_witnesses(told)
    return output.YES if told["satisfied"] is not False and not told["alarms"] else output.NO


def _tell_witnesses(told: dict[str, Any]) -> None:
    if told["quorum"] is None:
        print("no policy is configured (MUSTER_WITNESS_POLICY), so nobody cosigns the log")
        return
    rows = [("WITNESS", "COSIGNED", "WHEN", "STATE")]
    for each in told["witnesses"]:
        state = "FORK ALARM" if each["alarm"] else each["error"] or ("up to date" if each["url"] else "is not asked")
        rows.append((each["name"], str(each["size"]), each["at"] or "never", state))
    wide = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, wide, strict=False)), row[3]]))
    newest = "satisfied" if told["satisfied"] else f"not satisfied (newest that is: {told['satisfied_size'] or 'none'})"
    print(f"checkpoint of {told['size']} entries, quorum {told['quorum']}: {newest}")


def _clear_alarm(arguments: argparse.Namespace, settings: Settings) -> int:
    path = f"/v1/ledger/alarms/{quote(arguments.witness, safe='')}/clearance"
    answer = call(settings, arguments.tenant, "POST", path, {"reason": arguments.reason})
    if answer.status != 200 or not isinstance(answer.body, dict):
        return output.refused(answer.status, answer.body)
    if arguments.json:
        output.machine(answer.body)
    else:
        print(f"the alarm of {arguments.witness} is cleared at {answer.body['at']} (entry {answer.body['index']})")
    return output.YES


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
