"""What the wheel compiles is compiled where these tests run on the wheel, and nowhere beside the source."""

from __future__ import annotations

import ast
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


@pytest.mark.parametrize("file", _compiled())
def test_nothing_is_awaited_where_an_exception_is_handled(file: str) -> None:
    """A compiled coroutine shares the exception that is being handled with whoever runs while it waits (mypyc 2.4).

    A bare `raise` behind that raises another task's, or none, and what it was is kept for ever.
    """
    found = [
        f"{file}:{waiting.lineno}"
        for tried in ast.walk(ast.parse((ROOT / file).read_text()))
        if isinstance(tried, ast.Try)
        for part in [*(line for handler in tried.handlers for line in handler.body), *tried.finalbody]
        for waiting in ast.walk(part)
        if isinstance(waiting, (ast.Await, ast.AsyncWith, ast.AsyncFor, ast.Yield, ast.YieldFrom))
    ]
    assert found == []


_ENDS_AT_ONCE = {"asyncio.timeout", "asyncio.timeout_at", "self._request"}


@pytest.mark.parametrize("file", _compiled())
def test_what_is_held_while_waiting_is_given_back_without_waiting(file: str) -> None:
    """The same holds for the end of an `async with` whose body has failed."""
    held = [
        ast.unparse(item.context_expr.func if isinstance(item.context_expr, ast.Call) else item.context_expr)
        for each in ast.walk(ast.parse((ROOT / file).read_text()))
        if isinstance(each, ast.AsyncWith)
        for item in each.items
    ]
    assert set(held) <= _ENDS_AT_ONCE
