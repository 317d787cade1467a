"""Reads a form that was sent: bounded, plain fields only."""

from __future__ import annotations

from urllib.parse import parse_qsl

from fastapi import Request

from engine.api.reading import raw
from engine.errors import BadRequest

_MOST_FIELDS = 500


async def fields(request: Request) -> dict[str, list[str]]:
    """Every field with its values, in order; raises BadRequest for anything but a plain form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise BadRequest("a form of this page is expected")
    try:
        pairs = parse_qsl(
            (await raw(request)).decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except (UnicodeError, ValueError) as exc:
        raise BadRequest("the form cannot be read") from exc
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def one(form: dict[str, list[str]], name: str, otherwise: str = "") -> str:
    """A field's first value."""
    return form.get(name, [otherwise])[0]
