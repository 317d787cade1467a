"""The certification fixture as a running service, one whose gate breaks, and those of `tests.service`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.opa.binary import OpaBinary
from tests.adapters.authzen.asking import EXAMPLE, HTTP, PUBLIC
from tests.service.conftest import new_service, service, template
from tests.service.running import Service, environment, make_home

__all__ = ["new_service", "service", "template"]

CRASH = """\
# METADATA
# title: Breaks
# description: asks for a number, and is an error where a text is none
# custom:
#   action: crash
#   policy_id: POL-RECORDS
#   runbook_id: RB-RECORDS
#   mode: enforce
#   inputs:
#     context.number: {source: asserted, schema: {type: string, maxLength: 64}}
#   requirements:
#     - code: is-one
#       title: One
#       message: The number has to be one.
#       remedy: {kind: text, text: Send 1.}
package muster.gates.crash

met contains "is-one" if to_number(input.context.number) == 1
"""


@pytest.fixture(scope="session", autouse=True)
def connections() -> Iterator[None]:
    """They are given back at the end."""
    yield
    HTTP.close()


@pytest.fixture(scope="session")
def certified(tmp_path_factory: pytest.TempPathFactory, opa_binary: OpaBinary) -> Iterator[Service]:
    """`examples/authzen` as it is shipped, behind a public address."""
    yield from _served(tmp_path_factory, opa_binary, EXAMPLE / "policies", EXAMPLE / "bundle")


@pytest.fixture(scope="session")
def breaking(tmp_path_factory: pytest.TempPathFactory, opa_binary: OpaBinary) -> Iterator[Service]:
    """The fixture with one more action, `crash`, whose gate is an error where `context.number` is no number.

    Its source lists a record whose status is no text, and 300 things.
    """
    root = tmp_path_factory.mktemp("breaking")
    for part in ("policies", "bundle"):
        shutil.copytree(EXAMPLE / part, root / part)
    gate = root / "policies" / "muster" / "gates" / "crash" / "crash.rego"
    gate.parent.mkdir()
    gate.write_text(CRASH)
    with (root / "bundle" / "actions.yaml").open("a") as file:
        file.write("crash: {title: Break, risk: medium}\n")
    with (root / "bundle" / "entities.yaml").open("a") as file:
        file.write("  record-3: {status: [active]}\n")
        file.write("thing:\n" + "".join(f"  thing-{i:03}: {{}}\n" for i in range(300)))
    yield from _served(tmp_path_factory, opa_binary, root / "policies", root / "bundle")


def _served(make: pytest.TempPathFactory, opa: OpaBinary, policies: Path, bundle: Path) -> Iterator[Service]:
    home = make.mktemp("authzen") / "home"
    env = environment(
        home, opa.path, MUSTER_POLICIES=str(policies), MUSTER_BUNDLE=str(bundle), MUSTER_PUBLIC_URL=PUBLIC
    )
    served = Service(home=home, env=env, tokens={"admin": make_home(env)}).start()
    yield served
    served.stop()
