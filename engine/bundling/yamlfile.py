"""Reads one YAML file so that every value knows its line: plain mappings, lists, texts, integers, booleans, null.

Refuses what a reviewer would not see: duplicate keys, aliases, tags, dates and floats read as such, numbers that look
like others, and files that are too large or too deep to be read by a person.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from engine.bundling.errors import Finding
from ledger.canonical import JSON

MOST_BYTES = 1024 * 1024
MOST_LEVELS = 32
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})")
_Loader = type[yaml.SafeLoader] | type[yaml.CSafeLoader]
_FAST: _Loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_UNSEEN = re.compile("[\t\ufeff]")
"""A tab, or a byte order mark: libyaml takes them for blanks in places where PyYAML refuses them."""


def _number(text: str) -> int:
    """An integer as everybody writes it: YAML takes 012 for ten, and Python for twelve."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)


_SCALARS: dict[str, Callable[[str], JSON]] = {
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:timestamp": str,  # a date is text here; what it means is checked where it is used
    "tag:yaml.org,2002:int": _number,
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

    def note(self, line: int, field: str, message: str, hint: str = "") -> None:
        """Note a mistake at a line."""
        self.findings.append(Finding(file=self.file, line=line, field=field, message=message, hint=hint))

    def wrong(self, place: tuple[str | int, ...], message: str, hint: str = "") -> None:
        """Note a mistake at a place."""
        name = ".".join(str(part) for part in place)
        self.note(self.line(place), name, message, hint)


def read(path: Path, name: str) -> Document:
    """Read a file; what cannot be read is a finding of the document, whose value is then None."""
    document = Document(name)
    try:
        if path.exists() and not path.is_file():  # a device or a pipe would never end
            document.wrong((), "is not a file", "make it one")
            return document
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        document.wrong((), "is missing", "make this file")
        return document
    except OSError as exc:
        document.wrong((), f"cannot be read: {exc}")
        return document
    return parse(data, name)


def parse(data: bytes, name: str) -> Document:
    """Read a file's content; what cannot be read is a finding of the document, whose value is then None."""
    document = Document(name)
    if len(data) > MOST_BYTES:
        document.wrong((), f"is larger than {MOST_BYTES} bytes", "split what it says, or shorten it")
        return document
    try:
        text = data.decode("utf-8")
        node = _node(document, text)
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        document.note(line, "", f"is not UTF-8: byte {exc.start}", "save it as UTF-8")
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        document.findings.append(Finding(file=name, line=line, field="", message=str(exc.problem or exc.context)))
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        document.note(line, "", f"has a character that YAML does not allow: U+{exc.character:04X}", "remove it")
    except yaml.YAMLError as exc:
        document.wrong((), f"is not YAML: {exc}")
    else:
        if node is not None:
            document.value = _value(document, node, ())
        elif not document.findings:
            document.wrong((), "is empty")
    return document


def _node(document: Document, text: str) -> yaml.Node | None:
    """What a text is made of. libyaml takes a tenth of the time; PyYAML's own reader says better what is wrong."""
    if not _UNSEEN.search(text):
        with suppress(yaml.YAMLError):
            return _composed(document, text, _FAST)
    return _composed(document, text, yaml.SafeLoader)


def _composed(document: Document, text: str, loader: _Loader) -> yaml.Node | None:
    return yaml.compose(text, Loader=loader) if _plain(document, text, loader) else None


def _plain(document: Document, text: str, loader: _Loader) -> bool:
    """Whether a text can be composed: the composer calls itself for each level, and follows each alias."""
    level = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            document.wrong((), "uses an alias", "write the value out")
            return False
        if isinstance(event, yaml.CollectionStartEvent):
            level += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            level -= 1
        if level > MOST_LEVELS:
            document.wrong((), f"is nested deeper than {MOST_LEVELS} levels", "write it flat")
            return False
    return True


def _value(document: Document, node: yaml.Node, place: tuple[str | int, ...]) -> JSON:
    document.lines[place] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        return dict(_members(document, node, place))
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return [_value(document, item, (*place, index)) for index, item in enumerate(node.value)]
    construct = _SCALARS.get(node.tag) if isinstance(node, yaml.ScalarNode) else None
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
