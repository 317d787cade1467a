"""The application behind a gateway: the one that `muster gateway check` puts there."""

from __future__ import annotations

from engine.gateways.check.backend import Backend as Backend
from engine.gateways.check.backend import Seen as Seen
