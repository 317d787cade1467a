"""Reads fields of a payload or a state: present and of their type, or Malformed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from ledger.canonical import JSON
from ledger.errors import Malformed

State: TypeAlias = dict[str, JSON]
Payload: TypeAlias = Mapping[str, JSON]


def field(payload: Payload, key: str) -> JSON:
    """The value of a field that has to be there."""
    if key not in payload:
        raise Malformed(f"the payload has no `{key}`")
    return payload[key]


def text(payload: Payload, key: str) -> str:
    """A field that is a string."""
    value = field(payload, key)
    if not isinstance(value, str):
        raise Malformed(f"`{key}` is not a string")
    return value


def mapping(payload: Payload, key: str) -> State:
    """A field that is an object."""
    value = field(payload, key)
    if not isinstance(value, dict):
        raise Malformed(f"`{key}` is not an object")
    return value


def member(states: State, key: str) -> State:
    """An object in an object, empty where there is none."""
    return mapping(states, key) if key in states else {}


def known(state: State | None, what: str) -> State:
    """A state that has to be there."""
    if state is None:
        raise Malformed(f"an entry about {what}")
    return state
