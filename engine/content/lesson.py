"""A lesson: Markdown, cut into slides. Words only; what it refers to is found here, so that it can be checked.

# A title {#anchor}
Text with [[POL-...]] and [[RB-...]], and media: ![what it shows](media/x.webm){poster=... captions=... transcript=...}
---
# The next slide {#other}
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from engine.bundling.yamlfile import Document

_RULE = re.compile(r"^---[ \t]*$")
_TITLE = re.compile(r"# (?P<title>.+?) \{#(?P<id>[a-z0-9]+(?:-[a-z0-9]+)*)\}[ \t]*")
_REFERENCE = re.compile(r"\[\[([^\]\n]*)\]\]")
_MEDIA = re.compile(r"!\[(?P<alt>[^\]\n]*)\]\((?P<path>[^)\s]+)\)(?:\{(?P<more>[^}\n]*)\})?")
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\((?P<to>[^)\s]*)\)")
_BELOW_HEADER = re.compile(r"\s*\|?[\s:|-]*-[\s:|-]*")
_WORD = re.compile(r"\w[\w'’-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """A picture or a clip: what it shows in words, its file, and those that go with it (`poster`, `captions`, ...)."""

    line: int
    alt: str
    path: str
    more: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slide:
    """One slide: `text` is Markdown, `line` that of its title."""

    id: str
    title: str
    text: str
    line: int

    @property
    def words(self) -> int:
        """How many words there are to read."""
        return len(_WORD.findall(f"{self.title} {_MEDIA.sub('', self.text)}"))

    def references(self) -> Iterator[tuple[int, str]]:
        """Every [[reference]] with its line."""
        return _found(_REFERENCE, self, 1)

    def links(self) -> Iterator[tuple[int, str]]:
        """Where every ordinary link leads, with its line."""
        return _found(_LINK, self, "to")

    def media(self) -> Iterator[Media]:
        """Every picture and clip."""
        for number, text in enumerate(self.text.split("\n"), start=self.line + 1):
            for found in _MEDIA.finditer(text):
                more = dict(p.split("=", 1) for p in (found["more"] or "").split() if "=" in p)
                yield Media(line=number, alt=found["alt"].strip(), path=found["path"], more=more)


def nameless(text: str) -> Iterator[int]:
    """Lines (from 0) of table headers with an empty cell: a column without a name cannot be read aloud."""
    lines = text.split("\n")
    for number, (line, below) in enumerate(pairwise(lines)):
        cells = line.strip().removeprefix("|").removesuffix("|").split("|")
        if "|" in line and "|" in below and _BELOW_HEADER.fullmatch(below) and not all(c.strip() for c in cells):
            yield number


def parse(document: Document, text: str) -> tuple[Slide, ...]:
    """Cut a lesson into slides; what is not one is noted in the document."""
    slides: list[Slide] = []
    pending: list[str] = []
    begins = 1

    def end(after: int) -> None:
        nonlocal pending, begins
        slide = _slide(document, pending, begins)
        if slide is not None:
            if slide.id in {s.id for s in slides}:
                document.note(slide.line, f"#{slide.id}", "is the anchor of another slide too", "choose another")
            slides.append(slide)
        pending, begins = [], after + 1

    lines = text.replace("\r\n", "\n").split("\n")
    fenced = False
    for number, line in enumerate(lines, start=1):
        fenced ^= line.startswith("```")
        if _RULE.match(line) and not fenced:
            end(number)
        else:
            pending.append(line)
    end(len(lines))
    return tuple(slides)


def _slide(document: Document, lines: list[str], begins: int) -> Slide | None:
    skipped = next((i for i, line in enumerate(lines) if line.strip()), None)
    if skipped is None:
        document.note(begins, "", "an empty slide", "write it, or remove the line of dashes before it")
        return None
    number = begins + skipped
    title = _TITLE.fullmatch(lines[skipped])
    if title is None:
        hint = "begin each slide with: # Title {#anchor}"
        document.note(number, "", "a slide begins without its title and anchor", hint)
        return None
    body = lines[skipped + 1 :]
    for offset, line in enumerate(body, start=number + 1):
        if re.match(r"#(?!#) ", line) or re.match(r" {0,3}</?[A-Za-z!]", line):
            what = "another title" if line.startswith("#") else "HTML"
            document.note(offset, "", f"{what} inside a slide", "a slide has one title, and no HTML")
    return Slide(id=title["id"], title=title["title"], text="\n".join(body).rstrip(), line=number)


def _found(pattern: re.Pattern[str], slide: Slide, group: str | int) -> Iterator[tuple[int, str]]:
    for number, text in enumerate(slide.text.split("\n"), start=slide.line + 1):
        yield from ((number, str(m[group])) for m in pattern.finditer(text))
