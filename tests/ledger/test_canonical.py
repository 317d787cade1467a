"""Canonical JSON against RFC 8785's own examples, and the fast path against the slow one."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import canonical
from ledger.canonical import MAX_SAFE
from ledger.encoded import Encoded
from ledger.errors import CanonicalError

_SCALARS = st.none() | st.booleans() | st.integers(-MAX_SAFE, MAX_SAFE) | st.text()
_FLOATS = st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda number: not number.is_integer() or abs(number) <= MAX_SAFE
)


class _Text(str):
    """What looks like a string and may say something else."""

    __slots__ = ()


def _documents(scalars: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5)
    )


@given(_documents(_SCALARS))
def test_both_paths_agree(value: object) -> None:
    """Whatever the fast path takes, the slow one writes the same bytes."""
    assert canonical.encode(value) == canonical.encode_slowly(value)


@given(st.dictionaries(st.text(st.characters(codec="ascii")), _SCALARS))
def test_both_paths_agree_on_ascii_keys(value: object) -> None:
    """Objects with ASCII keys, control characters and all, take the fast path and come out the same."""
    fast = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    assert canonical.encode(value) == canonical.encode_slowly(value) == fast


@given(_documents(_SCALARS | _FLOATS))
def test_what_is_written_is_read_back(value: object) -> None:
    """Reading the bytes and writing them again changes nothing."""
    data = canonical.encode(value)
    assert canonical.encode(orjson.loads(data)) == data
    assert orjson.loads(data) == value


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            r'{"numbers":[333333333.33333329,4.50,2e-3,0.000000000000000000000000001],"string":'
            r""" "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}""",
            b'{"literals":[null,true,false],"numbers":[333333333.3333333,4.5,0.002,1e-27],"string":'
            b'"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
        ),
        (
            r'{"\u20ac":"Euro Sign","\r":"CR","\ufb33":"Hebrew","1":"One","\ud83d\ude00":"Grin","\u0080":"C",'
            r'"\u00f6":"o"}',
            '{"\\r":"CR","1":"One","\u0080":"C","\u00f6":"o","\u20ac":"Euro Sign","\U0001f600":"Grin",'
            '"\ufb33":"Hebrew"}'.encode(),
        ),
    ],
    ids=["primitives", "utf-16-order"],
)
def test_the_rfcs_examples(document: str, expected: bytes) -> None:
    """The examples of RFC 8785 section 3.2 come out as printed there."""
    assert canonical.encode(json.loads(document)) == expected


@pytest.mark.parametrize(
    "value",
    [
        2**53,
        -(2**53),
        1e20,
        float("nan"),
        float("inf"),
        "\ud800",
        {"\ud800": 1},
        {1: 2},
        {"a": {"b": 1, None: 2}},
        {_Text("a"): 1},
        [_Text("a")],
        (1,),
        b"",
        {"a": ...},
        [[[2**60]]],
    ],
    ids=repr,
)
def test_what_cannot_be_read_back_is_refused(value: object) -> None:
    """Anything but I-JSON raises CanonicalError, on either path."""
    for encode in (canonical.encode, canonical.encode_slowly):
        with pytest.raises(CanonicalError):
            encode(value)


def test_depth_has_an_end() -> None:
    """128 levels are written, one more and a million are refused without a RecursionError."""
    deep: list[object] = []
    for _ in range(127):
        deep = [deep]
    assert canonical.encode(deep) == b"[" * 128 + b"]" * 128
    for more in (1, 10_000):
        for _ in range(more):
            deep = [deep]
        with pytest.raises(CanonicalError):
            canonical.encode(deep)


@given(_documents(_SCALARS | _FLOATS), _documents(_SCALARS))
def test_what_was_encoded_before_is_taken_as_it_is(inner: object, beside: object) -> None:
    """A part that is given as its bytes makes the same bytes as the part itself, by either path."""
    made = Encoded(canonical.encode(inner))
    whole = {"a": made.part(), "b": [beside, made.part()]}
    expected = canonical.encode_slowly({"a": inner, "b": [beside, inner]})
    assert canonical.encode(whole) == canonical.encode_slowly(whole) == expected
    assert canonical.encode(made.value()) == made
