"""Answers are read in a quick way where that is exact: whatever the bytes, it finds what the strict way finds."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.opa import answers
from engine.opa.errors import CouldNotDecide
from ledger.canonical import MAX_SAFE

_NUMBERS = st.integers(-MAX_SAFE - 2, MAX_SAFE + 2) | st.sampled_from([0, -1, MAX_SAFE, MAX_SAFE + 1, 2**64, -(2**63)])
_TEXTS = st.text(max_size=8) | st.sampled_from(["/", "\x7f", "\u2028", "é", "😀", "\x00", "<&>", "\\", '"'])
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)


def _strictly(data: bytes) -> Any:
    try:
        return answers._slowly(data)
    except CouldNotDecide as exc:
        return exc.cause


def _read(data: bytes) -> Any:
    try:
        return answers.read(data)
    except CouldNotDecide as exc:
        return exc.cause


def _same(data: bytes) -> None:
    # Told apart by their text too: 1, 1.0 and True are equal to Python.
    assert json.dumps(_read(data)) == json.dumps(_strictly(data))


def _written(value: Any, way: int) -> bytes:
    match way:
        case 0:
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        case 1:
            return json.dumps(value, separators=(",", ":")).encode()
        case _:
            return json.dumps(value, indent=way - 1).encode()


@settings(max_examples=600, deadline=None)
@given(st.dictionaries(_TEXTS, _VALUES, max_size=4) | _VALUES, st.integers(0, 2))
def test_any_value_is_read_alike(value: Any, way: int) -> None:
    """However an answer is spelled, both ways accept or refuse it, and find the same value in it."""
    _same(_written(value, way))


@settings(max_examples=600, deadline=None)
@given(st.dictionaries(_TEXTS, _VALUES, max_size=3), st.data())
@example({"a": 1}, None)
def test_spoilt_bytes_are_read_alike(value: dict[str, Any], data: st.DataObject | None) -> None:
    """A byte that was changed, put in, doubled or left out anywhere is judged alike."""
    text = _written(value, 0)
    if data is not None:
        at = data.draw(st.integers(0, len(text) - 1))
        put = data.draw(
            st.sampled_from([b"", b"0", b".0", b"e1", b"-", b",", b'"', b"\\", b"\\ud800", b"\xff", b"\n", b" "])
        )
        text = text[:at] + put + text[at + data.draw(st.integers(0, 2)) :]
    _same(text)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(['"a":1', '"a":2', '"b":1.0', '"b":-0', '"c":9007199254740993', '"é":"\\u00e9"']), max_size=4
    )
)
def test_members_side_by_side_are_read_alike(members: list[str]) -> None:
    """A key that stands twice, and a number or a text in another spelling, is judged alike."""
    _same(("{" + ",".join(members) + "}\n").encode())


@pytest.mark.parametrize("depth", [1, 62, 63, 64, 65, 130, 2000])
@pytest.mark.parametrize("kind", ["[]", "{}"])
def test_depth_is_counted_alike(depth: int, kind: str) -> None:
    """Both ways count the same levels."""
    opened = b"[" if kind == "[]" else b'{"a":'
    closed = b"]" if kind == "[]" else b"}"
    _same(b'{"a":' + opened * depth + b"1" + closed * depth + b"}")


def test_what_opa_says_goes_the_quick_way() -> None:
    """An answer in OPA's spelling does not need the strict way."""
    answer = {"provenance": {"bundles": {"b": {"revision": "1" * 64}}}, "result": {"allow": True, "denials": []}}
    assert answers._quickly(orjson.dumps(answer) + b"\n") == answer
