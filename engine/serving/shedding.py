"""Load shedding: who asks for a decision while there is no room for it is refused by the head of the request alone.

A refusal costs a fifth of what a leased decision costs, and what refusals take is missing in what is answered: a crowd
that asks again at once, whatever `Retry-After` says, would take all of it. So a connection that was refused is not read
for a moment, and of all that wait so only as many are read again as may be refused for a tenth of the processor.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from uvicorn.protocols.http.flow_control import FlowControl

from engine.api.limits import Admission
from engine.api.refusal import Refusal

REFUSED_A_SECOND: Final = 5_000
_TICK_SECONDS: Final = 0.02


class Shedding:
    """Of one listener of a worker: whom one of them keeps waiting waits for nobody of another."""

    def __init__(self, admission: Admission, refusal: Callable[[bytes, bytes], Refusal | None]) -> None:
        """`refusal` of (method, target): None for whoever asks for no decision."""
        self.refusal = refusal
        self._admission = admission
        self._resting: dict[FlowControl, int] = {}
        """In the order of their first refusal, how often each was refused since."""
        self._looks = False
        self._looked = 0.0

    def full(self) -> bool:
        """Whether there is no room: then the request is refused."""
        return self._admission.full()

    def begun(self) -> None:
        """A request is taken."""
        self._admission.in_hand += 1

    def ended(self) -> None:
        """Its answer begins. A client that does not take it holds up nobody."""
        self._admission.in_hand -= 1

    def rest(self, flow: FlowControl) -> None:
        """Do not read a connection that was just refused, for a moment: its client was told to wait for a second."""
        flow.pause_reading()
        self._resting[flow] = self._resting.get(flow, 0) + 1
        if not self._looks:
            self._looked = asyncio.get_running_loop().time()
            self._look_later()

    def gone(self, flow: FlowControl) -> None:
        """A connection has ended."""
        self._resting.pop(flow, None)

    def _look_later(self) -> None:
        self._looks = True
        asyncio.get_running_loop().call_later(_TICK_SECONDS, self._look)

    def _look(self) -> None:
        """Read some of them again, who has waited for longest first; all, once there is no crowd any more."""
        self._looks = False
        resting, now = self._resting, asyncio.get_running_loop().time()
        self._admission.waiting(len(resting))
        left = (now - self._looked) * REFUSED_A_SECOND if self._admission.crowded else math.inf
        self._looked = now
        while resting and left > 0:
            flow = next(iter(resting))
            left -= resting.pop(flow)
            flow.resume_reading()
        if resting:
            self._look_later()
