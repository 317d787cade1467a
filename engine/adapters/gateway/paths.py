"""The one canonical path: a request's raw target as every framework behind reads it, or refused with a reason.

A path that two readers take for two things is the oldest way around a gateway. So nothing is repaired here: dots,
empty segments, escaped separators, absolute forms and bytes outside of visible ASCII are refused, escapes are decoded
exactly once, and what is left is compared segment by segment (RFC 9112 section 3.2.1, RFC 3986 section 3.3).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote_to_bytes

from engine.bundling.routes import MOST_ID, MOST_TEXT
from engine.bundling.templates import MOST_SEGMENTS, oddity

MOST_BYTES: Final = 8192
MOST_PARAMETERS: Final = 128

Code: TypeAlias = Literal[
    "ambiguous_path", "ambiguous_query", "ambiguous_header", "method_override", "missing_context", "wrong_type",
    "too_long",
]  # fmt: skip

_VISIBLE: Final = re.compile(rb"[!-~]*")
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL_ESCAPE: Final = re.compile(rb"%(?:[01][0-9A-Fa-f]|7[Ff])")
_DELIMITER_ESCAPE: Final = re.compile(rb"%(?:2[35EeFf]|3[BbFf]|5[Cc])")  # of # % . / ; ? \
_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*:/")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TO_UNDERSCORE: Final = str.maketrans(" .", "__")

_SENTENCES: Final = {
    "too_long": f"The target is longer than {MOST_BYTES} bytes.",
    "empty": "The target is empty.",
    "byte": "The target has a byte outside of visible ASCII.",
    "fragment": "The target has a #, which no request has.",
    "asterisk_form": "The target is *, not a path.",
    "absolute_form": "The target is a whole address, not a path.",
    "authority_form": "The target does not begin with /.",
    "backslash": "The path has a backslash, which some readers take for /.",
    "semicolon": "The path has a semicolon, behind which some readers cut a segment off.",
    "bad_escape": "A % is not followed by two hexadecimal digits.",
    "control": "A control character is escaped in it.",
    "escaped_delimiter": "A / \\ % . ; ? or # is escaped in the path, which some readers decode and some do not.",
    "not_utf8": "What is escaped in it is not UTF-8.",
    "too_many_segments": f"The path has more than {MOST_SEGMENTS} segments.",
    "empty_segment": "The path has an empty segment.",
    "dot_segment": "The path has a segment . or ..",
    "foldable": "The path has a letter that some readers fold into a separator or a dot.",
    "separator": "The path has a separator in a segment.",
    "query_semicolon": "The query has a semicolon, which some readers take for &.",
    "too_many_parameters": f"The query has more than {MOST_PARAMETERS} parameters.",
    "repeated": "It is there more than once.",
    "alias": "Another spelling of its name is there, which some readers take for it.",
    "no_value": "It has no = behind its name.",
    "text_too_long": f"It is longer than {MOST_TEXT} characters.",
    "id_too_long": f"The ID that the path makes is longer than {MOST_ID} characters.",
    "text_byte": "It has a byte outside of visible ASCII and blanks.",
    "comma": "It has a comma: a gateway may have joined two headers to one.",
    "missing": "It is not there, and the route needs it.",
    "not_integer": "It is not an integer.",
    "not_boolean": "It is neither true nor false.",
    "not_an_id": "It is not the ID of a stored request.",
    "override": "A header or parameter names another method than the request has, and the route does not allow that.",
}
REASONS: Final = frozenset(_SENTENCES)


@dataclass(frozen=True, slots=True)
class Refused:
    """What was not read, and so never an allow. Codes and reasons are closed sets; nothing of the request is in it.

    `field` is the parameter or header that a route names; it is empty where the target itself is refused.
    """

    code: Code
    reason: str
    sentence: str
    field: str = ""


def refused(code: Code, reason: str, field: str = "") -> Refused:
    """A refusal with its reason's sentence."""
    return Refused(code, reason, _SENTENCES[reason], field)


@dataclass(frozen=True, slots=True)
class Target:
    """A path by its decoded segments, and the query as it was sent, without its `?`; no segments are the path /."""

    segments: tuple[str, ...]
    query: bytes


def read(target: bytes) -> Target | Refused:
    """The target of a request line, as it was sent."""
    path, _, query = target.partition(b"?")
    reason = _odd_target(target, path)
    if reason is not None:
        return refused("ambiguous_path", reason)
    try:
        text = unquote_to_bytes(path).decode("utf-8") if b"%" in path else path.decode("ascii")
    except UnicodeDecodeError:
        return refused("ambiguous_path", "not_utf8")
    parts = text[1:].split("/")
    if not parts[-1]:  # one slash at the end says nothing, and so does the one of the path /
        parts.pop()
    if len(parts) > MOST_SEGMENTS:
        return refused("ambiguous_path", "too_many_segments")
    for part in parts:
        odd = oddity(part)
        if odd is not None:
            return refused("ambiguous_path", odd)
    return Target(tuple(parts), query)


def _odd_target(target: bytes, path: bytes) -> str | None:
    """What is wrong with a target's bytes, before anything is decoded."""
    if len(target) > MOST_BYTES:
        return "too_long"
    if not target:
        return "empty"
    if not _VISIBLE.fullmatch(target):
        return "byte"
    if b"#" in target:
        return "fragment"
    if not path.startswith(b"/"):
        if target == b"*":
            return "asterisk_form"
        return "absolute_form" if _SCHEME.match(target) else "authority_form"
    return _odd_bytes(path)


def _odd_bytes(path: bytes) -> str | None:
    if b"\\" in path:
        return "backslash"
    if b";" in path:
        return "semicolon"
    if b"%" not in path:
        return None
    if _BAD_ESCAPE.search(path):
        return "bad_escape"
    if _CONTROL_ESCAPE.search(path):
        return "control"
    return "escaped_delimiter" if _DELIMITER_ESCAPE.search(path) else None


def query(raw: bytes, wanted: Collection[str]) -> dict[str, str] | Refused:
    """The values of the wanted parameters that a query has, decoded once; the others' values are nobody's affair.

    Refused is what two readers take for two things: a wanted parameter that is there twice, or under a name that some
    frameworks make the same (`Ticket`, `ticket[]`, `ticket.x` beside `ticket_x`), a semicolon, a bad escape.
    """
    if not wanted or not raw:
        return {}
    if not _VISIBLE.fullmatch(raw):
        return refused("ambiguous_query", "byte")
    if b";" in raw:
        return refused("ambiguous_query", "query_semicolon")
    if _BAD_ESCAPE.search(raw):
        return refused("ambiguous_query", "bad_escape")
    pieces = [piece for piece in raw.split(b"&") if piece]
    if len(pieces) > MOST_PARAMETERS:
        return refused("ambiguous_query", "too_many_parameters")
    aliases = {_alias(name) for name in wanted}
    found: dict[str, str] = {}
    for piece in pieces:
        escaped, equals, escaped_value = piece.partition(b"=")
        name, reason = _decoded(escaped)
        if reason is None and name in wanted:
            value, reason = _decoded(escaped_value)
            if not equals:
                reason = "no_value"
            elif name in found:
                reason = "repeated"
            found[name] = value
        elif reason is None and _alias(name) in aliases:
            reason = "alias"
        if reason is not None:
            return refused("ambiguous_query", reason, name if name in wanted else "")
    return found


def names(raw: bytes) -> frozenset[str]:
    """Each name that anybody could find in a query, in the form that names are compared in: to look for what is not
    wanted there, so it splits at all that some reader splits at, and refuses nothing."""
    pieces = re.split(rb"[&;?]", raw)
    plain = (unquote_to_bytes(p.partition(b"=")[0].replace(b"+", b" ")).decode("utf-8", "replace") for p in pieces)
    return frozenset(map(_alias, plain))


def _decoded(escaped: bytes) -> tuple[str, str | None]:
    """A name or value, and why it is refused."""
    try:
        text = unquote_to_bytes(escaped.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        return "", "not_utf8"
    return text, "control" if _CONTROL.search(text) else None


def _alias(name: str) -> str:
    """A name as the most careless framework reads it: PHP cuts `[` off and makes `.` and blanks `_`, ASP.NET folds."""
    return name.partition("[")[0].strip().translate(_TO_UNDERSCORE).casefold()
