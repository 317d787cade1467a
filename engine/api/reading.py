"""Reads what a caller sent: the strict reader before every body, and the checks that types alone do not make.

`ledger.strict` says what JSON may be here (RFC 7493 and our limits); the models say which fields there are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError
from starlette.requests import ClientDisconnect

from engine.api.envelope import BODY_LIMIT, CONTROL
from engine.errors import BadRequest, FieldError, TooLarge
from ledger import instants, strict
from ledger.errors import StrictError
from ledger.model import JSON

Model = TypeVar("Model", bound=BaseModel)


def _printable(text: str) -> str:
    if CONTROL.search(text):
        raise ValueError("must not contain control characters")
    return text


def _instant(text: str) -> str:
    if not instants.is_instant(text):
        raise ValueError("must be an instant such as 2026-01-31T09:00:00.000Z")
    return text


Name = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_printable)]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Instant = Annotated[str, AfterValidator(_instant)]


class Body(BaseModel):
    """A body of our own endpoints: typed, frozen, and with no field that we do not know."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


async def raw(request: Request, limit: int = BODY_LIMIT) -> bytes:
    """The body's bytes; raises TooLarge as soon as it is."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise TooLarge(f"the body is larger than {limit} bytes")
    except ClientDisconnect as exc:
        raise BadRequest("the body ended before it was whole") from exc
    return bytes(body)


async def json_value(request: Request, *, limit: int = BODY_LIMIT, max_array: int = 256) -> JSON:
    """The body as strictly read JSON; raises BadRequest with the place, or TooLarge."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise BadRequest("the body must be JSON", (FieldError("", "Content-Type must be application/json"),))
    try:
        return strict.read(await raw(request, limit), max_bytes=limit, max_array=max_array)
    except StrictError as exc:
        if exc.too_large:
            raise TooLarge(exc.detail) from exc
        raise BadRequest("the body is not JSON as we read it", (FieldError(exc.pointer, exc.detail),)) from exc


def body(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """A FastAPI dependency: the body, strictly read and checked against a model."""

    async def read(request: Request) -> Model:
        return validate(model, await json_value(request))

    return read


def validate(model: type[Model], value: JSON) -> Model:
    """Check a JSON value against a model; raises BadRequest with every wrong place."""
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        places = tuple(FieldError(_pointer(e["loc"]), str(e["msg"])) for e in exc.errors(include_url=False))
        raise BadRequest("the body does not have the fields of this call", places) from exc


def documented(model: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of a body that we read ourselves."""
    schema = model.model_json_schema()
    whole = _inlined(schema, schema.pop("$defs", {}))
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": whole}}}}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """A schema whose references are written out: an operation's own schema has nowhere to point to."""
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items()}


async def no_stray_parameters(request: Request) -> None:
    """Refuse query parameters that the route does not know, and ones given twice: both hide a mistake."""
    dependant = request.scope["route"].dependant
    known = {field.alias for field in dependant.query_params}
    given = [name for name, _ in request.query_params.multi_items()]
    errors = [FieldError(f"query/{n}", "is not a parameter of this call") for n in given if n not in known]
    errors += [FieldError(f"query/{n}", "is given more than once") for n in set(given) if given.count(n) > 1]
    if errors:
        raise BadRequest("a parameter is wrong", tuple(errors))


StrictQuery = Depends(no_stray_parameters)


def _pointer(location: tuple[int | str, ...]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)
