"""What a process of a service is given by its parent, as one line of JSON on its standard input; and what it answers.

The settings are given as they were read by the parent: a process that is started again has the same as all others. It
answers with one line on its standard output: that it is ready, or why it is not. Besides it writes an empty line
there every few seconds for as long as its event loop turns.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from engine import settings
from engine.settings import Settings

BEAT_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """`index` says which worker it is; `folder` is its own, `socket` the ledger's. `listeners` are descriptors: of a
    worker the public one, the operator's, and the gateways'; `certificate` is one too (-1: there is no TLS)."""

    home: str
    values: dict[str, str]
    opa: str
    index: int
    folder: str
    socket: str
    listeners: list[int]
    certificate: int = -1

    @property
    def settings(self) -> Settings:
        return settings.of(Path(self.home), self.values)

    def line(self) -> bytes:
        """As it is given."""
        return json.dumps(asdict(self)).encode() + b"\n"


def take() -> Given:
    """What this process was given; it also says where warnings go."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    return Given(**json.loads(sys.stdin.buffer.readline()))


def ready() -> None:
    """Tell the parent that this process does its work from now on."""
    _answer({"ready": True})


async def beat() -> None:
    """Tell the parent, for ever, that the loop turns."""
    out = sys.stdout.fileno()
    os.set_blocking(out, False)
    while True:
        with suppress(BlockingIOError):  # the parent does not read: that is no reason to stop
            os.write(out, b"\n")
        await asyncio.sleep(BEAT_SECONDS)


def refuse(sentence: str, *, busy: bool) -> int:
    """Tell the parent why this process cannot; `busy` where it may be able to later. Returns its exit status."""
    _answer({"refused": sentence, "busy": busy})
    return 3


def _answer(value: dict[str, object]) -> None:
    sys.stdout.buffer.write(json.dumps(value).encode() + b"\n")
    sys.stdout.buffer.flush()
