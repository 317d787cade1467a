"""A service for the whole session, and homes for tests that need one of their own."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.opa.binary import OpaBinary
from tests.service.running import Service, copy_home, environment, make_home


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, opa_binary: OpaBinary) -> tuple[Path, str]:
    """A home just made, and its admin token; never started, only copied. One for all rooms and processes of a run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "template"
    token = folder / "token"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not token.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            token.write_text(make_home(environment(folder / "home", opa_binary.path)))
    return folder / "home", token.read_text()


@contextmanager
def services(
    template: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory, opa: Path
) -> Iterator[Callable[[], Service]]:
    """Makes services that have not been started, each on a home of its own; all are stopped at the end."""
    made: list[Service] = []

    def make() -> Service:
        home = tmp_path_factory.mktemp("service") / "home"
        copy_home(template[0], home)
        made.append(Service(home=home, env=environment(home, opa), tokens={"admin": template[1]}))
        return made[-1]

    try:
        yield make
    finally:
        for service in made:
            service.stop()


@pytest.fixture(scope="module")
def new_service(
    template: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory, opa_binary: OpaBinary
) -> Iterator[Callable[[], Service]]:
    """See `services`: what the tests of a file have started takes memory from no other file."""
    with services(template, tmp_path_factory, opa_binary.path) as make:
        yield make


@pytest.fixture(scope="session")
def service(
    template: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory, opa_binary: OpaBinary
) -> Iterator[Service]:
    """A running service that tests share: each uses people of its own."""
    with services(template, tmp_path_factory, opa_binary.path) as make:
        yield make().start()
