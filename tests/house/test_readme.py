"""The README tells the truth: what it names is there, and what is there is named."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from engine import settings
from engine.cli.main import parser

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")


def test_every_setting_is_in_the_reference() -> None:
    """Each `MUSTER_*` that is honoured stands in the README, and none besides; what is refused stands elsewhere."""
    honoured = {f"MUSTER_{k.upper()}" for k in settings.KEYS if k not in settings.NOT_YET} | {
        "MUSTER_HOME",
        "MUSTER_TOKEN",
    }
    named = set(re.findall(r"`(MUSTER_[A-Z_]+)`", README))
    assert named == honoured
    assert {f"MUSTER_{k.upper()}" for k in settings.NOT_YET} <= set(re.findall(r"`(MUSTER_[A-Z_]+)`", ARCHITECTURE))


def test_every_make_target_is_there() -> None:
    """`make X` of the README is a target."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"^    make ([\w-]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


COMMANDS = sorted({c.strip() for c in re.findall(r"^    (muster [^#\n]+)", README, re.MULTILINE)})


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_readme_parses(command: str) -> None:
    """As it stands there."""
    assert parser().parse_args(shlex.split(command)[1:]).run


def test_every_room_of_the_architecture_is_there() -> None:
    """Files and folders that the page names exist."""
    names = re.findall(r"`((?:engine|ledger|policies|bundles)/[a-z_/.-]+)`", ARCHITECTURE)
    assert len(names) > 10
    for name in names:
        assert (ROOT / name).exists(), name
