"""An issuer's keys over the network: OpenID Connect Discovery 1.0 section 4, then the key set that it names.

Owns what is sent and what of an answer is believed; keeps nothing, not even a connection or a cookie. It speaks https
with a verified certificate, follows no redirect, takes no proxy of the environment, reads to a limit and within a time,
and goes to no other host than the pinned issuer's unless `jwks` of the source names one: what an issuer answers cannot
send Muster to somebody else. `x5u` and `jku` are never looked at.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from dataclasses import dataclass
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.access import jwks
from engine.access.jwks import KeySet, NotAKeySet
from engine.errors import SetupError
from ledger import strict
from ledger.errors import StrictError

if TYPE_CHECKING:
    import httpx

WELL_KNOWN: Final = "/.well-known/openid-configuration"
ANSWER_SECONDS: Final = 10.0
_CONNECT_SECONDS: Final = 5.0
_SHOWN: Final = 200
_LONGEST: Final = 1000
_LATER: Final = frozenset({408, 425, 429})
"""Answers of the 400s that say that the same question may be answered later."""
_DIRECTIVE: Final = re.compile(r"\s*([a-z-]+)\s*(?:=\s*\"?([0-9]{1,10})\"?)?\s*", re.ASCII | re.IGNORECASE)


class NoUse(Exception):
    """The keys could not be fetched; a sentence for whoever runs Muster.

    `wrong`: waiting will not cure it, since the issuer is pinned wrongly or answers what can never be believed. What an
    issuer said can stand in the sentence, so it is made fit for one line of a log.
    """

    def __init__(self, detail: str, *, wrong: bool = False) -> None:
        super().__init__("".join(c if c.isprintable() else " " for c in detail[:_LONGEST]))
        self.wrong = wrong


@dataclass(frozen=True, slots=True)
class Fetched:
    """A key set, and for how many seconds its issuer says that it is fresh; None where it says nothing."""

    keys: KeySet
    fresh_seconds: float | None


@dataclass(frozen=True, slots=True)
class _Answer:
    body: bytes
    headers: httpx.Headers


class Way:
    """The way to any issuer.

    `ca_file` holds certificates of authorities that are trusted besides the public ones. `plain_http_on_loopback` lets
    an issuer on 127.0.0.0/8 or ::1 be reached without TLS, for tests of a machine of its own; nothing else can.
    """

    def __init__(
        self,
        *,
        ca_file: Path | None = None,
        plain_http_on_loopback: bool = False,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """Load the certificates in `ca_file`; raises SetupError."""
        self._plain = plain_http_on_loopback
        self._seconds = answer_seconds
        self._ca_file = ca_file
        if ca_file is not None:
            _ = self._context

    @cached_property
    def _context(self) -> ssl.SSLContext:
        """Who is trusted. The public authorities take a tenth of a second: they are loaded where they are needed."""
        import httpx

        context = httpx.create_ssl_context(trust_env=False)
        if self._ca_file is not None:
            try:
                context.load_verify_locations(self._ca_file)
            except OSError as exc:  # also where OpenSSL finds no certificate in it
                why = f"the certificates in {self._ca_file}, to trust issuers by, cannot be read: {exc}"
                raise SetupError(why) from exc
        return context

    async def keys(self, issuer: str, pinned: str | None) -> Fetched:
        """The key set of an issuer, from `pinned` or from where its discovery document says; raises NoUse."""
        context = await asyncio.to_thread(lambda: self._context)
        import httpx

        timeout = httpx.Timeout(self._seconds, connect=min(_CONNECT_SECONDS, self._seconds))
        async with httpx.AsyncClient(
            verify=context,
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        ) as client:
            url = pinned if pinned is not None else await self._discovered(client, issuer)
            answer = await self._get(client, url, "its key set")
        try:
            keys = await asyncio.to_thread(jwks.read, answer.body)
        except NotAKeySet as exc:
            raise NoUse(str(exc), wrong=True) from exc
        return Fetched(keys, fresh_seconds(answer.headers))

    async def _discovered(self, client: httpx.AsyncClient, issuer: str) -> str:
        """Where the keys are, from a discovery document that names exactly the pinned issuer."""
        url = issuer.removesuffix("/") + WELL_KNOWN
        answer = await self._get(client, url, "its discovery document")
        try:
            document = strict.read(
                answer.body, max_bytes=jwks.MOST_BYTES, max_depth=16, max_array=4096, max_string=jwks.MOST_BYTES
            )
        except StrictError as exc:
            raise NoUse(f"its discovery document is not JSON that can be believed: {exc}", wrong=True) from exc
        said = document if isinstance(document, dict) else {}
        if said.get("issuer") != issuer:
            raise NoUse(
                f"the discovery document at {url} is of {_shown(said.get('issuer'))}, and {issuer} is pinned: "
                "the two must be the same to the letter",
                wrong=True,
            )
        named = said.get("jwks_uri")
        if not isinstance(named, str):
            raise NoUse(f"the discovery document at {url} has no `jwks_uri`: pin `jwks`", wrong=True)
        if _origin(self._allowed(named)) != _origin(self._allowed(issuer)):
            raise NoUse(
                f"its discovery document says that its keys are at {_shown(named)}, which is another host than its "
                "own: if that is right, pin it as `jwks`",
                wrong=True,
            )
        return named

    async def _get(self, client: httpx.AsyncClient, text: str, what: str) -> _Answer:
        """One exchange that was answered 200 with a body within the limit; raises NoUse."""
        import httpx

        url = self._allowed(text)
        # Without compression: bytes that arrive are bytes that are counted.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            async with asyncio.timeout(self._seconds), client.stream("GET", url, headers=headers) as response:
                if response.status_code != 200:
                    raise _refusal(what, response.status_code)
                if response.headers.get("content-encoding", "identity").lower() != "identity":
                    raise NoUse(f"{what} is compressed, which was not asked for", wrong=True)
                return _Answer(await _bounded(response, what), response.headers)
        except (TimeoutError, httpx.TimeoutException) as exc:
            raise NoUse(f"{what} is not answered within {self._seconds:g} s") from exc
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, UnicodeError) as exc:
            sentence = f"{what} cannot be reached: {str(exc)[:_SHOWN] or type(exc).__name__}"
            raise NoUse(sentence, wrong=_is_distrusted(exc)) from exc

    def _allowed(self, text: str) -> httpx.URL:
        """The URL, if it is one that may be asked."""
        import httpx

        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, UnicodeError) as exc:
            raise NoUse(f"{_shown(text)} is no URL", wrong=True) from exc
        if not url.host or url.userinfo or url.fragment:
            raise NoUse(f"{_shown(text)} is no URL of a host, without a user and a fragment", wrong=True)
        if url.scheme != "https" and not (url.scheme == "http" and self._plain and _is_loopback(url.host)):
            raise NoUse(f"{_shown(text)} is not https, and keys are fetched in no other way", wrong=True)
        return url


def fresh_seconds(headers: httpx.Headers) -> float | None:
    """For how long an answer is fresh (RFC 9111 sections 4.2 and 5.2.2): 0 if it must not be kept, None if unsaid."""
    age, most = _number(headers.get("age")) or 0.0, None
    for part in headers.get("cache-control", "").split(","):
        found = _DIRECTIVE.fullmatch(part)
        if found is None:
            continue
        name, number = found[1].lower(), _number(found[2])
        if name in ("no-store", "no-cache"):
            return 0.0
        if name == "max-age" and number is not None:
            most = number if most is None else min(most, number)
    return None if most is None else max(0.0, most - age)


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) else None


async def _bounded(response: httpx.Response, what: str) -> bytes:
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) > jwks.MOST_BYTES:
            raise NoUse(f"{what} is longer than {jwks.MOST_BYTES} bytes", wrong=True)
    return bytes(data)


def _refusal(what: str, status: int) -> NoUse:
    if 300 <= status < 400:
        return NoUse(f"{what} is elsewhere ({status}), and nobody is followed: pin where it is", wrong=True)
    return NoUse(f"{what} is answered with {status}", wrong=400 <= status < 500 and status not in _LATER)


def _is_distrusted(exc: BaseException) -> bool:
    """Whether a certificate was refused, which is somewhere below what httpx says."""
    below: BaseException | None = exc
    while below is not None:
        if isinstance(below, ssl.SSLCertVerificationError):
            return True
        below = below.__cause__ or below.__context__
    return False


def _is_loopback(host: str) -> bool:
    """Whether a host is an address of this machine; a name is not, whatever it stands for today."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _shown(said: object) -> str:
    """The beginning of what an issuer said."""
    return said[:_SHOWN] if isinstance(said, str) else "nobody"
