"""The service of `tests.service`, and learners who have a session."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from tests.learning.learner import Learner
from tests.service.conftest import new_service, service, template
from tests.service.running import Service

__all__ = ["new_service", "service", "template"]

_NUMBERS = itertools.count()


@pytest.fixture
def new_learner(service: Service) -> Callable[..., Learner]:
    """Makes learners, each a person of their own."""

    def make(name: str = "learner", where: Service = service, **directory: object) -> Learner:
        learner = Learner(where, f"{name}-{next(_NUMBERS)}")
        where.person(learner.user, **directory)
        learner.sign_in()
        return learner

    return make


@pytest.fixture
def learner(new_learner: Callable[..., Learner]) -> Learner:
    """One learner."""
    return new_learner()
