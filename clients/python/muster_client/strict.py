"""JSON as it has to be to be believed: one value, no member twice, nothing that is not JSON."""

from __future__ import annotations

import json
from typing import Any


class NotJSON(ValueError):
    """Not to be believed; says why."""


def table(data: bytes) -> dict[str, Any]:
    """The object that these bytes are; raises NotJSON."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_constant)
    except NotJSON:
        raise
    except (ValueError, RecursionError) as exc:
        raise NotJSON("it is not JSON") from exc
    if not isinstance(value, dict):
        raise NotJSON("it is not a JSON object")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotJSON("a member is there twice")
    return found


def _constant(text: str) -> Any:
    raise NotJSON(f"{text} is not JSON")
