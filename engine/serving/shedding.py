"""Load shedding: who asks for a decision while there is no room for it is refused by the head of the request alone.

A refusal costs a fifth of what a leased decision costs, and what refusals take is missing in what is answered: a crowd
that asks again at once, whatever `Retry-After` says, would take all of it. So a connection that was refused is not read
for a moment, and of all that wait so only as many are read again as may be refused for a tenth of the processor.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from uvicorn.protocols.http.flow_control import FlowControl

from engine.api.limits import Admission
from engine.api.refusal import Refusal

REFUSED_A_SECOND: Final = 5_000
_TICK_SECONDS: Final = 0.02


class Shedding:
    """Of one worker."""

    def __init__(self, admission: Admission, refusal: Callable[[bytes, bytes], Refusal | None]) -> None:
        """`refusal` of (method, target): None for whoever asks for no decision."""
        self.refusal = refusal
        self._admission = admission
        self._resting: deque[FlowControl] = deque()
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
        self._resting.append(flow)
        if len(self._resting) == 1:
            loop = asyncio.get_running_loop()
            self._looked = loop.time()
            loop.call_later(_TICK_SECONDS, self._look)

    def _look(self) -> None:
        """Read some of them again, who has waited for longest first; all, once hardly anybody is refused."""
        loop, resting = asyncio.get_running_loop(), self._resting
        now = loop.time()
        many = max(1, round((now - self._looked) * REFUSED_A_SECOND)) if self._admission.crowded else len(resting)
        self._looked = now
        for _ in range(min(many, len(resting))):
            resting.popleft().resume_reading()
        if resting:
            loop.call_later(_TICK_SECONDS, self._look)
