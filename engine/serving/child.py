"""One life of a process of ours: started, told what it needs, heard, ended. It dies when its parent dies.

The kernel's signal for that comes when the *thread* that started it ends (see `engine.opa.launcher`): it must be
started from the main thread's event loop.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from engine.errors import SetupError
from engine.home import Busy
from engine.opa import launcher
from engine.serving.given import Given
from engine.settings import inherited

_LONGEST_ANSWER = 65_536


class Child:
    """A process that runs. `ended` is set once it is dead and reaped; `heard` is how often it gave a sign of life."""

    def __init__(self, name: str, module: str, given: Given, keeps: Sequence[int], environment: dict[str, str]) -> None:
        self.name = name
        self.ended = asyncio.Event()
        self.heard = 0
        self.why: str | None = None
        """Why it cannot go on, by its own word."""
        self._loop = asyncio.get_running_loop()
        self.began = self._loop.time()
        self._answer: asyncio.Future[None] = self._loop.create_future()
        self._said = b""
        self._process = subprocess.Popen(
            # -P: of this Muster, and not of one that happens to lie in the folder where it is started.
            [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=inherited(**environment),
            pass_fds=keeps,
            start_new_session=True,  # Ctrl-C is for the parent, which ends the others in their order
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(given.line())  # a pipe holds more than that: nothing waits
        self._process.stdin.close()
        self._out = self._process.stdout
        self._pidfd = os.pidfd_open(self._process.pid)
        os.set_blocking(self._out.fileno(), False)
        self._loop.add_reader(self._out.fileno(), self._heard)
        self._loop.add_reader(self._pidfd, self._reap)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def how(self) -> str:
        """How it ended, and why, if it said so."""
        status = self._process.returncode
        how = f"killed by signal {-status}" if status is not None and status < 0 else f"exit status {status}"
        return how if self.why is None else f"{how}: {self.why}"

    @property
    def works(self) -> bool:
        """Whether it has said that it is ready, and has not ended."""
        return self._answer.done() and self._answer.exception() is None and not self.ended.is_set()

    async def ready(self) -> None:
        """Return once it does its work; raises SetupError, or Busy, with its own sentence, where it cannot."""
        await asyncio.shield(self._answer)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if not self.ended.is_set():
            signal.pidfd_send_signal(self._pidfd, number)

    async def stop(self, seconds: float) -> None:
        """End it: politely, and after so long by force."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.ended.wait()

    def _heard(self) -> None:
        try:
            chunk = os.read(self._out.fileno(), _LONGEST_ANSWER)
        except BlockingIOError:
            return
        if not chunk:
            self._loop.remove_reader(self._out.fileno())
            return
        self.heard += 1
        *lines, rest = (self._said + chunk).split(b"\n")
        self._said = rest[:_LONGEST_ANSWER]
        for line in filter(None, lines):
            self._take(line)

    def _take(self, line: bytes) -> None:
        """It says that it is ready, or why it is not, or not any more. What else is printed there is not for us."""
        try:
            answer = json.loads(line)
        except ValueError:
            return
        ready, refused = (answer.get("ready"), answer.get("refused")) if isinstance(answer, dict) else (None, None)
        if refused is not None:
            self.why = str(refused)
        if self._answer.done():
            return
        if ready:
            self._answer.set_result(None)
        elif self.why is not None:
            self._refuse((Busy if answer.get("busy") else SetupError)(self.why))

    def _reap(self) -> None:
        self._process.wait()  # does not wait: the pidfd says that it has ended
        self._loop.remove_reader(self._pidfd)
        self._heard()
        self._loop.remove_reader(self._out.fileno())
        self._out.close()
        os.close(self._pidfd)
        if not self._answer.done():
            self._refuse(SetupError(f"the {self.name} ended before it was ready ({self.how})"))
        self.ended.set()

    def _refuse(self, why: SetupError) -> None:
        self._answer.set_exception(why)
        self._answer.exception()  # whoever does not ask for it need not be warned of it
