"""An issuer as a source pins it, and claims of a token that it would issue."""

from __future__ import annotations

from typing import Any

from engine.access import issuers
from engine.access.issuers import ALGORITHMS, Issuer

ISSUER = "https://login.example.com/realms/company"
NOW = 1_790_000_000_000
"""An instant of 2026, in milliseconds since 1970."""


def pinned(called: str = "company", /, **more: Any) -> Issuer:
    """An issuer that takes every algorithm, with the longest leeway."""
    said: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": ["muster", "https://api.example.com"],
        "algorithms": sorted(ALGORITHMS),
        "subject": {"type": "user", "claim": "sub"},
    }
    return issuers.read(called, said | more)


def claims(**more: Any) -> dict[str, Any]:
    """Claims of a good token, issued a minute ago for an hour; one that is given as `...` is left out."""
    said = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": "muster",
        "iat": NOW // 1000 - 60,
        "exp": NOW // 1000 + 3600,
        "jti": "t-1",
        **more,
    }
    return {name: value for name, value in said.items() if value is not ...}
