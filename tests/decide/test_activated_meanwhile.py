"""Another revision becomes active while a request is decided, and the first one again before its record is written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.access.caller import Caller, Principal
from engine.decide.asking import Asking, Lend, Outdated
from engine.decide.decider import Decider
from engine.decide.leases import Lease
from engine.decide.questions import Question
from engine.decide.record import GATE
from engine.errors import BadRequest
from engine.runtime import Active
from ledger.model import JSON, Append, Person, Receipt

NOW = "2026-11-26T12:00:00.000Z"
ALLOW: dict[str, JSON] = {"verdict": "allow", "allow": True, "valid_until": None}
CALLER = Caller(tenant="default", role="gateway", principal=Principal(type="system", id="edge"), token_id=None)


class _Runtime:
    """`kept` is the revision whose gate lets its answers be kept; whoever asks OPA finds `meanwhile` active after."""

    def __init__(self, *, now: str, meanwhile: str, kept: str) -> None:
        self.revision, self._meanwhile, self._kept = now, meanwhile, kept
        self.reader = self.opa = SimpleNamespace(version="1", sha256="0")
        self.appended: list[Append] = []

    def watch(self, *_: object) -> None:
        """Nobody tells."""

    def now(self, _: str) -> str:
        """Always the same."""
        return NOW

    def active(self, _: str) -> Active:
        """What decides now."""
        gate = SimpleNamespace(lent=self.revision == self._kept)
        catalogue = SimpleNamespace(gate=lambda _: gate)
        evaluator = SimpleNamespace(decide=self._evaluated)
        return Active(
            revision=self.revision, capabilities="0", catalogue=cast(Any, catalogue), evaluator=cast(Any, evaluator)
        )

    async def permit(self, _: Caller) -> str:
        """By the policy of what is active, and then another is."""
        judged, self.revision = self.revision, self._meanwhile
        return judged

    async def _evaluated(self, *_: object, **__: object) -> JSON:
        self.revision = self._meanwhile
        return ALLOW

    async def append(self, append: Append) -> tuple[Receipt, ...]:
        """The first revision is active again, so it is recorded."""
        self.appended.append(append)
        return (Receipt(id=append.drafts[0].id, index=0, at=NOW, duplicate=False),)


def _asking(**more: Any) -> Asking:
    lend = Lend(most_ms=5000, until_ms=None)
    return Asking(caller=CALLER, again=lambda: CALLER, request_id="1", via={"gateway": "edge"}, lend=lend, **more)


async def _evaluated(decider: Decider, runtime: _Runtime) -> object:
    question = Question(
        active=runtime.active("default"),
        entrypoint=GATE,
        body=b"{}",
        now=NOW,
        reads=(),
        checked=(),
        about=Person("user", "ada"),
        action="act",
        check=lambda answer: cast("dict[str, JSON]", answer),
    )
    return await decider._evaluated(question, _asking())


async def _leased(decider: Decider, runtime: _Runtime) -> object:
    lease = Lease(
        key="k",
        tenant="default",
        revision=runtime.revision,
        first="1",
        since=NOW,
        until=None,
        reads=(),
        about=Person("user", "ada"),
        action="act",
        result=ALLOW,
        rendered=b"",
        owner="edge",
    )
    return await decider.again(lease, (), _asking(permit=runtime.permit))


@pytest.mark.within
@pytest.mark.parametrize("answer", [_evaluated, _leased])
@pytest.mark.parametrize(("kept", "lent"), [("a", "2026-11-26T12:00:05.000Z"), ("b", None)])
def test_an_answer_is_kept_as_its_own_revision_says(
    answer: Callable[[Decider, _Runtime], Awaitable[object]], kept: str, lent: str | None
) -> None:
    """Not as the one says that was active when its record was made."""
    runtime = _Runtime(now="a", meanwhile="b", kept=kept)
    assert asyncio.run(_in_loop(answer, runtime)) is not None
    [append] = runtime.appended
    assert (append.revision, runtime.revision) == ("a", "b")
    via = cast("dict[str, JSON]", append.drafts[0].payload["via"])
    assert via.get("lent_until") == lent


async def _in_loop(answer: Callable[[Decider, _Runtime], Awaitable[object]], runtime: _Runtime) -> object:
    return await answer(Decider(cast(Any, runtime)), runtime)


def test_what_is_wrong_with_an_ask_no_other_revision_says() -> None:
    """Than that by which it was read: what the gate of another one would refuse is read anew."""

    def refuse() -> Question:
        raise BadRequest("by a gate of another revision")

    async def run() -> None:
        await Decider(cast(Any, _Runtime(now="b", meanwhile="b", kept="")))._answer(refuse, _asking(read_by="a"))

    with pytest.raises(Outdated):
        asyncio.run(run())
