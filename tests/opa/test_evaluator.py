"""The evaluator with the real OPA: answers, isolation of items, and what counts as no answer."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from engine.opa.binary import OpaBinary
from engine.opa.canary import CANARY_PATH, CANARY_REGO
from engine.opa.errors import CouldNotDecide, OpaStartError
from engine.opa.evaluator import Evaluator
from ledger.canonical import JSON, encode
from tests.opa.conftest import GATE, Bundle, Keys
from tests.opa.waiting import processor_seconds, until

SLOW: JSON = [str(n) for n in range(20_000)]


def ask(evaluator: Evaluator, caller: str = "gateway", /, action: str = "act", **fields: JSON) -> Awaitable[JSON]:
    """Ask the toy gate."""
    return evaluator.decide(encode(fields), caller=caller, action=action)


async def outcome(asked: Awaitable[JSON]) -> JSON:
    """The answer, or the cause of there being none."""
    try:
        return await asked
    except CouldNotDecide as exc:
        return exc.cause


def run(evaluator: Evaluator, work: Callable[[], Awaitable[None]]) -> None:
    """Run a test's body while the evaluator serves."""

    async def main() -> None:
        async with evaluator:
            await work()

    asyncio.run(main())


def test_answers_are_those_of_the_entrypoint(evaluator: Evaluator) -> None:
    """`evaluate` and `decide` both give the rule's value for the bytes that were sent."""

    async def work() -> None:
        assert evaluator.ready
        assert await evaluator.evaluate("muster/gate/decision", b'{"key":"\xc3\xa9"}') == {"echo": "é"}
        assert await ask(evaluator, key="k") == {"echo": "k"}

    run(evaluator, work)


def test_batches_never_mix_items(evaluator: Evaluator) -> None:
    """Under random load from many askers, each gets the answer to its own question and to no other."""
    chance = random.Random(7)

    async def asker(number: int) -> None:
        for turn in range(60):
            key, kind = f"{number}-{turn}", chance.random()
            if kind < 0.02:
                assert await outcome(ask(evaluator, f"c{number}", key=key, number="none")) == "opa-error"
            elif kind < 0.1:
                assert await outcome(ask(evaluator, f"c{number}", key=key, absent=True)) == "undefined"
            elif kind < 0.3:
                assert await outcome(ask(evaluator, f"c{number}", key=key, number="12")) == {"echo": key, "number": 12}
            else:
                assert await outcome(ask(evaluator, f"c{number}", key=key)) == {"echo": key}

    async def work() -> None:
        await asyncio.gather(*(asker(n) for n in range(40)))
        assert evaluator.counts.batches > 0
        assert evaluator.counts.batched > evaluator.counts.batches

    run(evaluator, work)


@pytest.mark.parametrize(
    ("poison", "cause"),
    [
        ({"number": "none"}, "opa-error"),
        ({"conflict": True}, "opa-error"),
        ({"fraction": True}, "bad-shape"),
        ({"list": SLOW}, "timeout"),
        ({"absent": True}, "undefined"),
    ],
    ids=["builtin-error", "conflict", "float", "slow", "undefined"],
)
def test_a_poisonous_item_fails_alone(evaluator: Evaluator, poison: dict[str, JSON], cause: str) -> None:
    """Whatever an item does to its batch, the others in it are answered, and only its own caller is blamed."""

    async def work() -> None:
        asked = [outcome(ask(evaluator, f"caller-{n}", key=str(n))) for n in range(16)]
        asked.insert(9, outcome(evaluator.decide(encode({"key": "v", **poison}), caller="villain", action="act")))
        got = await asyncio.gather(*asked)
        assert got.pop(9) == cause
        assert got == [{"echo": str(n)} for n in range(16)]
        blamed = {} if cause == "undefined" else {"villain": 1}
        assert dict(evaluator.counts.failed_alone) == blamed

    run(evaluator, work)


def test_what_failed_alone_is_quarantined(evaluator: Evaluator) -> None:
    """After one failure, the next poison of that caller and action breaks nobody's batch."""

    async def work() -> None:
        assert await outcome(ask(evaluator, "villain", key="v", number="none")) == "opa-error"
        broken = evaluator.counts.broken_batches
        for _ in range(5):
            asked = [outcome(ask(evaluator, f"caller-{n}", key=str(n))) for n in range(16)]
            asked.insert(9, outcome(ask(evaluator, "villain", key="v", number="none")))
            got = await asyncio.gather(*asked)
            assert got.pop(9) == "opa-error"
            assert got == [{"echo": str(n)} for n in range(16)]
        assert evaluator.counts.broken_batches == broken
        assert await ask(evaluator, "villain", key="good") == {"echo": "good"}

    run(evaluator, work)


@pytest.mark.alone
def test_the_deadline_ends_the_evaluation_in_opa(evaluator: Evaluator) -> None:
    """At the deadline the connection is closed, and OPA stops using its processor."""

    async def work() -> None:
        pid = evaluator.pid
        assert pid is not None
        slow = encode({"key": "k", "list": SLOW})
        began = time.monotonic()
        with pytest.raises(CouldNotDecide, match="timeout"):
            await evaluator.evaluate("muster/gate/decision", slow, deadline=0.2)
        assert time.monotonic() - began < 1.0
        used = [processor_seconds(pid)]

        def idle() -> bool:
            used.append(processor_seconds(pid))
            return len(used) > 40 and used[-1] == used[-40]  # for 0.2 s

        await until(idle, seconds=3.0)

    run(evaluator, work)


@pytest.mark.alone
def test_kill_of_opa_under_load(evaluator: Evaluator) -> None:
    """While OPA is away there is no answer, never a wrong one; it answers again within two seconds."""
    causes: set[str] = set()
    answered = 0
    stop = asyncio.Event()

    async def asker(number: int) -> None:
        nonlocal answered
        turn = 0
        while not stop.is_set():
            turn += 1
            key = f"{number}-{turn}"
            got = await outcome(ask(evaluator, key=key))
            if isinstance(got, str):
                causes.add(got)
                await asyncio.sleep(0.001)
            else:
                assert got == {"echo": key}
                answered += 1

    async def work() -> None:
        askers = [asyncio.create_task(asker(n)) for n in range(24)]
        for kill in range(1, 4):
            before = answered
            await until(lambda seen=before: answered > seen + 100)  # type: ignore[misc]
            pid = evaluator.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda: not evaluator.ready)
            before = answered
            seconds = await until(lambda seen=before: answered > seen)  # type: ignore[misc]
            assert seconds < 2.0
            assert evaluator.restarts == kill
            assert evaluator.pid != pid
        stop.set()
        await asyncio.gather(*askers)
        assert causes <= {"opa-down"}

    run(evaluator, work)


@pytest.mark.alone
def test_without_opa_the_answer_is_quick(evaluator: Evaluator, opa_binary: OpaBinary, tmp_path: Path) -> None:
    """When OPA cannot be started again, every question fails at once and says why, and readiness is gone."""
    program = tmp_path / "opa"
    program.symlink_to(opa_binary.path)
    served = OpaBinary(path=program, version=opa_binary.version, sha256=opa_binary.sha256)
    evaluator = Evaluator(
        served,
        evaluator._served.bundle,
        evaluator.revision,
        verification_key=evaluator._served.verification_key,
    )

    async def work() -> None:
        program.unlink()
        assert evaluator.pid is not None
        os.kill(evaluator.pid, signal.SIGKILL)
        await until(lambda: not evaluator.ready)
        began = time.monotonic()
        for _ in range(50):
            assert await outcome(ask(evaluator, key="k")) == "opa-down"
            assert await outcome(evaluator.evaluate("muster/gate/decision", b"{}")) == "opa-down"
        assert time.monotonic() - began < 0.5
        program.symlink_to(opa_binary.path)
        await until(lambda: evaluator.ready)
        assert await ask(evaluator, key="k") == {"echo": "k"}

    run(evaluator, work)


def test_what_waits_is_told_when_the_evaluator_stops(evaluator: Evaluator) -> None:
    """Stopping answers everybody who still waits with `opa-down`."""

    async def main() -> None:
        await evaluator.start()
        asked = [asyncio.create_task(outcome(ask(evaluator, key="k", list=SLOW))) for _ in range(5)]
        await until(lambda: evaluator.counts.alone > 0)
        await evaluator.stop()
        await evaluator.stop()
        assert await asyncio.gather(*asked) == ["opa-down"] * 5
        assert await outcome(ask(evaluator, key="k")) == "opa-down"

    asyncio.run(main())


def test_a_huge_body_is_not_asked(evaluator: Evaluator) -> None:
    """An input up to the limit is answered, one beyond it is an error."""

    async def work() -> None:
        for size, expected in ((900_000, {"echo": "x" * 900_000}), (1_100_000, "opa-error")):
            body = b'{"key":"' + b"x" * size + b'"}'
            assert await outcome(evaluator.evaluate("muster/gate/decision", body)) == expected

    run(evaluator, work)


@pytest.mark.parametrize("lacking", ["canary", "revision", "signature", "gate"])
def test_a_bundle_that_is_not_right_does_not_start(
    lacking: str,
    opa_binary: OpaBinary,
    toy: Bundle,
    new_bundle: Callable[..., Bundle],
    new_keys: Callable[[], Keys],
    tmp_path: Path,
) -> None:
    """No canary, another revision, another signer, a broken archive: each stops the start and says why."""
    bundle, revision, key = toy.path, toy.revision, toy.keys.public
    if lacking == "canary":
        plain = new_bundle({"muster/gate/gate.rego": GATE})
        bundle, key, said = plain.path, plain.keys.public, "canary: undefined"
    elif lacking == "revision":
        revision, said = "2" * 64, "wrong-revision"
    elif lacking == "signature":
        key, said = new_keys().public, "exit status"
    else:
        bundle, said = tmp_path / "bundle.tar.gz", "exit status"
        bundle.write_bytes(toy.path.read_bytes()[:-200])

    async def main() -> None:
        evaluator = Evaluator(opa_binary, bundle, revision, verification_key=key)
        with pytest.raises(OpaStartError, match=said):
            await evaluator.start()
        assert not evaluator.ready

    asyncio.run(main())


def test_a_canary_that_is_not_strict_does_not_start(opa_binary: OpaBinary, new_bundle: Callable[..., Bundle]) -> None:
    """A canary whose error rule gives a value, as it would with lax builtins, stops the start."""
    lax = CANARY_REGO.replace("to_number(input.text)", "input.text")
    bundle = new_bundle({CANARY_PATH: lax, "muster/gate/gate.rego": GATE})

    async def main() -> None:
        with pytest.raises(OpaStartError, match="a builtin error was answered"):
            await Evaluator(opa_binary, bundle.path, bundle.revision, verification_key=bundle.keys.public).start()

    asyncio.run(main())


def test_answers_of_a_replaced_bundle_are_not_believed(
    opa_binary: OpaBinary, new_bundle: Callable[..., Bundle]
) -> None:
    """When OPA comes back with another revision under the same key, it is not let near a question."""
    files = {CANARY_PATH: CANARY_REGO, "muster/gate/gate.rego": GATE}
    bundle, other = new_bundle(files), new_bundle(files, "2" * 64)
    evaluator = Evaluator(opa_binary, bundle.path, bundle.revision, verification_key=bundle.keys.public)

    async def work() -> None:
        bundle.path.write_bytes(other.path.read_bytes())
        bundle.keys.public.write_bytes(other.keys.public.read_bytes())
        assert evaluator.pid is not None
        os.kill(evaluator.pid, signal.SIGKILL)
        with pytest.raises(CouldNotDecide, match=r"opa-down.*wrong-revision"):
            await _failure(evaluator)

    run(evaluator, work)


async def _failure(evaluator: Evaluator) -> None:
    """Ask until the evaluator says why OPA does not serve."""
    while True:
        try:
            await ask(evaluator, key="k")
        except CouldNotDecide as exc:
            if "canary" in exc.detail:
                raise
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("name", ["", "muster", "muster/gate/nothing", "muster/../policies", "a/b?x=y", "a/b\r\nX: y"])
def test_an_entrypoint_that_is_none_is_undefined(name: str, evaluator: Evaluator) -> None:
    """An unknown name, or one that would be another request, is undefined."""

    async def work() -> None:
        assert await outcome(evaluator.evaluate(name, b"{}")) == "undefined"

    run(evaluator, work)


def test_opas_errors_do_not_quote_the_input(evaluator: Evaluator) -> None:
    """What is said about an error names code and place, not the person's data that OPA's message quotes."""

    async def work() -> None:
        body = json.dumps({"key": "k", "number": "Ada Lovelace"}).encode()
        with pytest.raises(CouldNotDecide) as caught:
            await evaluator.evaluate("muster/gate/decision", body)
        assert "eval_builtin_error at /muster/gate/gate.rego" in caught.value.detail
        assert "Ada" not in str(caught.value)

    run(evaluator, work)
