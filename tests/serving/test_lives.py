"""Processes of a service that end soon after their start, again and again: more slowly, and not for ever."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from engine.serving.lives import LASTING_SECONDS, TRIES, Lives
from tests.service.running import Service, until

STARTER = """
import sys
from engine.cli.main import main
from engine.serving import parent
parent._WORKER = "halved"
sys.exit(main(["serve", "--workers", "2"]))
"""
HALVED = """
import sys
from engine.serving import behind, given, worker
told = given.take()
given.take = lambda: told
if told.index in {broken}:
    behind._MODULE = "engine.api.nowhere"
sys.exit(worker.main())
"""


def started(service: Service, folder: Path, broken: set[int]) -> subprocess.Popen[str]:
    """A service of two workers, of whom some can never load the application behind the decisions."""
    (folder / "starter.py").write_text(STARTER)
    (folder / "halved.py").write_text(HALVED.format(broken=broken))
    path = os.pathsep.join(filter(None, (str(folder), service.env.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "starter.py"],
        env=service.env | {"PYTHONPATH": path},
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


def live(lives: Lives, name: str, seconds: float) -> None:
    """One life, whole."""
    lives.began(name, 0)
    lives.ended(name, seconds)


def test_the_next_one_is_started_more_and_more_slowly() -> None:
    """At once at first; then after a tenth of a second, and twice as long each time, up to five; each for itself."""
    lives, pauses = Lives(["a", "b"]), []
    for _ in range(10):
        live(lives, "a", LASTING_SECONDS - 0.01)
        pauses.append(lives.pause("a"))
    assert pauses == [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5]
    assert lives.pause("b") == 0
    live(lives, "a", LASTING_SECONDS)
    assert lives.pause("a") == 0
    for _ in range(5000):
        live(lives, "a", 0)
    assert lives.pause("a") == 5


def test_it_is_hopeless_only_where_none_has_ever_lasted() -> None:
    """One of them may end as often as it likes while another lives, or once any has lasted."""
    lives = Lives(["a", "b"])
    for _ in range(2 * TRIES):
        live(lives, "a", 1)
    for _ in range(TRIES - 1):
        live(lives, "b", 1)
    assert not lives.hopeless(1)
    live(lives, "b", 1)
    assert lives.hopeless(1)
    lives = Lives(["a", "b"])
    live(lives, "a", LASTING_SECONDS)
    for name in ("a", "b"):
        for _ in range(2 * TRIES):
            live(lives, name, 1)
    assert not lives.hopeless(1)


def test_while_one_may_be_serving_the_service_does_not_end() -> None:
    """One that has lived longer than those that ended has come further than they have."""
    lives = Lives(["a", "b"])
    for _ in range(TRIES):
        live(lives, "a", 2)
        live(lives, "b", 1)
    lives.began("a", 100)
    assert lives.hopeless(102)
    assert not lives.hopeless(102.1)
    lives.ended("a", 105)
    lives.began("b", 106)
    assert lives.hopeless(110)


def test_where_none_can_be_whole_the_service_ends(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """Not at the first try; with the exit status of what is not available, and a sentence about who failed how."""
    process = started(new_service(), tmp_path, {0, 1})
    try:
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 3
    last = said.strip().splitlines()[-1]
    assert re.fullmatch(
        rf"muster: the worker [01] ended {TRIES} times in a row soon after it was started, and no other lasted: "
        "exit status 3: it could not load all of itself; its log says why",
        last,
    ), said
    assert "No module named 'engine.api.nowhere'" in said
    for worker in (0, 1):
        tries = re.findall(rf"the worker {worker} ended \(.*\): another is started in ([0-9.]+) s", said)
        assert tries[: TRIES - 1] == ["0", "0.1", "0.2", "0.4"], said


def test_while_one_serves_the_other_is_tried_again(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """Longer than a service without any would live; whoever reaches the whole one is answered."""
    service = new_service()
    process = started(service, tmp_path, {1})
    assert process.stderr is not None
    try:
        service.url = next(found[0] for line in process.stderr if (found := re.findall(r"http://[0-9.:]+", line)))
        tries = (line for line in process.stderr if "worker 1 ended (exit status 3: it could not load" in line)
        for _ in range(TRIES + 1):
            next(tries)

        def answered() -> bool:
            try:
                return service.http("GET", "/v1/gates", role="admin").status_code == 200
            except httpx.TransportError:
                return False

        until(answered, "the whole one answers")
        assert process.poll() is None
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_no_other_muster_is_started(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """Than the one that starts: not one that lies where it is started."""
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "__init__.py").write_text("raise SystemExit('of the wrong folder')")
    command = [str(Path(sys.executable).with_name("muster")), "serve", "--workers", "2"]
    process = subprocess.Popen(command, env=new_service().env, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        assert any("listening" in line for line in process.stderr)
    finally:
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert "wrong folder" not in said
