"""Canonical JSON (RFC 8785) as a verifier needs it: written again to be compared, and read only where it is canonical.

Refuses what the log's format does: numbers of 2^53 and beyond however they are spelled, NaN and infinities, lone
surrogates, more than 128 levels, and bytes in any other spelling than the one of their value.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson
import rfc8785

from .errors import Invalid

_MOST: Final = 2**53 - 1
_LEVELS: Final = 128
_OPTIONS: Final = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_FLOATS: Final = tuple(re.compile(before + rb"-?[0-9]+[.eE]") for before in (rb'":', rb"\[", rb","))
"""Where a number that is no integer may stand: three patterns that begin with a literal are looked for much faster than
one. In a string there may be none, and then it is read with more care than it needs."""
_BEYOND: Final = re.compile(rb"[\xf0-\xf4]")
"""The first byte of a character beyond U+FFFF: only those sort differently as UTF-8 and as UTF-16."""


def encode(value: object) -> bytes:
    """The RFC 8785 bytes of a value that was read from JSON; raises Invalid."""
    try:
        # orjson's floats are not ECMAScript's, and its keys are sorted as UTF-8. All else it writes the same, and fast.
        if _whole(value):
            data = orjson.dumps(value, option=_OPTIONS)
            if data.isascii() or not _BEYOND.search(data):
                return data
        return rfc8785.dumps(value)  # type: ignore[arg-type]  # it refuses what the type would
    except (orjson.JSONEncodeError, rfc8785.CanonicalizationError, UnicodeError) as exc:
        raise Invalid(f"no canonical JSON: {exc}") from exc


def parse(data: bytes) -> dict[str, Any] | None:
    """The object of which these are the canonical bytes; None for any other bytes."""
    try:
        value = orjson.loads(data)
        written = orjson.dumps(value, option=_OPTIONS) if _plain(data) else encode(value)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, Invalid):
        return None
    return value if written == data and type(value) is dict else None


def _plain(data: bytes) -> bool:
    """Whether orjson writes this value as RFC 8785 does, without a walk through it."""
    deep = data.count(b"{") + data.count(b"[") > _LEVELS
    return data.isascii() and not deep and not any(pattern.search(data) for pattern in _FLOATS)


def _whole(value: object) -> bool:
    """Whether all numbers are of type int; raises Invalid for what is no JSON, too deep, or a float too large."""
    depth, whole = 0, True
    level: list[Any] = [[value]]
    while level:
        below: list[Any] = []
        for container in level:
            for member in container.values() if type(container) is dict else container:
                kind = type(member)
                if kind is str:
                    continue
                if kind is dict or kind is list:
                    below.append(member)
                elif kind is float and -_MOST <= member <= _MOST:
                    whole = False
                elif kind is not int and kind is not bool and member is not None:
                    raise Invalid(f"no canonical JSON: a {kind.__name__} that has none")
        depth, level = depth + 1, below
        if depth > _LEVELS and level:
            raise Invalid(f"no canonical JSON: more than {_LEVELS} levels")
    return whole
