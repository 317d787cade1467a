"""A service for the whole session, and homes for tests that need one of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.opa.binary import OpaBinary
from tests.service.running import Service, copy_home, environment, make_home


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, opa_binary: OpaBinary) -> tuple[Path, str]:
    """A home just made, and its admin token; never started, only copied."""
    home = tmp_path_factory.mktemp("template") / "home"
    return home, make_home(environment(home, opa_binary.path))


@pytest.fixture(scope="session")
def new_service(
    template: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory, opa_binary: OpaBinary
) -> Iterator[Callable[[], Service]]:
    """Makes services that have not been started, each on a home of its own; all are stopped at the end."""
    made: list[Service] = []

    def make() -> Service:
        home = tmp_path_factory.mktemp("service") / "home"
        copy_home(template[0], home)
        made.append(Service(home=home, env=environment(home, opa_binary.path), tokens={"admin": template[1]}))
        return made[-1]

    yield make
    for service in made:
        service.stop()


@pytest.fixture(scope="session")
def service(new_service: Callable[[], Service]) -> Service:
    """A running service that tests share: each uses people of its own."""
    return new_service().start()
