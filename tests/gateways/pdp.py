"""The stand-in for Muster that `muster gateway check` uses, and what Muster says that the check has no need of."""

from __future__ import annotations

from typing import Final

from engine.gateways.check.pdp import ALLOW as ALLOW
from engine.gateways.check.pdp import BARE as BARE
from engine.gateways.check.pdp import DENY as DENY
from engine.gateways.check.pdp import REMEDY as REMEDY
from engine.gateways.check.pdp import UNDECIDED as UNDECIDED
from engine.gateways.check.pdp import UNKNOWN as UNKNOWN
from engine.gateways.check.pdp import How as How
from engine.gateways.check.pdp import HttpPdp as HttpPdp
from engine.gateways.check.pdp import Plan as Plan
from engine.gateways.check.pdp import problem as problem
from engine.gateways.check.pdp import refused as refused

REDIRECT: Final = refused(303, "scope_expired", "Your certification has ended", Location=REMEDY)
REDIRECT_NGINX: Final = refused(403, "scope_expired", "Your certification has ended", Location=REMEDY)
"""nginx cannot pass a 3xx of an ask: it is told 403 with a Location."""
