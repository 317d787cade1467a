"""The one reader of JSON from outside: I-JSON (RFC 7493) within limits, or a StrictError that names it.

It works on raw bytes and refuses: too many bytes, a byte order mark, invalid UTF-8, duplicate keys (after
unescaping), NaN and infinities by any spelling, integers beyond ±(2^53−1), lone surrogates in keys and
values, nesting, arrays and strings beyond the limits, and anything after the document.
A number that is an integer is read as one, however it is spelled: `1.0` is `1`.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Final

import orjson

from ledger.canonical import JSON, MAX_SAFE
from ledger.errors import StrictError

# The C scanner recurses; below this many levels it cannot meet Python's limit, wherever it is called from.
_SAFE_LEVELS: Final = 200
_STRING_OR_BRACKET: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Refused:
    """Stands where a wrong value stood, so that the walk, which knows the place, can say so."""

    detail: str


@dataclass(frozen=True, slots=True)
class _Limits:
    depth: int
    array: int
    string: int


def read(
    data: bytes, *, max_bytes: int = 65536, max_depth: int = 32, max_array: int = 256, max_string: int = 4096
) -> JSON:
    """The document in `data`. Lengths of strings count characters; a scalar has depth 0, `[]` has 1."""
    if len(data) > max_bytes:
        raise StrictError("", f"is longer than {max_bytes} bytes", too_large=True)
    limits = _Limits(max_depth, max_array, max_string)
    plain = _plainly(data, limits)
    return read_slowly(data, limits) if plain is None else plain


def _plainly(data: bytes, limits: _Limits) -> JSON:
    """The document, where writing it again gives the very bytes that were read; None sends it to `read_slowly`.

    Then no key was there twice (one of the two would be missing now) and no number, string or key was spelled in a way
    that two readers could take for two things. A blank behind a comma or colon may be left out on both sides: quotes
    and brackets stay where they are, so there are as many keys as before.
    """
    try:
        value = orjson.loads(data)
        again = orjson.dumps(value)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # it reads deeper than it writes
        return None
    if again != data and again != data.replace(b", ", b",").replace(b": ", b":"):
        return None
    return value if _is_plain(value, limits.depth, limits) else None


def _is_plain(value: object, levels: int, limits: _Limits) -> bool:
    """Whether a value is within the limits and has no number but safe integers."""
    kind = type(value)
    if kind is str:
        return len(value) <= limits.string  # type: ignore[arg-type]
    if kind is dict:
        if not levels:
            return False
        for key, member in value.items():  # type: ignore[attr-defined]
            if len(key) > limits.string or not _is_plain(member, levels - 1, limits):
                return False
        return True
    if kind is list:
        if not levels or len(value) > limits.array:  # type: ignore[arg-type]
            return False
        return all(_is_plain(item, levels - 1, limits) for item in value)  # type: ignore[attr-defined]
    if kind is int:
        return -MAX_SAFE <= value <= MAX_SAFE  # type: ignore[operator]
    return kind is bool or value is None


def read_slowly(data: bytes, limits: _Limits) -> JSON:
    """The reference path, which says what is wrong; the tests hold the fast one against it."""
    if data.startswith(b"\xef\xbb\xbf"):
        raise StrictError("", "begins with a byte order mark")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise StrictError("", f"is not UTF-8 at byte {exc.start}") from exc
    _refuse_abyss(data, limits.depth)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as exc:
        raise StrictError("", f"is not JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}") from exc
    _walk(value, "", 0, limits)
    return value  # type: ignore[no-any-return]


def _refuse_abyss(data: bytes, max_depth: int) -> None:
    """Refuse what is nested too deep for the scanner itself; what is only above the limit, the walk names."""
    bound = max(max_depth, _SAFE_LEVELS)
    if data.count(b"[") + data.count(b"{") <= bound:
        return
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(data):
        first = match[0][0]
        if first in b"[{":
            depth += 1
            if depth > bound:
                raise StrictError("", f"is nested deeper than {max_depth} levels")
        elif first in b"]}":
            depth -= 1


def _object(pairs: list[tuple[str, object]]) -> object:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return _Refused(f"has the key {json.dumps(key)[:80]} twice")
        seen.add(key)
    raise AssertionError("unreachable: a shorter dict has a duplicate key")


def _integer(text: str) -> object:
    # Python's own int() refuses some thousand digits with a ValueError of its own.
    if len(text) <= 17 and -MAX_SAFE <= (number := int(text)) <= MAX_SAFE:
        return number
    return _Refused("is an integer beyond ±(2^53−1)")


def _float(text: str) -> object:
    number = float(text)
    if math.isinf(number):
        return _Refused("is too large for a number")
    if number.is_integer():
        return int(number) if abs(number) <= MAX_SAFE else _Refused("is an integer beyond ±(2^53−1)")
    return number


def _constant(text: str) -> object:
    return _Refused(f"is {text}, which is not JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)


def _walk(value: object, pointer: str, depth: int, limits: _Limits) -> None:
    if isinstance(value, str):
        _check_string(value, pointer, limits, "is a string")
    elif isinstance(value, (dict, list)):
        if depth == limits.depth:
            raise StrictError(pointer, f"is nested deeper than {limits.depth} levels")
        if isinstance(value, list):
            if len(value) > limits.array:
                raise StrictError(pointer, f"is an array of more than {limits.array} items")
            for position, item in enumerate(value):
                _walk(item, f"{pointer}/{position}", depth + 1, limits)
            return
        for key, member in value.items():
            _check_string(key, pointer, limits, "has a key")
            _walk(member, f"{pointer}/{escape(key)}", depth + 1, limits)
    elif isinstance(value, _Refused):
        raise StrictError(pointer, value.detail)


def _check_string(text: str, pointer: str, limits: _Limits, what: str) -> None:
    if len(text) > limits.string:
        raise StrictError(pointer, f"{what} of more than {limits.string} characters")
    if not text.isascii() and any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise StrictError(pointer, f"{what} with a lone surrogate")


def escape(key: str) -> str:
    """A key as one step of a JSON pointer (RFC 6901 section 3)."""
    return key.replace("~", "~0").replace("/", "~1")
