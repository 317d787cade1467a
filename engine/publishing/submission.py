"""One checkpoint to one witness, and back: C2SP tlog-witness as its client.

Owns what is sent and what of an answer is believed; keeps nothing. A cosignature is believed only after the witness's
key has verified it, an answer is read to a limit and within a time, and nobody is followed anywhere else.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from ledger import instants
from ledger.errors import MalformedInstant
from ledger.verifier.errors import Invalid
from ledger.verifier.note import Key, Signature, parse, parse_signature

if TYPE_CHECKING:
    import httpx  # takes a tenth of a second: it is loaded where there is a witness to ask

ANSWER_SECONDS: Final = 10.0
MOST_BYTES: Final = 16 * 1024
_SIZE_TYPE: Final = "text/x.tlog.size"
_DECIMAL: Final = re.compile(rb"(0|[1-9][0-9]{0,18})\n?")
_SHOWN: Final = 200


class NoUse(Exception):
    """The witness is away, or what it answers is of no use; a sentence for whoever runs Muster."""


@dataclass(frozen=True, slots=True)
class Line:
    """A cosignature that its key has verified, as a line without its newline, and the instant that it states."""

    text: str
    at: str


@dataclass(frozen=True, slots=True)
class Holds:
    """The witness holds another size than was named (409)."""

    size: int


@dataclass(frozen=True, slots=True)
class Inconsistent:
    """What was sent does not go on from what the witness holds, it says (422)."""

    said: str


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    kind: str
    body: bytes

    @property
    def words(self) -> str:
        """The beginning of the body, fit to be shown."""
        text = self.body[:_SHOWN].decode("utf-8", "replace").strip()
        return "".join(c if c.isprintable() else " " for c in text) or "without a word"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A way to one witness: where it takes checkpoints (its submission prefix), and the key that it cosigns with."""

    client: httpx.AsyncClient
    prefix: str
    key: Key

    async def add(self, old: int, proof: Sequence[bytes], note: str, log: Key) -> Line | Holds | Inconsistent:
        """Ask for a cosignature, where the witness is believed to hold `old` entries; raises NoUse."""
        hashes = "".join(f"{base64.b64encode(node).decode()}\n" for node in proof)
        answer = await self._ask("POST", "/add-checkpoint", f"old {old}\n{hashes}\n{note}".encode())
        if answer.status == 200:
            return self._cosignature(answer, note)
        if answer.status == 409:
            return Holds(_size(answer))
        if answer.status == 422:
            return Inconsistent(answer.words)
        raise NoUse(_refusal(answer, log))

    async def held(self, origin: str) -> bytes:
        """The checkpoint that the witness holds of a log, nothing of it believed; raises NoUse."""
        answer = await self._ask("GET", f"/{sha256(origin.encode()).hexdigest()}/checkpoint")
        if answer.status != 200:
            raise NoUse(f"it shows no checkpoint ({answer.status}: {answer.words})")
        return answer.body

    def _cosignature(self, answer: _Answer, note: str) -> Line:
        """The witness's own line; those of other keys are ignored."""
        try:
            lines = answer.body.decode("utf-8").removesuffix("\n").split("\n")
            text = parse(note.encode()).text
            for line in lines:
                signature = parse_signature(line)
                if self.key.made(signature):
                    return Line(line, _instant(self.key, text, signature))
        except (UnicodeDecodeError, Invalid) as exc:
            raise NoUse(f"its cosignature is refused: {exc}") from exc
        raise NoUse(f"it answers without a cosignature of the key in the policy, {self.key.vkey()}")

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> _Answer:
        """One exchange; what a connection can do is never more than that the witness is away."""
        import httpx

        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                self.client.stream(method, self.prefix + path, content=body) as response,
            ):
                return _Answer(
                    response.status_code,
                    response.headers.get("content-type", "").partition(";")[0].strip().lower(),
                    await _bounded(response),
                )
        except (TimeoutError, httpx.TimeoutException) as exc:
            raise NoUse(f"it does not answer within {ANSWER_SECONDS:.0f} s") from exc
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, UnicodeError) as exc:
            raise NoUse(f"it cannot be reached: {str(exc) or type(exc).__name__}") from exc


def client() -> httpx.AsyncClient:
    """A client for any number of witnesses: it keeps connections, takes no redirect, and no proxy of the environment.

    Without compression: bytes that arrive are bytes that are counted.
    """
    import httpx

    return httpx.AsyncClient(
        timeout=httpx.Timeout(ANSWER_SECONDS, connect=5.0),
        headers={"Accept-Encoding": "identity", "Content-Type": "text/plain; charset=utf-8"},
        follow_redirects=False,
        trust_env=False,
    )


async def _bounded(response: httpx.Response) -> bytes:
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) > MOST_BYTES:
            raise NoUse(f"it answers {response.status_code} with more than {MOST_BYTES} bytes")
    return bytes(data)


def _instant(key: Key, text: str, signature: Signature) -> str:
    """When the cosignature was made, after it was verified; raises Invalid."""
    when = key.verify(text, signature)
    try:
        return instants.from_ms((when or 0) * 1000)
    except MalformedInstant as exc:
        raise Invalid(f"it was made at no time that can be ({when})") from exc


def _size(answer: _Answer) -> int:
    found = _DECIMAL.fullmatch(answer.body)
    if answer.kind == _SIZE_TYPE and found is not None:
        return int(found.group(1))
    raise NoUse(f"it answers 409 without the size that it holds ({answer.kind or 'no type'}: {answer.words})")


def _refusal(answer: _Answer, log: Key) -> str:
    """What to tell the witness's operator."""
    said = f"{answer.status}: {answer.words}"
    if answer.status == 404:
        return f"it does not know this log ({said}): tell its operator to take in {log.name} with the key {log.vkey()}"
    if answer.status == 403:
        return f"it does not trust the log's key ({said}): tell its operator that {log.name} signs with {log.vkey()}"
    if answer.status == 400:
        return f"it calls a checkpoint of {log.name} malformed ({said}): tell its operator, and look at both versions"
    if 300 <= answer.status < 400:
        return f"it points elsewhere, and nobody is followed ({answer.status}): correct its URL in the policy"
    return f"it answers {said}"
