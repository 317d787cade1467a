"""Checks a document against a model: each mistake is told at its line, with the nearest word that is known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from engine.bundling.yamlfile import Document

Model = TypeVar("Model", bound=BaseModel)


def validated(document: Document, model: type[Model], hints: Mapping[str, str] | None = None) -> Model | None:
    """The document as its model, or None with every mistake noted at its line; `hints` are for keys often misplaced."""
    if document.value is None:
        return None
    try:
        return model.model_validate(document.value)
    except ValidationError as exc:
        for error in exc.errors(include_url=False):
            place = tuple(p for p in error["loc"] if p != "[key]")
            hint = ""
            if error["type"] == "extra_forbidden":
                hint = (hints or {}).get(str(place[0])) or near(str(place[-1]), _keys(model, place))
            elif error["type"] == "string_pattern_mismatch":
                hint = f"expected {error['ctx']['pattern']}"
            document.wrong(place, str(error["msg"]).removeprefix("Value error, "), hint)
        return None


def _keys(kind: Any, place: tuple[str | int, ...]) -> set[str]:
    """The keys that are known where a key stands; `place` ends with that key."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if "root" in kind.model_fields:
            return _keys(kind.model_fields["root"].annotation, place)
        if len(place) == 1:
            return {field.alias or name for name, field in kind.model_fields.items()}
        named = {field.alias or name: field for name, field in kind.model_fields.items()}
        return _keys(named[str(place[0])].annotation, place[1:])
    member = [part for part in get_args(kind) if part is not NoneType][-1]
    return _keys(member, place if isinstance(kind, UnionType) else place[1:])


def near(word: str, known: Iterable[str], otherwise: str = "remove it") -> str:
    """A hint: the known word that is nearest to one that is not."""
    close = difflib.get_close_matches(word, sorted(known), 1)
    return f"did you mean {close[0]}?" if close else otherwise
