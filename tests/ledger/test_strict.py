"""The strict reader takes I-JSON and names the place of everything else."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import canonical, strict
from ledger.canonical import JSON, MAX_SAFE
from ledger.errors import StrictError

_DEEP = b"[" * 32 + b"]" * 32


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a":[1,-1,0.5,true,false,null,"x"]}', {"a": [1, -1, 0.5, True, False, None, "x"]}),
        (b' \t\r\n"\xc3\xa4\\ud83d\\ude00"\n', "ä\U0001f600"),
        (b"9007199254740991", MAX_SAFE),
        (b"-9007199254740991", -MAX_SAFE),
        (b"1.0", 1),
        (b"1e2", 100),
        (b"-0.0", 0),
        (b'{"":{"~":{"/":1}}}', {"": {"~": {"/": 1}}}),
        (b"[" + b"1," * 255 + b"1]", [1] * 256),
        (b'"' + b"x" * 4096 + b'"', "x" * 4096),
    ],
    ids=lambda value: str(value)[:30],
)
def test_i_json_is_taken(data: bytes, value: JSON) -> None:
    """What is well formed and within the limits is read as it stands."""
    assert strict.read(data) == value


def test_a_number_that_is_an_integer_is_one() -> None:
    """`1.0` and `1e2` are integers, so that they are written as they were read."""
    assert [type(number) for number in strict.read(b"[1.0,1e2,0.5]")] == [int, int, float]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("data", "pointer", "says"),
    [
        (b"", "", "not JSON"),
        (b"\xef\xbb\xbf{}", "", "byte order mark"),
        (b'"\xff"', "", "UTF-8"),
        (b'"\xed\xa0\x80"', "", "UTF-8"),
        (b"{}{}", "", "not JSON"),
        (b"{} x", "", "not JSON"),
        (b"{'a':1}", "", "not JSON"),
        (b"[1,]", "", "not JSON"),
        (b"01", "", "not JSON"),
        (b'"a\nb"', "", "not JSON"),
        (b'{"a":{"b":1,"b":2}}', "/a", '"b" twice'),
        (b'{"b":1,"\\u0062":1}', "", '"b" twice'),
        (b'{"a":[{"\\ud800":1,"\\ud800":1}]}', "/a/0", "twice"),
        (b"[NaN]", "/0", "NaN"),
        (b"[1,Infinity]", "/1", "Infinity"),
        (b"-Infinity", "", "Infinity"),
        (b'{"a/b~":1e400}', "/a~1b~0", "too large"),
        (b"9007199254740992", "", "beyond"),
        (b"-9007199254740992", "", "beyond"),
        (b"1e20", "", "beyond"),
        (b"9007199254740992.0", "", "beyond"),
        (b"1" * 5000, "", "beyond"),
        (b'["\\ud800"]', "/0", "surrogate"),
        (b'["\\udc00x"]', "/0", "surrogate"),
        (b'{"a":{"\\ud800":1}}', "/a", "surrogate"),
        (b'{"a":' + _DEEP + b"}", "/a" + "/0" * 31, "deeper"),
        (b"[" * 60_000, "", "deeper"),
        (b'{"a":' * 10_000, "", "deeper"),
        (b'["[[", ' + b"[" * 60_000, "", "deeper"),
        (b'{"a":[' + b"1," * 256 + b"1]}", "/a", "more than 256 items"),
        (b'{"a":"' + b"x" * 4097 + b'"}', "/a", "more than 4096 characters"),
        (b'{"' + b"x" * 4097 + b'":1}', "", "more than 4096 characters"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_everything_else_is_refused_by_name(data: bytes, pointer: str, says: str) -> None:
    """A StrictError carries the pointer of the place and a sentence."""
    with pytest.raises(StrictError) as refused:
        strict.read(data)
    assert refused.value.pointer == pointer
    assert says in refused.value.detail
    assert not refused.value.too_large


def test_too_many_bytes_are_told_apart() -> None:
    """Only the size of the whole is `too_large`, and the bound is exact."""
    assert strict.read(b'"' + b" " * 8 + b'"', max_bytes=10) == " " * 8
    with pytest.raises(StrictError) as refused:
        strict.read(b'"' + b" " * 9 + b'"', max_bytes=10)
    assert refused.value.too_large


def test_limits_are_the_callers() -> None:
    """Depth, arrays and strings can be lowered and raised, also above the guard of the scanner."""
    with pytest.raises(StrictError):
        strict.read(b"[[]]", max_depth=1)
    with pytest.raises(StrictError):
        strict.read(b'["ab"]', max_string=1)
    assert strict.read(b"[1,2,3]", max_array=3) == [1, 2, 3]
    many = b"[" + b"[]," * 5000 + b"[]]"
    assert strict.read(many, max_array=10_000) == [[] for _ in range(5001)]
    brackets = b'["' + b"[" * 4000 + b'\\"[[\\\\"]'
    assert strict.read(brackets) == ["[" * 4000 + '"[[\\']


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_a_strict_error(data: bytes) -> None:
    """Whatever the bytes, there is a value with a canonical form or a StrictError."""
    try:
        value = strict.read(data)
    except StrictError:
        return
    assert canonical.encode(value)


@given(st.text(st.sampled_from('{}[]",:\\u0d8e1-+.EeNaIn \ufeff\u20ac'), max_size=60))
def test_no_text_does_worse_than_a_strict_error(text: str) -> None:
    """The same for text that looks like JSON; and what is taken, a lenient reader takes alike."""
    data = text.encode()
    try:
        value = strict.read(data)
    except StrictError:
        return
    assert orjson.loads(data) == value


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def spelled(draw: st.DrawFn) -> bytes:
    """A document in one of its spellings, sometimes with a byte put in, taken out or repeated."""
    separators = draw(st.sampled_from([None, (",", ":"), (", ", ":"), (" , ", " : ")]))
    text = json.dumps(draw(DOCUMENTS), ensure_ascii=draw(st.booleans()), separators=separators)
    data = text.encode("utf-8", "surrogatepass")
    for _ in range(draw(st.integers(0, 2))):
        at, length = draw(st.integers(0, len(data))), draw(st.integers(0, 8))
        instead: bytes = draw(st.sampled_from([b"", b" ", data[at : at + length] * 2]))
        data = data[:at] + instead + data[at + length :]
    return data


@settings(max_examples=3000)
@given(spelled())
def test_the_fast_path_takes_what_the_reference_takes_alike(data: bytes) -> None:
    """Where writing it again gives the same bytes, the reference reads the same document."""
    limits = strict._Limits(4, 3, 6)
    plain = strict._plainly(data, limits)
    if plain is not None:
        slow = strict.read_slowly(data, limits)
        assert (plain, str(plain)) == (slow, str(slow))  # True is not 1, and order is order


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}', b'{"a":1, "a":1}', b'{"a": {"b":1,"b":2}}', b"1.0", b"[1.0]", b"-0", b"[1e2]", b'{"a":1}x',
        b'["\\u0061"]', b"[9007199254740992]", b"[-9007199254740992]", b"[18446744073709551616]", b'{"a": "b, c"}',
        b"[1,2,3,4]", b"[[[[[]]]]]", b'"1234567"', b'{"1234567":1}', b'\xef\xbb\xbf{"a":1}', b"NaN", b'{"a":1}\n',
    ],
)  # fmt: skip
def test_the_fast_path_leaves_to_the_reference(data: bytes) -> None:
    """Whatever two readers could take for two things, and whatever is to be named as wrong."""
    assert strict._plainly(data, strict._Limits(4, 3, 6)) is None


@pytest.mark.parametrize("data", [b'{"a":1}', b'{"a": 1, "b": [true, null, "\xc3\xa9"]}', b"[]", b'{"a":"b,c"}'])
def test_the_fast_path_is_for_the_usual(data: bytes) -> None:
    """What clients send most is read by it."""
    assert strict._plainly(data, strict._Limits(4, 3, 6)) is not None
