"""The services of `tests.service`."""

from __future__ import annotations

from tests.service.conftest import new_service, template

__all__ = ["new_service", "template"]
