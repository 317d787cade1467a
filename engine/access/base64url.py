"""base64url as RFC 7515 section 2 has it: no padding, no blanks, and one spelling for each string of bytes."""

from __future__ import annotations

import base64
import binascii


def decoded(text: bytes) -> bytes | None:
    """The bytes that `text` stands for; None where it is not the one way to write them.

    Python's decoder passes over what is not of the alphabet and over trailing bits that are not zero; to write the
    result again and compare finds both, and is done in C.
    """
    try:
        data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return None
    return data if encoded(data) == text else None


def encoded(data: bytes) -> bytes:
    """The one way to write `data`."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")
