"""The command line: which room has which command, and what each command's failure is worth as an exit code.

Only the room of the command that runs is loaded: all of them would take most of a second.

Exit codes: 0 yes, or done; 1 a no (deny, mismatch, a failing check); 2 wrong usage or input; 3 could not decide or not
available.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final

from engine.bundling.errors import BundlingError
from engine.cli.output import UNAVAILABLE, USAGE, progress
from engine.errors import BadRequest, Conflict, MusterError, NotFound, SetupError
from engine.home import Busy
from engine.opa.errors import OpaError
from engine.settings import Settings, load
from ledger.errors import LedgerError

if TYPE_CHECKING:
    from engine.cli.operating import Subparsers

Command = Callable[[argparse.Namespace, Settings], int]

COMMANDS: Final = {
    "init": ("operating", "make a home: keys, the first revision, the first admin token"),
    "serve": ("operating", "run the service in the foreground"),
    "status": ("operating", "is a service running, and can it decide?"),
    "opa": ("operating", "the OPA that Muster uses"),
    "token": ("operating", "tokens for callers"),
    "decide": ("asking", "may this person do this now? (recorded)"),
    "explain": ("asking", "why a decision was what it was"),
    "certified": ("asking", "is this person certified for a scope? (recorded)"),
    "learn": ("learning", "training results"),
    "policy": ("policy", "rules and revisions"),
    "content": ("content", "lessons, quizzes, scenarios"),
    "gateway": ("gateway", "gateways that ask Muster"),
    "replay": ("audit", "give every decision again, byte for byte"),
    "ledger": ("ledger", "the log"),
}
"""Every command, in the order of `--help`: its room, and what is said of it there."""


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """The options of one command, and of its room's others; without one, of all commands."""
    root, commands = _root()
    rooms = (room for name, (room, _) in COMMANDS.items() if command in (None, name))
    for room in dict.fromkeys(rooms):
        import_module(f"engine.cli.{room}").add(commands)
    return root


def _overview() -> argparse.ArgumentParser:
    """Every command with what is said of it, for `--help` and for what is none of them."""
    root, commands = _root()
    for name, (_, words) in COMMANDS.items():
        commands.add_parser(name, help=words)
    return root


def _root() -> tuple[argparse.ArgumentParser, Subparsers[argparse.ArgumentParser]]:
    root = argparse.ArgumentParser(
        prog="muster", description="May this person do this now? Gating from a training ledger."
    )
    return root, root.add_subparsers(required=True, metavar="COMMAND")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    given = sys.argv[1:] if argv is None else argv
    name = next((word for word in given if not word.startswith("-")), "")
    arguments = (parser(name) if name in COMMANDS else _overview()).parse_args(given)
    command: Command = arguments.run
    try:
        return command(arguments, load())
    except (Busy, OpaError, LedgerError) as exc:
        progress(f"muster: {exc}")
        return UNAVAILABLE
    except (SetupError, BadRequest, NotFound, Conflict, BundlingError) as exc:
        progress(f"muster: {exc}")
        return USAGE
    except MusterError as exc:
        progress(f"muster: {exc}")
        return UNAVAILABLE
    except BrokenPipeError:  # whoever read our output has gone; nothing more may be written, at the exit neither
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNAVAILABLE
    except OSError as exc:
        progress(f"muster: {exc.filename or 'system'}: {exc.strerror or exc}")
        return UNAVAILABLE
    except UnicodeError as exc:
        progress(f"muster: an argument holds characters that cannot be sent: {exc}")
        return USAGE
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001 - our own mistake: the traceback is for us, and exit code 1 would be a "no"
        traceback.print_exc()
        return UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())
