"""Compiles the way of a decision where a wheel is built (`make wheel`). All else of the package: pyproject.toml.

Only what each decision goes through is listed, and not the writer, whose thread mostly waits for the disk. It is the
same Python, checked by the same mypy, and does the same where nobody has compiled it: in a checkout, where an edit has
to count at once, and where there is no mypy or no C compiler. `make test` runs the tests of these rooms both ways.

One thing is not the same, and a test forbids it: where an exception is being handled, nothing is awaited. Compiled,
the coroutine would find another task's exception in the place of its own when it goes on.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

from setuptools import setup

COMPILED = (
    "engine/access/caller.py",
    "engine/access/gate.py",
    "engine/access/tokens.py",
    "engine/api/deciding.py",
    "engine/api/envelope.py",
    "engine/api/hot.py",
    "engine/api/limits.py",
    "engine/api/refusal.py",
    "engine/decide/asking.py",
    "engine/decide/company.py",
    "engine/decide/decider.py",
    "engine/decide/facts.py",
    "engine/decide/inputs.py",
    "engine/decide/joined.py",
    "engine/decide/leases.py",
    "engine/decide/questions.py",
    "engine/decide/record.py",
    "engine/decide/request.py",
    "engine/decide/shape.py",
    "engine/decide/stored.py",
    "engine/observing/families.py",
    "engine/observing/metrics.py",
    "engine/observing/stages.py",
    "engine/opa/answers.py",
    "engine/opa/batch.py",
    "engine/opa/client.py",
    "engine/opa/evaluator.py",
    "engine/opa/wire.py",
    "engine/serving/arriving.py",
    "engine/serving/cycle.py",
    "engine/serving/http.py",
    "engine/serving/shedding.py",
    "ledger/cache.py",
    "ledger/canonical.py",
    "ledger/chance.py",
    "ledger/entry.py",
    "ledger/ids.py",
    "ledger/instants.py",
    "ledger/overdue.py",
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
