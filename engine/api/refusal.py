"""What whoever asks for a decision is answered where there is no room for it, before anything but the head is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer of status 503 that is made once."""

    lines: bytes
    """Its header lines, but for the request's ID and how long the connection stays."""
    body: bytes
    told: Callable[[], None]
    """Called for each."""
    after_body: bool
    """Whether there is no decision without the request's body: then it is waited for, refused or not."""

    def written(self, common: Iterable[tuple[bytes, bytes]], request_id: str, *, closes: bool, bare: bool) -> bytes:
        """One, as it is sent: with the headers that every answer has; `bare` without its body."""
        lines = [b"HTTP/1.1 503 Service Unavailable\r\n"]
        for name, value in common:
            lines += (name, b": ", value, b"\r\n")
        lines += (self.lines, b"x-request-id: ", request_id.encode(), b"\r\n")
        if closes:
            lines.append(b"connection: close\r\n")
        lines += (b"\r\n", b"" if bare else self.body)
        return b"".join(lines)


def refusal(
    headers: Iterable[tuple[bytes, bytes]], body: bytes, told: Callable[[], None], *, after_body: bool
) -> Refusal:
    """One with these headers."""
    given = [each for each in headers if each[0] != b"content-length"]
    lines = b"".join(b"%b: %b\r\n" % each for each in [*given, (b"content-length", b"%d" % len(body))])
    return Refusal(lines=lines, body=body, told=told, after_body=after_body)
