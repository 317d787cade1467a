"""Compiles what a decision is made of where a wheel is built (`make wheel`). All else of the package: pyproject.toml.

These modules hold values and plain functions of them, nothing that waits. They are the same Python, checked by the same
mypy, and do the same where nobody has compiled them: in a checkout, where an edit has to count at once, and where there
is no mypy or no C compiler.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

from setuptools import setup

COMPILED = (
    "engine/decide/facts.py",
    "engine/decide/inputs.py",
    "engine/decide/joined.py",
    "engine/decide/leases.py",
    "engine/decide/questions.py",
    "engine/decide/record.py",
    "engine/decide/request.py",
    "engine/decide/shape.py",
    "engine/decide/stored.py",
    "engine/observing/stages.py",
    "engine/opa/answers.py",
    "ledger/cache.py",
    "ledger/canonical.py",
    "ledger/chance.py",
    "ledger/entry.py",
    "ledger/ids.py",
    "ledger/instants.py",
    "ledger/prepared.py",
    "ledger/strict.py",
)


def extensions() -> list[Any]:
    """What a C compiler is to make of them; nothing where it cannot, or is not to."""
    if "bdist_wheel" not in sys.argv:
        return []
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    try:
        from mypyc.build import mypycify
    except ImportError:
        print("muster: not compiled, since mypy is not installed here", file=sys.stderr)
        return []
    if shutil.which(compiler) is None or not Path(sysconfig.get_path("include"), "Python.h").exists():
        print(f"muster: not compiled, since there is no {compiler}, or no Python.h", file=sys.stderr)
        return []
    return mypycify([*COMPILED], opt_level="3", group_name="muster")


setup(ext_modules=extensions())
