"""Targets, methods and heads that two readers may understand differently: those of `muster gateway check`."""

from __future__ import annotations

from engine.gateways.check.targets import HEADS as HEADS
from engine.gateways.check.targets import METHODS as METHODS
from engine.gateways.check.targets import TARGETS as TARGETS
