"""What is asked: the one shape that every adapter turns its protocol into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ledger.model import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A subject or resource as in AuthZEN: type, ID, and the properties that the caller asserts."""

    type: str
    id: str
    properties: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """May `subject` do `action` on `resource` now? Callers never supply the time."""

    subject: Entity
    action: str
    action_properties: Mapping[str, JSON] = field(default_factory=dict)
    resource: Entity
    context: Mapping[str, JSON] = field(default_factory=dict)
    stored: str | None = None
    """The ID of a request that was stored beforehand, and gives what is not said here."""
