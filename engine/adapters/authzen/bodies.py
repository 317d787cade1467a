"""The requests of AuthZEN's Authorization API 1.0 as OpenAPI shows them; `reading` is what reads them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from engine.adapters.authzen.reading import LONGEST_TEXT


def _no_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


_MAY_BE_ABSENT = Field(json_schema_extra=_no_default)
"""A field that may be left out, and is never null."""
Words = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]


class _Asked(BaseModel):
    """As the specification has it; further fields are ignored."""

    model_config = ConfigDict(extra="allow")


class EntityBody(_Asked):
    """A subject or a resource. Properties that are given replace those of the source whole."""

    type: Words
    id: Words
    properties: dict[str, Any] = {}


class SearchedBody(_Asked):
    """What is searched for: an ID is ignored."""

    type: Words
    properties: dict[str, Any] = {}


class ActionBody(_Asked):
    """An action."""

    name: Words
    properties: dict[str, Any] = {}


class EvaluationBody(_Asked):
    """Access Evaluation."""

    subject: EntityBody
    action: ActionBody
    resource: EntityBody
    context: dict[str, Any] = {}


class ItemBody(_Asked):
    """What an item does not say itself it has from the top level, each entity whole."""

    subject: Annotated[EntityBody | SkipJsonSchema[None], _MAY_BE_ABSENT] = None
    action: Annotated[ActionBody | SkipJsonSchema[None], _MAY_BE_ABSENT] = None
    resource: Annotated[EntityBody | SkipJsonSchema[None], _MAY_BE_ABSENT] = None
    context: Annotated[dict[str, Any] | SkipJsonSchema[None], _MAY_BE_ABSENT] = None


class OptionsBody(_Asked):
    """How a batch is evaluated."""

    evaluations_semantic: Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"] = "execute_all"


class EvaluationsBody(ItemBody):
    """Access Evaluations."""

    evaluations: Annotated[list[ItemBody], Field(max_length=256)] = []
    options: OptionsBody = OptionsBody()


class PageBody(_Asked):
    """Which part of the results; a token goes with the search that it came from."""

    limit: Annotated[int, Field(ge=0)] = 100
    token: Annotated[Annotated[str, Field(min_length=1)] | SkipJsonSchema[None], _MAY_BE_ABSENT] = None
    properties: dict[str, Any] = {}


class SubjectSearchBody(EvaluationBody):
    """Subject Search."""

    subject: SearchedBody  # type: ignore[assignment]  # what is searched for has no ID: pydantic takes another type
    page: Annotated[PageBody | SkipJsonSchema[None], _MAY_BE_ABSENT] = None


class ResourceSearchBody(EvaluationBody):
    """Resource Search."""

    resource: SearchedBody  # type: ignore[assignment]  # what is searched for has no ID: pydantic takes another type
    page: Annotated[PageBody | SkipJsonSchema[None], _MAY_BE_ABSENT] = None


class ActionSearchBody(_Asked):
    """Action Search."""

    subject: EntityBody
    resource: EntityBody
    context: dict[str, Any] = {}
    page: Annotated[PageBody | SkipJsonSchema[None], _MAY_BE_ABSENT] = None
