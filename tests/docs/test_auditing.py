"""The auditor's page is run: each command as it stands there, with the output that stands there."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.service.running import MUSTER, ROOT, Service

PAGE = ROOT / "docs" / "auditing.md"

# What differs from run to run, and is compared by its shape alone.
_SHAPES = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "INSTANT"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "HASH"),
    (re.compile(r"\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}"), "+KEY"),
    (re.compile(r"[A-Za-z0-9+/]{40,}={0,2}"), "BASE64"),
    (re.compile(r"archive-[0-9a-f]{16}"), "archive-NAME"),
    (re.compile(r"(?:/[\w.@-]+)+/"), "/.../"),
]


@dataclass(frozen=True, slots=True)
class Step:
    """A command of the page and what it prints, both streams as a terminal shows them."""

    command: str
    printed: str


def steps(text: str) -> Iterator[Step]:
    """The commands of a page, in order: lines of a block that begin with `$`, and what follows up to the next."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            while command.endswith("\\"):
                more, _, printed = printed.partition("\n")
                command = command[:-1].rstrip() + " " + more.strip()
            yield Step(command, printed)


def shaped(text: str) -> list[str]:
    """The lines of an output, with what differs from run to run replaced by its shape."""
    for pattern, shape in _SHAPES:
        text = pattern.sub(shape, text)
    return [line.rstrip() for line in text.strip().splitlines()]


@pytest.fixture(scope="module")
def world(new_service: Callable[[], Service], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """What the page begins with: a service with people, training and decisions; and an empty folder to work in."""
    return begin(new_service, tmp_path_factory.mktemp("auditor"))


def begin(new_service: Callable[[], Service], folder: Path) -> tuple[Path, dict[str, str]]:
    """Make the page's world; returns the folder and the environment of its commands."""
    service = new_service()
    service.env |= {"MUSTER_PUBLIC_URL": "https://muster.example", "MUSTER_CHECKPOINT_SECONDS": "3600"}
    service.start()
    for user in ("ada", "bob", "grace"):
        service.person(user)
    service.train("ada")
    decision = service.decide("ada")["decision_id"]
    service.decide("bob")
    path = f"{Path(MUSTER).parent}:{os.environ['PATH']}"
    return folder, {**service.env, "PATH": path, "DECISION": decision, "COLUMNS": "120"}


def test_every_command_of_the_page_prints_what_it_says(world: tuple[Path, dict[str, str]]) -> None:
    """In their order, in one shell's folder, on a home that was not there before."""
    folder, env = world
    told = list(steps(PAGE.read_text("utf-8")))
    assert len(told) > 10
    for step in told:
        done = subprocess.run(
            ["bash", "-c", step.command],
            cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert shaped(done.stdout) == shaped(step.printed), f"$ {step.command}\n{done.stdout}"


def test_the_page_names_each_ledger_command() -> None:
    """No command of the log is left out."""
    text = PAGE.read_text("utf-8")
    listed = subprocess.run([MUSTER, "ledger", "--help"], capture_output=True, text=True, check=True).stdout
    for command in re.findall(r"^    ([a-z-]+)(?= |$)", listed, re.MULTILINE):
        assert f"muster ledger {command}" in text, command
