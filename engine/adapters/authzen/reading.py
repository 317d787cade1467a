"""Reads the requests of AuthZEN's Authorization API 1.0 (sections 5, 6, 7 and 8) into what the deciding room takes.

Fields that the specification does not know are ignored, as it asks (section 10.1.1). What it leaves open is decided the
strict way: a text is never empty, and null is no value of any field of the request itself (section 11.5: what is absent
and what is null must not be mistaken for each other). Inside `properties` and `context` null is a value like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, get_args

from engine.decide.request import Entity, Request
from engine.errors import BadRequest, FieldError
from ledger.model import JSON

LONGEST_TEXT: Final = 1024
"""Characters of a type, an ID or a name, as everywhere in Muster."""

NOT_GIVEN: Final[Mapping[str, JSON]] = MappingProxyType({})
"""Stands, by identity, for the properties of an entity that came without any: `{}` says that it has none."""

Semantic: TypeAlias = Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"]
Kind: TypeAlias = Literal["subject", "resource", "action"]
_SEMANTICS: Final[tuple[str, ...]] = get_args(Semantic)
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Invalid:
    """An item of a batch that is no request, and why; pointers lead into the item."""

    errors: tuple[FieldError, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests that are independent of each other, each of them whole, in their order."""

    semantic: Semantic
    items: tuple[Request | Invalid, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which part of the results is asked for; `properties` are the caller's, and nothing here reads them."""

    limit: int | None = None
    token: str | None = None
    properties: Mapping[str, JSON] = field(default_factory=lambda: NOT_GIVEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Who, on what, or what may be done. The ID, or name, of what is searched for is empty."""

    kind: Kind
    question: Request
    page: Page | None


def evaluation(value: JSON) -> Request:
    """The request of an Access Evaluation; raises BadRequest with every wrong place."""
    reader = _Reader()
    body = reader.body(value)
    request = reader.request(
        subject=reader.entity(body, "subject"),
        action=reader.action(body),
        resource=reader.entity(body, "resource"),
        context=reader.table(body, "context"),
    )
    reader.settle()
    return request


def evaluations(value: JSON) -> Request | Batch:
    """The requests of Access Evaluations; one Request where `evaluations` is absent or empty (section 7.1).

    What stands at the top level is right or the whole is refused (BadRequest); an item that is wrong is Invalid.
    """
    reader = _Reader()
    body = reader.body(value)
    items = body.get("evaluations", [])
    if type(items) is not list:
        reader.note("/evaluations", "must be an array")
        items = []
    if not items and not reader.wrong:
        return evaluation(value)
    defaults: dict[str, Any] = {
        key: reader.action(body) if key == "action" else reader.entity(body, key)
        for key in ("subject", "action", "resource")
        if key in body
    }
    defaults["context"] = reader.table(body, "context")
    semantic = _semantic(reader, reader.table(body, "options"))
    reader.settle()
    return Batch(semantic, tuple(_item(item, defaults) for item in items))


def search(kind: Kind, value: JSON) -> Search:
    """A search for subjects, resources or actions; raises BadRequest with every wrong place."""
    reader = _Reader()
    body = reader.body(value)
    request = reader.request(
        subject=reader.entity(body, "subject", searched=kind == "subject"),
        action=("", NOT_GIVEN) if kind == "action" else reader.action(body),
        resource=reader.entity(body, "resource", searched=kind == "resource"),
        context=reader.table(body, "context"),
    )
    page = _page(reader, reader.table(body, "page")) if "page" in body else None
    reader.settle()
    return Search(kind=kind, question=request, page=page)


def _semantic(reader: _Reader, options: Mapping[str, JSON]) -> Semantic:
    given = options.get("evaluations_semantic", "execute_all")
    for known in get_args(Semantic):
        if given == known:
            return known  # type: ignore[no-any-return]  # one of the literals
    reader.note("/options/evaluations_semantic", f"must be one of {', '.join(_SEMANTICS)}")
    return "execute_all"


def _item(value: JSON, defaults: Mapping[str, Any]) -> Request | Invalid:
    """One item, with the defaults for what it does not say itself: whole entities, never parts of them."""
    reader = _Reader()
    if type(value) is not dict:
        return Invalid((FieldError("", "must be an object"),))

    def entity(key: str) -> Entity:
        if key not in value and key in defaults:
            return defaults[key]  # type: ignore[no-any-return]  # read as an entity before
        return reader.entity(value, key)

    request = reader.request(
        subject=entity("subject"),
        action=defaults["action"] if "action" not in value and "action" in defaults else reader.action(value),
        resource=entity("resource"),
        context=reader.table(value, "context") if "context" in value else defaults["context"],
    )
    return Invalid(tuple(reader.wrong)) if reader.wrong else request


def _page(reader: _Reader, given: Mapping[str, JSON]) -> Page:
    limit = given.get("limit", _ABSENT)
    if limit is not _ABSENT and (type(limit) is not int or limit < 0):
        reader.note("/page/limit", "must be an integer that is not negative")
    token = given.get("token", _ABSENT)
    if token is not _ABSENT and type(token) is not str:
        reader.note("/page/token", "must be a string")
    elif token == "":
        reader.note("/page/token", "is empty: a first page is asked for without one, and after the last there is none")
    return Page(
        limit=limit if type(limit) is int else None,
        token=token if type(token) is str else None,
        properties=reader.table(given, "properties", "/page"),
    )


@dataclass(slots=True)
class _Reader:
    """Reads field after field, and notes each wrong place instead of stopping at the first."""

    wrong: list[FieldError] = field(default_factory=list)

    def note(self, pointer: str, detail: str) -> None:
        self.wrong.append(FieldError(pointer, detail))

    def settle(self) -> None:
        if self.wrong:
            raise BadRequest("this is no request of AuthZEN's Authorization API", tuple(self.wrong))

    def body(self, value: JSON) -> dict[str, JSON]:
        if type(value) is dict:
            return value
        self.note("", "must be an object")
        self.settle()
        raise AssertionError("unreachable: it was noted")

    def request(
        self,
        *,
        subject: Entity,
        action: tuple[str, Mapping[str, JSON]],
        resource: Entity,
        context: Mapping[str, JSON],
    ) -> Request:
        name, properties = action
        return Request(subject=subject, action=name, action_properties=properties, resource=resource, context=context)

    def entity(self, holder: Mapping[str, JSON], key: str, *, searched: bool = False) -> Entity:
        """A subject or resource; the ID of what is searched for is ignored, whatever it is (section 8.4)."""
        value = self._object(holder, key)
        if value is None:
            return Entity(type="", id="")
        return Entity(
            type=self._text(value, "type", f"/{key}"),
            id="" if searched else self._text(value, "id", f"/{key}"),
            properties=self.table(value, "properties", f"/{key}"),
        )

    def action(self, holder: Mapping[str, JSON]) -> tuple[str, Mapping[str, JSON]]:
        """The name and the properties of an action."""
        value = self._object(holder, "action")
        if value is None:
            return "", NOT_GIVEN
        return self._text(value, "name", "/action"), self.table(value, "properties", "/action")

    def table(self, holder: Mapping[str, JSON], key: str, above: str = "") -> Mapping[str, JSON]:
        """An object that may be absent."""
        value = holder.get(key, _ABSENT)
        if value is _ABSENT:
            return NOT_GIVEN
        if type(value) is dict:
            return value
        self.note(f"{above}/{key}", "must be an object, or left out")
        return NOT_GIVEN

    def _object(self, holder: Mapping[str, JSON], key: str) -> dict[str, JSON] | None:
        value = holder.get(key, _ABSENT)
        if type(value) is dict:
            return value
        self.note(f"/{key}", "is required" if value is _ABSENT else "must be an object")
        return None

    def _text(self, holder: Mapping[str, JSON], key: str, above: str) -> str:
        value = holder.get(key, _ABSENT)
        if type(value) is str and 0 < len(value) <= LONGEST_TEXT:
            return value
        pointer = f"{above}/{key}"
        if value is _ABSENT:
            self.note(pointer, "is required")
        elif type(value) is not str:
            self.note(pointer, "must be a string")
        else:
            self.note(pointer, f"must have 1 to {LONGEST_TEXT} characters")
        return ""
