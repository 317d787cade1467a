"""One canonical path: what two readers could take for two things is refused, the rest is decoded once."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.adapters.gateway import paths
from engine.adapters.gateway.paths import Refused, Target, query, read
from engine.bundling.templates import oddity

READ: dict[bytes, tuple[str, ...]] = {
    b"/": (),
    b"/admin": ("admin",),
    b"/admin/": ("admin",),
    b"/admin?": ("admin",),
    b"/admin?x=/../y;z&%zz": ("admin",),
    b"/admin/?a=1?b=2": ("admin",),
    b"/Admin": ("Admin",),
    b"/ADMIN": ("ADMIN",),
    b"/%61dmin": ("admin",),
    b"/%41dmin": ("Admin",),
    b"/adm%69n/": ("admin",),
    b"/public/admin": ("public", "admin"),
    b"/a%20b": ("a b",),
    b"/a+b": ("a+b",),
    b"/report.csv": ("report.csv",),
    b"/.well-known/x": (".well-known", "x"),
    b"/...": ("...",),
    b"/a..b": ("a..b",),
    b"/a:b@c,d=e&f'g(h)*!$~-_": ("a:b@c,d=e&f'g(h)*!$~-_",),
    b"/%C3%BC": ("\u00fc",),
    b"/%e6%bc%a2": ("\u6f22",),
    b"/%F0%9F%94%91": ("\U0001f511",),
    b"/%7Eana": ("~ana",),
    b"/" + b"/".join([b"a"] * 64): ("a",) * 64,
    b"/" + b"a" * 8191: ("a" * 8191,),
}
"""What is a path, and its segments."""

REFUSED: dict[bytes, str] = {
    b"": "empty",
    b"*": "asterisk_form",
    b"?x": "authority_form",
    b"admin": "authority_form",
    b"host:443": "authority_form",
    b"http://host/admin": "absolute_form",
    b"HTTPS://host/admin?x": "absolute_form",
    b"http:/admin": "absolute_form",
    b"//admin": "empty_segment",
    b"///": "empty_segment",
    b"//": "empty_segment",
    b"/admin//": "empty_segment",
    b"/public//admin": "empty_segment",
    b"//host/admin": "empty_segment",
    b"/.": "dot_segment",
    b"/./admin": "dot_segment",
    b"/admin/.": "dot_segment",
    b"/..": "dot_segment",
    b"/public/../admin": "dot_segment",
    b"/admin/..": "dot_segment",
    b"/../admin": "dot_segment",
    b"/public/%2e%2e/admin": "escaped_delimiter",
    b"/public/.%2e/admin": "escaped_delimiter",
    b"/public/%2E./admin": "escaped_delimiter",
    b"/%2e/admin": "escaped_delimiter",
    b"/%2fadmin": "escaped_delimiter",
    b"/public%2Fadmin": "escaped_delimiter",
    b"/public/..%2fadmin": "escaped_delimiter",
    b"/public%5c..%5cadmin": "escaped_delimiter",
    b"/public%5Cadmin": "escaped_delimiter",
    b"/%2561dmin": "escaped_delimiter",
    b"/public/%252e%252e/admin": "escaped_delimiter",
    b"/admin%3bx": "escaped_delimiter",
    b"/admin%3Fx": "escaped_delimiter",
    b"/admin%23x": "escaped_delimiter",
    b"/report%2ecsv": "escaped_delimiter",
    b"/public\\admin": "backslash",
    b"/public/..\\admin": "backslash",
    b"/admin;x=1": "semicolon",
    b"/public;/../admin": "semicolon",
    b"/..;/admin": "semicolon",
    b"/admin#x": "fragment",
    b"/public#/../admin": "fragment",
    b"/admin?x#y": "fragment",
    b"/admin%0a": "control",
    b"/admin%0A": "control",
    b"/admin%0d%0aX:1": "control",
    b"/admin%00": "control",
    b"/admin%00.png": "control",
    b"/%09admin": "control",
    b"/admin%7f": "control",
    b"/admin%1f": "control",
    b"/admin%C2%85": "control",
    b"/admin%": "bad_escape",
    b"/admin%2": "bad_escape",
    b"/admin%zz": "bad_escape",
    b"/%u0061dmin": "bad_escape",
    b"/admin% 0": "byte",
    b"/admin\n": "byte",
    b"/admin\r": "byte",
    b"/admin\x00": "byte",
    b"/admin ": "byte",
    b" /admin": "byte",
    b"/admin\x7f": "byte",
    b"/\xc3\xbc": "byte",
    b"/admin?\xff": "byte",
    b"/admin?a b": "byte",
    b"/%ff": "not_utf8",
    b"/%c0%af": "not_utf8",
    b"/%c0%ae%c0%ae/admin": "not_utf8",
    b"/%ed%a0%80": "not_utf8",
    b"/%f4%90%80%80": "not_utf8",
    b"/%EF%BC%8Fadmin": "foldable",
    b"/public/%EF%BC%8E%EF%BC%8E/admin": "foldable",
    b"/%E2%80%A5/admin": "foldable",
    b"/a%EF%BC%BCb": "foldable",
    b"/" + b"/".join([b"a"] * 65): "too_many_segments",
    b"/" + b"a" * 8192: "too_long",
    b"/a?" + b"a" * 8192: "too_long",
}
"""What is refused, and why."""


def test_the_table_is_at_least_what_was_measured() -> None:
    """63 targets were sent through five frameworks; the table holds more, and one for each reason."""
    assert len(READ) + len(REFUSED) >= 63
    assert len(set(REFUSED.values())) == 17


@pytest.mark.parametrize("target", READ, ids=lambda t: repr(t[:40]))
def test_a_path_is_its_decoded_segments(target: bytes) -> None:
    """Decoded once, one slash at the end dropped, the query as it was sent."""
    assert read(target) == Target(READ[target], target.partition(b"?")[2])


@pytest.mark.parametrize("target", REFUSED, ids=lambda t: repr(t[:40]))
def test_what_has_two_readings_is_refused(target: bytes) -> None:
    """With the reason, in a sentence that repeats nothing of what was sent."""
    found = read(target)
    assert isinstance(found, Refused)
    assert (found.code, found.reason, found.field) == ("ambiguous_path", REFUSED[target], "")
    assert found.sentence.endswith(".")


@given(st.binary(max_size=40) | st.binary(max_size=20).map(lambda b: b"/admin/" + b))
@example(b"/admin/%")
def test_what_is_read_is_read_by_everybody_alike(target: bytes) -> None:
    """Whatever the bytes: a path that is read holds nothing that a reader decodes, cuts, drops or folds once more."""
    found = read(target)
    if isinstance(found, Refused):
        assert found.reason in paths.REASONS
        return
    path = target.partition(b"?")[0]
    assert path.startswith(b"/")
    assert all(0x21 <= byte <= 0x7E for byte in path)
    for segment in found.segments:
        assert oddity(segment) is None
        assert unquote(segment) == segment  # decoded again it is the same: there is no second reading
    whole = "/" + "/".join(found.segments)
    assert unquote(path.decode("ascii"), errors="strict").removesuffix("/") == whole.removesuffix("/")


LETTERS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
SEGMENTS = st.lists(LETTERS.filter(lambda s: oddity(s) is None and "." not in s), max_size=6)


@given(SEGMENTS, st.booleans())
def test_every_plain_path_is_read_back(segments: list[str], slash: bool) -> None:
    """As everybody escapes it, with a slash at its end or without."""
    target = "/" + "/".join(quote(s, safe="") for s in segments) + ("/" if slash and segments else "")
    assert read(target.encode()) == Target(tuple(segments), b"")


ODD = [b"%2f", b"%2E", b"//", b"\\", b";", b"%00", b"#", b"%"]


@given(SEGMENTS.filter(bool), st.integers(0, 5), st.sampled_from(ODD))
def test_one_odd_thing_anywhere_refuses_the_path(segments: list[str], place: int, odd: bytes) -> None:
    """In whichever segment it stands."""
    parts = [quote(s, safe="").encode() for s in segments]
    parts[place % len(parts)] += odd + (b"" if odd != b"//" else b"x")
    assert isinstance(read(b"/" + b"/".join(parts)), Refused)


QUERIES: dict[bytes, dict[str, str]] = {
    b"": {},
    b"x=1": {},
    b"ticket=REQ-1": {"ticket": "REQ-1"},
    b"&ticket=REQ-1&": {"ticket": "REQ-1"},
    b"x=1&x=2&ticket=a": {"ticket": "a"},
    b"ticket=": {"ticket": ""},
    b"ticket=a+b%20c": {"ticket": "a b c"},
    b"ticket=a%2Bb": {"ticket": "a+b"},
    b"t%69cket=a": {"ticket": "a"},
    b"ticket=a%26to%3Db": {"ticket": "a&to=b"},
    b"ticket=a%3Bb": {"ticket": "a;b"},
    b"ticket=a=b": {"ticket": "a=b"},
    b"ticket=%C3%BC&to=y": {"ticket": "\u00fc", "to": "y"},
    b"ticket=%2561": {"ticket": "%61"},
    b"note=a%0Ab%FF&ticket=a": {"ticket": "a"},
    b"ticket=a?b": {"ticket": "a?b"},
}

ODD_QUERIES: dict[bytes, str] = {
    b"ticket=a&ticket=a": "repeated",
    b"ticket=a&t%69cket=b": "repeated",
    b"ticket=a;to=b": "query_semicolon",
    b"x;ticket=a": "query_semicolon",
    b"ticket": "no_value",
    b"ticket=a%": "bad_escape",
    b"x=%zz&ticket=a": "bad_escape",
    b"ticket=a%0a": "control",
    b"ticket=%00": "control",
    b"ticket=%C2%80": "control",
    b"ticket%00=a": "control",
    b"ticket=%ff": "not_utf8",
    b"%ff=a&ticket=a": "not_utf8",
    b"Ticket=a": "alias",
    b"ticket=a&TICKET=b": "alias",
    b"ticket[]=a": "alias",
    b"ticket%5B0%5D=a": "alias",
    b"+ticket=a": "alias",
    b"&".join([b"a=1"] * 129): "too_many_parameters",
    b"ticket=a\n": "byte",
}


@pytest.mark.parametrize("raw", QUERIES, ids=repr)
def test_a_query_gives_what_is_wanted(raw: bytes) -> None:
    """Decoded once, a plus being a blank; what is not wanted may be there twice."""
    assert query(raw, {"ticket", "to"}) == QUERIES[raw]


@pytest.mark.parametrize("raw", ODD_QUERIES, ids=lambda r: repr(r[:30]))
def test_a_query_with_two_readings_is_refused(raw: bytes) -> None:
    """With the reason."""
    found = query(raw, {"ticket", "to"})
    assert isinstance(found, Refused)
    assert (found.code, found.reason) == ("ambiguous_query", ODD_QUERIES[raw])


def test_a_dot_and_an_underscore_are_one_name() -> None:
    """PHP makes them so."""
    found = query(b"change.window=a", {"change_window"})
    assert isinstance(found, Refused)
    assert query(b"change_window=a&change.window=b", {"change_window", "change.window"}) == {
        "change_window": "a",
        "change.window": "b",
    }


def test_128_parameters_are_read() -> None:
    """And not one more."""
    assert query(b"&".join([b"a=1"] * 127 + [b"ticket=x"]), {"ticket"}) == {"ticket": "x"}


def test_a_query_of_which_nothing_is_wanted_is_not_looked_at() -> None:
    """It decides nothing."""
    assert query(b"%;;a&a&\xff", ()) == {}


@given(st.dictionaries(st.sampled_from(["ticket", "to", "x", "y"]), LETTERS), st.binary(max_size=30))
def test_a_query_is_read_back_and_never_raises(given_: dict[str, str], raw: bytes) -> None:
    """As everybody escapes it; and any bytes are read or refused."""
    text = "&".join(f"{name}={quote(value, safe='')}" for name, value in given_.items())
    assert query(text.encode(), {"ticket", "to"}) == {k: v for k, v in given_.items() if k in ("ticket", "to")}
    found = query(raw, {"ticket", "to"})
    assert isinstance(found, Refused) or found.keys() <= {"ticket", "to"}


@pytest.mark.parametrize(
    "raw", [b"_method=PUT", b"a&%5Fmethod=x", b"a;_METHOD", b"a?_method=x", b"_method[]=x", b"+_method"]
)
def test_a_name_is_found_however_it_is_spelled(raw: bytes) -> None:
    """To look for what is not wanted there, nothing is too careless."""
    assert "_method" in paths.names(raw)


def test_another_name_is_not_found() -> None:
    """Nor is a value taken for a name."""
    assert "_method" not in paths.names(b"a=_method&method=PUT&x_method=1&%ff%zz")
