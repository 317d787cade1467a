"""Whether a request would rather have a page than a document: `Accept` by its weights (RFC 9110 section 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_WEIGHT: Final = re.compile(rb"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
_DOCUMENTS: Final = (b"application/json", b"application/problem+json")


def prefers_html(accept: Sequence[bytes]) -> bool:
    """Whether a page is wanted more than any document that a program reads: a browser's header says so, `*/*` does not.

    `accept`: the values of all such headers. What is no media range, or has no weight that can be read, counts nothing.
    """
    ranges: dict[bytes, float] = {}
    for part in b",".join(accept).split(b","):
        kind, *parameters = (word.strip().lower() for word in part.split(b";"))
        ranges[kind] = max(ranges.get(kind, 0.0), _weight(parameters))
    return _of(ranges, b"text/html") > max(_of(ranges, kind) for kind in _DOCUMENTS)


def _weight(parameters: Sequence[bytes]) -> float:
    given = [value.strip() for name, _, value in (each.partition(b"=") for each in parameters) if name.strip() == b"q"]
    if not given:
        return 1.0
    return float(given[0]) if len(given) == 1 and _WEIGHT.fullmatch(given[0]) else 0.0


def _of(ranges: dict[bytes, float], kind: bytes) -> float:
    """The weight of a media type: by the range that names it most exactly, 0 where none does."""
    for wanted in (kind, kind.partition(b"/")[0] + b"/*", b"*/*"):
        if wanted in ranges:
            return ranges[wanted]
    return 0.0
