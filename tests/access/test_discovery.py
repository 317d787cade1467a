"""An issuer's keys over the network: what of an answer is believed, and where Muster does not go."""

from __future__ import annotations

import asyncio
import gzip
import time
from pathlib import Path

import httpx
import pytest

from engine.access.discovery import Fetched, NoUse, Way, fresh_seconds
from engine.errors import SetupError
from tests.access.provider import REALM, Provider, after, dripping
from tests.access.signing import key, key_set


def fetch(way: Way, provider: Provider, pinned: str | None = None) -> Fetched:
    """One fetch."""
    return asyncio.run(way.keys(provider.issuer, pinned))


def refusal(way: Way, provider: Provider, pinned: str | None = None) -> NoUse:
    """What a fetch is refused with."""
    with pytest.raises(NoUse) as refused:
        fetch(way, provider, pinned)
    return refused.value


def test_discovery_names_the_key_set(way: Way, provider: Provider) -> None:
    """Two questions, without credentials, cookies or compression, and the keys are there."""
    provider.fresh = {"Cache_Control": "public, max-age=600"}
    provider.discovery(
        lambda h: h.answer(f'{{"issuer":"{provider.issuer}","jwks_uri":"{provider.issuer}/certs"}}'.encode(),
                           Set_Cookie="session=1; Path=/")
    )  # fmt: skip
    fetched = fetch(way, provider)
    assert [each.kid for each in fetched.keys.keys] == ["one"]
    assert fetched.fresh_seconds == 600
    assert provider.asked == [f"{REALM}/.well-known/openid-configuration", f"{REALM}/certs"]
    for headers in provider.headers:
        assert headers["Accept-Encoding"] == "identity"
        assert not {"Cookie", "Authorization"} & set(headers)


def test_a_slash_at_the_issuers_end_is_its_own(way: Way, provider: Provider) -> None:
    """It is not doubled on the way to the document, and the document must name it too."""
    provider.says["issuer"] = provider.issuer + "/"
    assert asyncio.run(way.keys(provider.issuer + "/", None)).keys.keys
    said = refusal(way, provider)
    assert said.wrong
    assert "to the letter" in str(said)


def test_a_pinned_key_set_needs_no_discovery(way: Way, provider: Provider) -> None:
    """One question, and it may be at another host."""
    provider.says = {}
    assert fetch(way, provider, f"{provider.issuer}/certs").keys.keys
    assert provider.asked == [f"{REALM}/certs"]


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ({"issuer": "https://evil.example"}, "https://evil.example, and .* is pinned"),
        ({"issuer": None}, "is of nobody"),
        ({"issuer": ["x"]}, "is of nobody"),
        ({"jwks_uri": None}, "no `jwks_uri`"),
        ({"jwks_uri": ""}, "no URL of a host"),
        ({"jwks_uri": "/certs"}, "no URL of a host"),
        ({"jwks_uri": "https://evil.example/certs"}, "another host than its own"),
        ({"jwks_uri": "https://127.0.0.1:1/certs"}, "another host than its own"),
        ({"jwks_uri": "https://169.254.169.254/latest"}, "another host than its own"),
        ({"jwks_uri": "http://127.0.0.1/certs"}, "is not https"),
        ({"jwks_uri": "file:///etc/passwd"}, "no URL of a host"),
        ({"jwks_uri": "https://u:p@127.0.0.1/certs"}, "without a user"),
        ({"jwks_uri": "https://[::1/certs"}, "is no URL"),
        ({"jwks_uri": "https://a\u0000b/certs"}, "is no URL"),
    ],
)
def test_a_discovery_document_that_is_wrong(way: Way, provider: Provider, says: dict[str, object], words: str) -> None:
    """It is said what, and nothing else is asked for."""
    provider.says |= says
    said = refusal(way, provider)
    assert said.wrong
    with pytest.raises(NoUse, match=words):
        raise said
    assert provider.fetches == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nobody_is_followed(way: Way, provider: Provider, status: int) -> None:
    """Neither for the document nor for the keys, not even to the same host."""
    elsewhere = f"{provider.issuer}/elsewhere"
    provider.certs(lambda h: h.answer(b"", status, Location=elsewhere))
    assert f"its key set is elsewhere ({status})" in str(refusal(way, provider))
    provider.discovery(lambda h: h.answer(b"", status, Location=elsewhere))
    assert f"its discovery document is elsewhere ({status})" in str(refusal(way, provider))
    assert f"{REALM}/elsewhere" not in provider.asked


@pytest.mark.parametrize(
    ("status", "wrong"), [(204, False), (400, True), (403, True), (404, True), (408, False), (429, False), (500, False)]
)
def test_another_status_is_no_answer(way: Way, provider: Provider, status: int, wrong: bool) -> None:
    """A body beside it is not read; some say that waiting may help."""
    provider.certs(lambda h: h.answer(b"" if status == 204 else key_set(key("one", "RS256")), status))
    said = refusal(way, provider)
    assert f"answered with {status}" in str(said)
    assert said.wrong is wrong


def test_an_answer_is_read_to_a_limit(way: Way, provider: Provider) -> None:
    """256 kB; a length that is announced does not matter."""
    for body in (b" " * 300_000, b" " * 10_000_000):
        provider.certs(lambda h, body=body: h.answer(body))  # type: ignore[misc]
        assert str(refusal(way, provider)) == "its key set is longer than 262144 bytes"


def test_an_answer_is_waited_for_within_a_time(way: Way, provider: Provider) -> None:
    """Whether it does not come, or comes in drops."""
    for act in (after(30, b"{}"), dripping):
        provider.certs(act)
        began = time.monotonic()
        said = refusal(way, provider)
        assert str(said) == "its key set is not answered within 2 s"
        assert not said.wrong
        assert time.monotonic() - began < 4


def test_what_is_compressed_is_refused(way: Way, provider: Provider) -> None:
    """A small answer could grow without limit."""
    provider.certs(lambda h: h.answer(gzip.compress(b" " * 10_000_000), Content_Encoding="gzip"))
    assert "compressed" in str(refusal(way, provider))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"issuer":1,"issuer":2}', b"{" * 10_000, b"\xff"])
def test_garbage_is_named(way: Way, provider: Provider, body: bytes) -> None:
    """As what it should have been."""
    provider.certs(lambda h: h.answer(body))
    assert "its key set" in str(refusal(way, provider))
    provider.discovery(lambda h: h.answer(body))
    assert "discovery document" in str(refusal(way, provider))


def test_a_connection_that_breaks(way: Way, provider: Provider) -> None:
    """In the middle of a body, or before it."""

    def cut(h: object) -> None:
        assert hasattr(h, "wfile")
        h.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
        h.close_connection = True  # type: ignore[attr-defined]

    provider.certs(cut)
    said = refusal(way, provider)
    assert "cannot be reached" in str(said)
    assert not said.wrong


def test_nobody_is_there(way: Way) -> None:
    """A port that is closed, and a name that does not exist."""
    for issuer in ("https://127.0.0.1:1", "https://nobody.invalid"):
        with pytest.raises(NoUse, match="cannot be reached") as refused:
            asyncio.run(way.keys(issuer, None))
        assert not refused.value.wrong


def test_a_certificate_that_is_not_trusted(provider: Provider) -> None:
    """Is wrong, and waiting does not cure it: the authority must be told to Muster."""
    said = refusal(Way(answer_seconds=2.0), provider)
    assert said.wrong
    assert "CERTIFICATE_VERIFY_FAILED" in str(said)
    assert provider.asked == []


def test_a_certificate_of_another_name(way: Way, provider: Provider) -> None:
    """The authority alone is not enough."""
    port = provider.origin.rpartition(":")[2]
    with pytest.raises(NoUse, match="CERTIFICATE_VERIFY_FAILED") as refused:
        asyncio.run(way.keys(f"https://localhost:{port}{REALM}", None))
    assert refused.value.wrong


def test_no_proxy_and_no_authority_of_the_environment(
    way: Way, provider: Provider, authority: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sets a variable does not stand between Muster and an issuer."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetch(way, provider).keys.keys
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[0]))
    assert refusal(Way(answer_seconds=2.0), provider).wrong


def test_plain_http_only_where_a_test_says_so() -> None:
    """And then only at an address of this machine."""
    with Provider(None, key("one", "RS256")) as provider:
        said = refusal(Way(answer_seconds=2.0), provider)
        assert said.wrong
        assert "is not https" in str(said)
        assert provider.asked == []
        way = Way(plain_http_on_loopback=True, answer_seconds=2.0)
        assert fetch(way, provider).keys.keys
        for host in ("localhost", "10.0.0.1", "example.com", "127.0.0.1.example.com"):
            with pytest.raises(NoUse, match="is not https"):
                asyncio.run(way.keys(f"http://{host}/", None))


def test_authorities_that_cannot_be_read_stop_the_start(tmp_path: Path) -> None:
    """A file that is missing, and one without a certificate."""
    (tmp_path / "empty.pem").write_text("nothing")
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(SetupError, match=name):
            Way(ca_file=tmp_path / name)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Cache-Control": "public"}, None),
        ({"Cache-Control": "max-age=600"}, 600),
        ({"Cache-Control": "public, MAX-AGE=600, must-revalidate"}, 600),
        ({"Cache-Control": 'max-age="600"'}, 600),
        ({"Cache-Control": "max-age=600, max-age=60"}, 60),
        ({"Cache-Control": "max-age=600", "Age": "200"}, 400),
        ({"Cache-Control": "max-age=600", "Age": "2000"}, 0),
        ({"Cache-Control": "max-age=600", "Age": "-5"}, 600),
        ({"Cache-Control": "no-store, max-age=600"}, 0),
        ({"Cache-Control": "no-cache"}, 0),
        ({"Cache-Control": "max-age=-1"}, None),
        ({"Cache-Control": "max-age=1e9"}, None),
        ({"Cache-Control": "max-age=99999999999"}, None),
        ({"Cache-Control": "max-age=\u0661".encode()}, None),
        ({"Cache-Control": ",,=,;"}, None),
    ],
)
def test_how_long_an_answer_is_fresh(headers: dict[str, str | bytes], seconds: float | None) -> None:
    """As RFC 9111 has it; what cannot be read says nothing."""
    raw = [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers.items()]
    assert fresh_seconds(httpx.Headers(raw)) == seconds
