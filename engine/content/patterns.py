"""Patterns that authors write and learners' texts are matched with: RE2, whose time is linear in the text."""

from __future__ import annotations

import re2

_QUIET = re2.Options()
_QUIET.log_errors = False


def compiles(pattern: str) -> bool:
    """Whether a pattern can be used (RE2's syntax: no look-around, no back references)."""
    try:
        re2.compile(pattern, _QUIET)
    except re2.error:
        return False
    return True


def fits(pattern: str, text: str) -> bool:
    """Whether all of a text fits a pattern."""
    return re2.fullmatch(pattern, text, _QUIET) is not None
