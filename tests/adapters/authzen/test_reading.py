"""What is read is what OpenAPI shows, and a property that is not given is another thing than one that is empty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from engine.adapters.authzen import bodies, reading
from engine.adapters.authzen.reading import NOT_GIVEN, Batch, Invalid
from engine.api.reading import documented
from engine.decide.request import Request
from engine.errors import BadRequest
from ledger.model import JSON

SCALARS = st.sampled_from([None, True, 0, 1.5, "", "x", "x" * 1025])
VALUES: st.SearchStrategy[Any] = st.one_of(SCALARS, st.just([]), st.just({}), st.just([{}]))
TEXTS = st.one_of(st.just("x"), VALUES)
TABLES = st.one_of(st.just({"a": 1}), VALUES)
ENTITIES = st.one_of(
    st.fixed_dictionaries({"type": st.just("t"), "id": st.just("i")}),
    st.fixed_dictionaries({}, optional={"type": TEXTS, "id": TEXTS, "properties": TABLES, "odd": VALUES}),
    VALUES,
)
ACTIONS = st.one_of(
    st.just({"name": "n"}), st.fixed_dictionaries({}, optional={"name": TEXTS, "properties": TABLES}), VALUES
)
PAGES = st.one_of(
    st.fixed_dictionaries(
        {}, optional={"limit": st.sampled_from([0, 7, -1, 1.5, "1", None]), "token": TEXTS, "properties": TABLES}
    ),
    VALUES,
)
PARTS = {"subject": ENTITIES, "action": ACTIONS, "resource": ENTITIES, "context": TABLES, "page": PAGES}
GOOD: dict[str, JSON] = {
    "subject": {"type": "t", "id": "i"},
    "action": {"name": "n"},
    "resource": {"type": "t", "id": "i"},
    "context": {},
    "page": {"limit": 1},
}


@st.composite
def _bodies(draw: st.DrawFn) -> dict[str, JSON]:
    """A good body, of which a part or two are another or not there."""
    body = dict(GOOD)
    for part in draw(st.lists(st.sampled_from(sorted(PARTS)), max_size=2)):
        if draw(st.booleans()):
            body[part] = draw(PARTS[part])
        else:
            body.pop(part, None)
    return body


READERS: dict[str, tuple[type[BaseModel], Callable[[JSON], Any]]] = {
    "evaluation": (bodies.EvaluationBody, reading.evaluation),
    "subject": (bodies.SubjectSearchBody, lambda value: reading.search("subject", value)),
    "resource": (bodies.ResourceSearchBody, lambda value: reading.search("resource", value)),
    "action": (bodies.ActionSearchBody, lambda value: reading.search("action", value)),
}


@pytest.mark.parametrize(("model", "read"), READERS.values(), ids=READERS)
@given(body=_bodies())
@settings(max_examples=500)
def test_what_is_shown_is_what_is_read(model: type[BaseModel], read: Callable[[JSON], Any], body: Any) -> None:
    """A body is taken if and only if it fits the schema of OpenAPI."""
    schema = documented(model)["requestBody"]["content"]["application/json"]["schema"]
    try:
        read(body)
        taken = True
    except BadRequest:
        taken = False
    assert Draft202012Validator(schema).is_valid(body) is taken


@given(st.lists(st.one_of(st.fixed_dictionaries({}, optional={"subject": ENTITIES, "context": TABLES}), VALUES)))
@settings(max_examples=300)
def test_an_item_is_what_it_would_be_alone(items: list[Any]) -> None:
    """Each item is the request that it and the defaults make, read by itself; or invalid where that is refused."""
    default: dict[str, JSON] = {
        "subject": {"type": "t", "id": "i", "properties": {"a": 1}},
        "action": {"name": "n"},
        "resource": {"type": "t", "id": "i"},
        "context": {"b": 2},
    }
    batch = reading.evaluations({**default, "evaluations": items})
    if not items:
        assert batch == reading.evaluation(default)
        return
    assert isinstance(batch, Batch)
    for item, told in zip(items, batch.items, strict=True):
        try:
            alone: Request | None = reading.evaluation({**default, **item}) if isinstance(item, dict) else None
        except BadRequest:
            alone = None
        assert told == alone if alone is not None else isinstance(told, Invalid)


def test_nothing_and_an_empty_object_are_two_things() -> None:
    """Only an entity without `properties` is completed from the source."""
    body: dict[str, JSON] = {"subject": {"type": "t", "id": "i"}, "action": {"name": "n"}}
    absent = reading.evaluation({**body, "resource": {"type": "t", "id": "i"}})
    assert absent.resource.properties is NOT_GIVEN
    empty = reading.evaluation({**body, "resource": {"type": "t", "id": "i", "properties": {}}})
    assert empty.resource.properties is not NOT_GIVEN
