"""What a replay finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that does not hold: which entry, which check, and what."""

    index: int
    id: str
    check: str
    detail: str
