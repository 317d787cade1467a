"""A leased decision put together with the one that it leans on: the record as if it had been evaluated itself.

Pure. It joins and does not judge: whether an entry may lean on another is what replay and the verifier check.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledger.model import JSON

FIELDS: Final = frozenset({"leans_on", "lease", "now", "caller", "request_id", "dropped"})
"""All that the payload of a leased decision has, see `record.leased_payload`; `via` where a gateway asked."""
VIA: Final = "via"


def is_leased(value: Mapping[str, JSON]) -> bool:
    """Whether the payload of a `decision` entry is a leased one: by this one field, whatever else it has."""
    return "leans_on" in value


def whole(leased: Mapping[str, JSON], first: Mapping[str, JSON]) -> dict[str, JSON]:
    """The record of a leased decision, from its payload and the payload of the decision that it leans on.

    The first's record, with the leased one's own instant in the input, its caller, request ID, dropped fields and
    `via`, and `leans_on` and `lease` besides. Of a first that is not there ({}) nothing comes but the instant.
    """
    asked = first.get("input")
    own = {name: leased.get(name) for name in FIELDS - {"now"}}
    if VIA in leased:
        own[VIA] = leased[VIA]
    shared = {name: value for name, value in first.items() if name != VIA}
    return {**shared, "input": {**(asked if isinstance(asked, dict) else {}), "now": leased.get("now")}, **own}
