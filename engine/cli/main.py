"""The command line: one parser, and what each command's failure is worth as an exit code.

Exit codes: 0 yes, or done; 1 a no (deny, mismatch, a failing check); 2 wrong usage or input; 3 could not decide or not
available.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence

import httpx

from engine.bundling.errors import BundlingError
from engine.cli import asking, audit, content, gateway, learning, ledger, operating, policy
from engine.cli.output import UNAVAILABLE, USAGE, progress
from engine.errors import BadRequest, Conflict, MusterError, NotFound, SetupError
from engine.home import Busy
from engine.opa.errors import OpaError
from engine.settings import Settings, load
from ledger.errors import LedgerError

Command = Callable[[argparse.Namespace, Settings], int]


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    root = argparse.ArgumentParser(
        prog="muster", description="May this person do this now? Gating from a training ledger."
    )
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    for room in (operating, asking, learning, policy, content, gateway, audit, ledger):
        room.add(commands)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    arguments = parser().parse_args(argv)
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
    except (UnicodeError, httpx.InvalidURL) as exc:
        progress(f"muster: an argument holds characters that cannot be sent: {exc}")
        return USAGE
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001 - our own mistake: the traceback is for us, and exit code 1 would be a "no"
        traceback.print_exc()
        return UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())
