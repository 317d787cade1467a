"""What the wheel compiles is compiled where these tests run on the wheel, and nowhere beside the source."""

from __future__ import annotations

import importlib
import sysconfig
from pathlib import Path

import pytest

import engine

ROOT = Path(__file__).parent.parent.parent
OF_SOURCE = Path(str(engine.__file__)).parent.parent == ROOT


def _compiled() -> tuple[str, ...]:
    """What setup.py lists, without running it."""
    listed = (ROOT / "setup.py").read_text().partition("COMPILED = (")[2].partition(")")[0]
    return tuple(line.strip(' ",') for line in listed.splitlines() if line.strip())


@pytest.mark.parametrize("file", _compiled())
def test_it_is_what_it_says(file: str) -> None:
    """Else an edit would not count, or the tests of the wheel would be those of the source once more."""
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    suffix = ".py" if OF_SOURCE else str(sysconfig.get_config_var("EXT_SUFFIX"))
    assert str(module.__file__).endswith(suffix)
