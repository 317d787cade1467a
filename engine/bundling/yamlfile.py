"""Reads one YAML file so that every value knows its line: plain mappings, lists, texts, integers, booleans, null.

Refuses what a reviewer would not see: duplicate keys, anchors and aliases, tags, dates and floats read as such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from engine.bundling.errors import Finding
from ledger.canonical import JSON

MOST_BYTES = 1024 * 1024
_SCALARS: dict[str, Callable[[str], JSON]] = {
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:timestamp": str,  # a date is text here; what it means is checked where it is used
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:bool": lambda text: text.lower() in ("true", "yes", "on"),
    "tag:yaml.org,2002:null": lambda _: None,
}


@dataclass(slots=True)
class Document:
    """A file's value, the line of each place in it (a tuple of keys and indices), and what was wrong with it."""

    file: str
    value: JSON = None
    lines: dict[tuple[str | int, ...], int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def line(self, place: tuple[str | int, ...]) -> int:
        """The line of a place, or of the nearest one around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def wrong(self, place: tuple[str | int, ...], message: str, hint: str = "") -> None:
        """Note a mistake at a place."""
        name = ".".join(str(part) for part in place)
        self.findings.append(Finding(file=self.file, line=self.line(place), field=name, message=message, hint=hint))


def read(path: Path, name: str) -> Document:
    """Read a file; what cannot be read is a finding of the document, whose value is then None."""
    document = Document(name)
    try:
        data = path.read_bytes()
        if len(data) > MOST_BYTES:
            document.wrong((), f"is larger than {MOST_BYTES} bytes")
            return document
        text = data.decode("utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            document.wrong((), "uses an alias", "write the value out")
            return document
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except FileNotFoundError:
        document.wrong((), "is missing", "make this file")
    except (OSError, UnicodeDecodeError) as exc:
        document.wrong((), f"cannot be read: {exc}")
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        document.findings.append(Finding(file=name, line=line, field="", message=str(exc.problem or exc.context)))
    except yaml.YAMLError as exc:
        document.wrong((), f"is not YAML: {exc}")
    else:
        if node is None:
            document.wrong((), "is empty")
        else:
            document.value = _value(document, node, ())
    return document


def _value(document: Document, node: yaml.Node, place: tuple[str | int, ...]) -> JSON:
    document.lines[place] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return dict(_members(document, node, place))
    if isinstance(node, yaml.SequenceNode):
        return [_value(document, item, (*place, index)) for index, item in enumerate(node.value)]
    construct = _SCALARS.get(node.tag)
    if construct is None:
        document.wrong(
            place, f"is of a kind that is not used here: {node.tag.rpartition(':')[2]}", "write text in quotes"
        )
        return None
    try:
        return construct(node.value)
    except ValueError:
        document.wrong(place, "is not a plain number", "write text in quotes")
        return None


def _members(document: Document, node: yaml.MappingNode, place: tuple[str | int, ...]) -> Iterator[tuple[str, JSON]]:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str) or key_node.tag != "tag:yaml.org,2002:str":
            document.wrong(place, f"line {key_node.start_mark.line + 1}: a key is not text", "write the key in quotes")
            continue
        here = (*place, key)
        value = _value(document, value_node, here)
        document.lines[here] = key_node.start_mark.line + 1
        if key in seen:
            document.wrong(here, "is there twice", "keep one of them")
        seen.add(key)
        yield key, value
