"""Reads what OPA answers, strictly: a result holds strings, booleans, null, safe integers, arrays and objects only.

Floats are refused by their spelling (`1.0` too), which changes between versions of OPA: a recorded answer must come
out of a replay byte for byte. So are duplicate keys, lone surrogates, integers beyond ±(2^53−1) and deep nesting.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

from engine.opa.errors import CouldNotDecide
from ledger.canonical import JSON, MAX_SAFE

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_DEPTH: Final = 64  # what records an answer, and reads the record, takes 128 levels

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def read(data: bytes) -> dict[str, JSON]:
    """The object in an answer's body; raises CouldNotDecide (`bad-shape`)."""
    if len(data) > MAX_BYTES:
        raise CouldNotDecide("bad-shape", f"OPA's answer is longer than {MAX_BYTES} bytes")
    value = _quickly(data)
    return _slowly(data) if value is None else value


def _quickly(data: bytes) -> dict[str, JSON] | None:
    """The same value with less work, or None: then the other way says what it is, or what is wrong with it.

    What orjson writes anew just as it stood has no key twice, no other spelling of a number or a text, and no lone
    surrogate (orjson reads none); floats, unsafe integers and depth are looked for.
    """
    try:
        value = orjson.loads(data)
        same = orjson.dumps(value) == data.removesuffix(b"\n")
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
        return None
    return value if same and type(value) is dict and _plain(value, MAX_DEPTH) else None


def _plain(value: Any, levels: int) -> bool:
    """Whether a value holds what a result may hold, within so many levels."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-MAX_SAFE <= value <= MAX_SAFE)
    if kind is float or not levels:
        return False
    for member in value.values() if kind is dict else value:
        if type(member) is not str and member is not True and not _plain(member, levels - 1):
            return False
    return True


def _slowly(data: bytes) -> dict[str, JSON]:
    try:
        value: JSON = _DECODER.decode(data.decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        raise CouldNotDecide("bad-shape", f"OPA's answer is not usable JSON: {str(exc)[:120]}") from exc
    if not isinstance(value, dict):
        raise CouldNotDecide("bad-shape", "OPA's answer is not an object")
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _deeper(value, MAX_DEPTH):
        raise CouldNotDecide("bad-shape", f"OPA's answer is nested deeper than {MAX_DEPTH} levels")
    if _SURROGATE.search(data):
        _refuse_lone_surrogates(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key stands twice")
    return members


def _integer(text: str) -> int:
    if len(text) <= 17 and -MAX_SAFE <= (number := int(text)) <= MAX_SAFE:
        return number
    raise ValueError("an integer beyond ±(2^53−1)")


def _refuse(text: str) -> float:
    raise ValueError(f"a number that is no integer: {text[:30]}")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_refuse, parse_constant=_refuse
)


def _deeper(value: JSON, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_deeper(v, levels - 1) for v in value.values() if isinstance(v, (dict, list)))
    if isinstance(value, list):
        return levels == 0 or any(_deeper(v, levels - 1) for v in value if isinstance(v, (dict, list)))
    return False


def _refuse_lone_surrogates(value: JSON) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as exc:
        raise CouldNotDecide("bad-shape", "OPA's answer holds a lone surrogate") from exc
