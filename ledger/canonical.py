"""Canonical JSON (RFC 8785): one value, one sequence of bytes.

Owns the encoder. Refuses what could not be read back as it was: integers beyond ±(2^53−1) however they are
spelled, NaN and infinities, lone surrogates, other types than JSON's, more than 128 levels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias, Union

import orjson
import rfc8785

from ledger.encoded import Encoded
from ledger.errors import CanonicalError

JSON: TypeAlias = Union[dict[str, "JSON"], list["JSON"], str, int, float, bool, None]  # noqa: UP007  recursive

MAX_SAFE: Final = 2**53 - 1
_MAX_DEPTH: Final = 128


_LEAVES: Final = frozenset({str, bool, type(None), Encoded})


def encode(value: object) -> bytes:
    """The RFC 8785 bytes of `value`; raises CanonicalError."""
    # orjson's sorted keys are UTF-8 order, which is RFC 8785's UTF-16 order where keys are ASCII; its floats
    # are not ECMAScript's. Where neither matters it is seventy times faster, and the walk costs a few us.
    try:
        if _plain((value,), _MAX_DEPTH):
            return orjson.dumps(value, _encoded, orjson.OPT_SORT_KEYS)
        return encode_slowly(value)
    except (orjson.JSONEncodeError, UnicodeError) as exc:
        raise CanonicalError(f"not canonical JSON: {exc}") from exc


def encode_slowly(value: object) -> bytes:
    """The reference path; the tests hold the fast one against it."""
    _check(value, _MAX_DEPTH)
    try:
        return rfc8785.dumps(_opened(value))  # type: ignore[arg-type]  # _check has narrowed what the type cannot say
    except (rfc8785.CanonicalizationError, UnicodeError) as exc:
        raise CanonicalError(f"not canonical JSON: {exc}") from exc


def _plain(members: Iterable[object], depth: int) -> bool:
    """True where the fast path is exact; False sends the value to the slow one, which says what is wrong."""
    for member in members:
        kind = type(member)
        if kind is str or kind in _LEAVES:
            continue
        if kind is int:
            if not -MAX_SAFE <= member <= MAX_SAFE:  # type: ignore[operator]
                return False
        elif not depth:
            return False
        elif kind is dict:
            try:
                ascii_keys = "".join(member).isascii()  # type: ignore[arg-type]
            except TypeError:  # a key that is no text
                return False
            if not ascii_keys or not _plain(member.values(), depth - 1):  # type: ignore[attr-defined]
                return False
        elif kind is not list or not _plain(member, depth - 1):  # type: ignore[arg-type]
            return False
    return True


def _encoded(value: object) -> orjson.Fragment:
    assert type(value) is Encoded, "all else was walked over before"
    return orjson.Fragment(bytes(value))  # it takes no subclass


def _opened(value: object) -> object:
    """The same with everything in it that was encoded before as the value that it was."""
    if type(value) is Encoded:
        return value.value()
    if type(value) is dict:
        return {key: _opened(member) for key, member in value.items()}
    return [_opened(item) for item in value] if type(value) is list else value


def _check(value: object, depth: int) -> None:
    if value is None or type(value) in (str, bool, Encoded):
        return
    if type(value) is int or type(value) is float:
        # 1e20 is an integer too: ECMAScript writes it as one, and no strict reader would take it back.
        if not -MAX_SAFE <= value <= MAX_SAFE and (type(value) is int or value == value // 1):
            raise CanonicalError("not canonical JSON: an integer beyond ±(2^53−1), or no number")
        return
    if not depth:
        raise CanonicalError(f"not canonical JSON: more than {_MAX_DEPTH} levels")
    if type(value) is dict:
        for key, member in value.items():
            if type(key) is not str:
                raise CanonicalError("not canonical JSON: a key that is no string")
            _check(member, depth - 1)
    elif type(value) is list:
        for item in value:
            _check(item, depth - 1)
    else:
        raise CanonicalError(f"not canonical JSON: a {type(value).__name__}")
