"""Names of hosts as they are compared: lower case, without port and without the dot at the end."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

ANY: Final = "*"
"""In a route: whatever the host. It is no name, so no request can send it."""
_MOST: Final = 253
_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_PORT: Final = re.compile(r"[0-9]{1,5}")


def canonical(text: str) -> str | None:
    """A `Host` as routes name it; None for what is not a host with, perhaps, a port.

    An IPv6 literal keeps its brackets and is written as RFC 5952 writes it. User names, lists and letters beyond ASCII
    (some of which become ASCII in lower case) are no host.
    """
    if not text.isascii():
        return None
    text = text.lower()
    if text.startswith("["):
        literal, closed, port = text[1:].partition("]")
        name = _literal(literal) if closed else None
    else:
        host, colon, port = text.partition(":")
        port = colon + port
        name = host.removesuffix(".")
        if not _NAME.fullmatch(name) or len(name) > _MOST:
            name = None
    return name if _is_port(port) else None


def is_name(text: str) -> bool:
    """Whether a text is a host in the very spelling that is compared, without a port."""
    return canonical(text) == text


def is_place(text: str) -> bool:
    """Whether a text is a host as it is compared, with or without a port."""
    name = canonical(text)
    return name is not None and (text == name or text.startswith(f"{name}:"))


def _literal(text: str) -> str | None:
    """An IPv6 literal, without a zone: that is a name of an interface of ours."""
    try:
        return f"[{ipaddress.IPv6Address(text).compressed}]" if "%" not in text else None
    except ValueError:
        return None


def _is_port(text: str) -> bool:
    return not text or (text[0] == ":" and _PORT.fullmatch(text[1:]) is not None and int(text[1:]) <= 65_535)
