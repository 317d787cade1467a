"""Templates of the route map: of paths, which match requests, and of texts, which are filled from what matched.

`{name}` in a path is exactly one segment. Both the build, which refuses what could be read in two ways, and the
service, which matches, read templates here; so neither takes one for something else.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeAlias, TypeVar

APART: Final = frozenset("/\\%;?#")
"""What no decoded segment of a canonical path has in it."""
MOST_SEGMENTS: Final = 64
PARAMETER: Final = r"_?[A-Za-z][A-Za-z0-9_]{0,62}"
_PARAMETER: Final = re.compile(PARAMETER)
_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_DOTS: Final = (".", "..")

Segments: TypeAlias = Sequence[str]
Entry = TypeVar("Entry")


def oddity(segment: str) -> str | None:
    """Why a decoded segment is refused, as a word; None for one that every reader takes for the same.

    Beyond ASCII it also refuses what becomes a separator, or a segment of dots, where somebody behind folds letters to
    their plain forms (Unicode's NFKC): U+FF0F is a slash to some file systems and frameworks.
    """
    if not segment:
        return "empty_segment"
    if segment in _DOTS:
        return "dot_segment"
    if segment.isascii():
        plain = segment.isprintable()
    else:
        folded = unicodedata.normalize("NFKC", segment)
        if folded in _DOTS or not APART.isdisjoint(folded):
            return "foldable"
        plain = not _has_control(segment)
    if not plain:
        return "control"
    return None if APART.isdisjoint(segment) else "separator"


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A path by its segments: a text that has to be equal, or None for a parameter; `names` are the parameters'."""

    segments: tuple[str | None, ...]
    names: tuple[str, ...]

    @property
    def literal(self) -> tuple[int, ...]:
        """Where its texts stand."""
        return tuple(i for i, segment in enumerate(self.segments) if segment is not None)

    def parameters(self, segments: Segments) -> dict[str, str]:
        """The values of its parameters in a path that it matches."""
        values = (given for own, given in zip(self.segments, segments, strict=True) if own is None)
        return dict(zip(self.names, values, strict=True))


def path_template(text: str) -> PathTemplate:
    """Read a path's template; raises ValueError with a sentence."""
    if not text.startswith("/"):
        raise ValueError("has to begin with /")
    parts = text[1:].split("/") if text != "/" else []
    if len(parts) > MOST_SEGMENTS:
        raise ValueError(f"has more than {MOST_SEGMENTS} segments")
    segments: list[str | None] = []
    names: list[str] = []
    for number, part in enumerate(parts, 1):
        name = part[1:-1] if part.startswith("{") and part.endswith("}") else None
        if name is not None and _PARAMETER.fullmatch(name):
            if name in names:
                raise ValueError(f"names the parameter {name} twice")
            names.append(name)
            segments.append(None)
        elif "{" in part or "}" in part:
            raise ValueError(f"segment {number} is no parameter: a parameter is a whole segment, such as {{id}}")
        else:
            odd = oddity(part)
            if odd is not None:
                raise ValueError(f"segment {number} can never be in a path that is judged: {odd.replace('_', ' ')}")
            segments.append(part)
    return PathTemplate(tuple(segments), tuple(names))


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """A text with parameters in it: each part is (text, False) or (a parameter's name, True)."""

    parts: tuple[tuple[str, bool], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that it takes."""
        return tuple(part for part, is_name in self.parts if is_name)

    def filled(self, parameters: Mapping[str, str]) -> str:
        """The text for these values."""
        return "".join(parameters[part] if is_name else part for part, is_name in self.parts)


def text_template(text: str) -> TextTemplate:
    """Read a text's template; raises ValueError with a sentence.

    Two parameters have something between them that neither can hold, so different paths never become one text: as
    `{a}-{b}`, x and y-z would be x-y and z.
    """
    if _has_control(text):
        raise ValueError("has a control character in it")
    parts: list[tuple[str, bool]] = []
    between = "/"
    for i, part in enumerate(_BRACES.split(text)):
        if i % 2 == 0:
            if "{" in part or "}" in part:
                raise ValueError("has a brace that belongs to no parameter")
            parts += [(part, False)] if part else []
            between = part if i else "/"
            continue
        if not _PARAMETER.fullmatch(part):
            raise ValueError(f"{{{part}}} is not the name of a parameter")
        if APART.isdisjoint(between):
            raise ValueError(f"nothing keeps {{{part}}} apart from the parameter before it: put a / between them")
        parts.append((part, True))
    return TextTemplate(tuple(parts))


@dataclass(slots=True)
class PathTable(Generic[Entry]):
    """Paths of one length, and what stands for each; found by what is literal in them, not one after the other."""

    _entries: dict[tuple[int, ...], dict[tuple[str, ...], Entry]] = field(default_factory=dict)

    def add(self, path: PathTemplate, entry: Entry) -> None:
        """Enter a path; the build has seen to it that none overlaps another."""
        literal = path.literal
        self._entries.setdefault(literal, {})[_at(path.segments, literal)] = entry

    def find(self, segments: Segments) -> Entry | None:
        """What stands for a path of this length."""
        for literal, entries in self._entries.items():
            found = entries.get(tuple([segments[i] for i in literal]))
            if found is not None:
                return found
        return None


@dataclass(slots=True)
class Overlaps:
    """Paths of one length by number; tells of a further one which of them can match the same request."""

    _paths: dict[tuple[int, ...], list[tuple[PathTemplate, int]]] = field(default_factory=dict)
    _index: dict[tuple[tuple[int, ...], tuple[int, ...]], dict[tuple[str, ...], int]] = field(default_factory=dict)

    def add(self, path: PathTemplate, number: int) -> None:
        """Enter a path."""
        literal = path.literal
        self._paths.setdefault(literal, []).append((path, number))
        for (of, common), index in self._index.items():
            if of == literal:
                index.setdefault(_at(path.segments, common), number)

    def met(self, path: PathTemplate) -> int | None:
        """The first path entered that can match what this one matches: no text of both differs where both have one."""
        own, found = frozenset(path.literal), []
        for literal in self._paths:
            common = tuple(i for i in literal if i in own)
            index = self._index.get((literal, common))
            if index is None:
                index = self._index[literal, common] = {}
                for entered, number in self._paths[literal]:
                    index.setdefault(_at(entered.segments, common), number)
            found += [n for n in (index.get(_at(path.segments, common)),) if n is not None]
        return min(found, default=None)


def _has_control(text: str) -> bool:
    return any(unicodedata.category(c) == "Cc" for c in text)


def _at(segments: tuple[str | None, ...], places: tuple[int, ...]) -> tuple[str, ...]:
    """The texts at places where a template has one."""
    return tuple([str(segments[i]) for i in places])
