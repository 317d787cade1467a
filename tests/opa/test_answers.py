"""Reading OPA's answers: what is believed and what is not."""

from __future__ import annotations

import pytest

from engine.opa import answers
from engine.opa.errors import CouldNotDecide


def test_what_a_result_may_hold() -> None:
    """Strings, booleans, null, safe integers, arrays and objects are read as they are."""
    data = '{"a":[1,-9007199254740991,9007199254740991,true,null,"é😀\\ud83d\\ude00\\n"],"b":{}}\n'.encode()
    assert answers.read(data) == {
        "a": [1, -9007199254740991, 9007199254740991, True, None, "é😀😀\n"],
        "b": {},
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"a":1.0}',
        b'{"a":1e2}',
        b'{"a":-0.5}',
        b'{"a":9007199254740992}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":NaN}',
        b'{"a":1,"a":1}',
        b'{"a":"\\ud800"}',
        b'{"\\uDC00":1}',
        b'{"a":"\xff"}',
        b'{"a":1} {}',
        b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":"' + b"x" * answers.MAX_BYTES + b'"}',
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_not_believed(data: bytes) -> None:
    """Floats by any spelling, unsafe integers, duplicate keys, lone surrogates, depth and length are no answer."""
    with pytest.raises(CouldNotDecide) as caught:
        answers.read(data)
    assert caught.value.cause == "bad-shape"


def test_depth_counts_levels_not_brackets() -> None:
    """Many objects side by side, and brackets inside strings, are not depth."""
    data = b'{"a":[' + b",".join([b'{"b":["[[[[{{{{"]}'] * 500) + b"]}"
    assert len(answers.read(data)["a"]) == 500  # type: ignore[arg-type]
