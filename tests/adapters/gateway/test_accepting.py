"""`Accept`: a page for whoever wants one more than a document, the document for everybody else."""

from __future__ import annotations

import pytest

from engine.adapters.gateway.accepting import prefers_html
from engine.adapters.gateway.asks import Ask, address

CHROMIUM = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        ([CHROMIUM], True),
        ([b"text/html"], True),
        ([b"TEXT/HTML; charset=utf-8"], True),
        ([b"text/*"], True),
        ([b"text/html;q=0.5, application/json;q=0.4"], True),
        ([b"text/html; q=0.9", b"application/problem+json;q=0.8"], True),
        ([b"text/html;q=0.001"], True),
        ([b"application/json;q=0, */*"], False),
        ([b"application/json;q=0, application/problem+json;q=0, */*"], True),
        ([b"text/html;q=0.4, application/json;q=0.5"], False),
        ([b"text/html, application/json"], False),
        ([b"text/html;q=0.9", b"application/problem+json"], False),
        ([b"text/html;q=0.8, */*"], False),
        ([b"text/html;q=0, text/*;q=0.5"], False),
        ([b"*/*"], False),
        ([b"application/*, text/html;q=0.9"], False),
        ([b"text/html;q=0"], False),
        ([b"text/html;q=2"], False),
        ([b"text/html;q=0.5555"], False),
        ([b"text/html;q=nan"], False),
        ([b"text/html;q=1;q=1"], False),
        ([b"text/html;q"], False),
        ([b""], False),
        ([], False),
        ([b"\xff, ;, ,,text"], False),
    ],
)
def test_weights_count(accept: list[bytes], page: bool) -> None:
    """The most exact range names a type's weight, all headers together; what cannot be read counts nothing."""
    assert prefers_html(accept) is page


@pytest.mark.parametrize(
    ("host", "scheme", "expected"),
    [
        ("api.example", [], "https://api.example/a?b=%2F"),
        ("API.example:8443", [b"https"], "https://api.example:8443/a?b=%2F"),
        ("api.example", [b"http"], "http://api.example/a?b=%2F"),
        ("api.example", [b"javascript"], "https://api.example/a?b=%2F"),
        ("api.example", [b"http", b"http"], "https://api.example/a?b=%2F"),
        ("evil.example", [b"https"], None),
        ("*", [], None),
    ],
)
def test_the_way_back_is_to_a_host_that_the_route_names(host: str, scheme: list[bytes], expected: str | None) -> None:
    """A route for whatever host leads nobody back: that host is what a client wrote."""
    ask = Ask("GET", host, b"/a?b=%2F", [(b"x-forwarded-proto", each) for each in scheme])
    assert address(ask, ["api.example"]) == expected
    assert address(ask, ["*"]) is None
