"""The pages of `docs/gateways`: a command, indented, and below it the block that it prints.

`python -m tests.gateways.pages` writes every block again; a test holds them against what is printed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.gateways import programs

FOLDER: Final = Path(__file__).parents[2] / "docs" / "gateways"
_BLOCK: Final = re.compile(
    r"^(?P<head>    (?P<command>muster gateway config [^\n]+)\n\n```\w+\n)(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def pages() -> list[Path]:
    """All pages, by name."""
    return sorted(FOLDER.glob("*.md"))


def blocks(page: Path) -> list[tuple[str, str]]:
    """Each command of a page, with the text that stands below it."""
    return [(found["command"], found["text"]) for found in _BLOCK.finditer(page.read_text("utf-8"))]


def printed(command: str) -> str:
    """What a page's command prints."""
    kind, *words = shlex.split(command)[3:]
    return programs.config(kind, *words).stdout


def rewrite(page: Path, printing: Callable[[str], str] = printed) -> None:
    """Put what is printed into a page."""
    text = page.read_text("utf-8")
    page.write_text(_BLOCK.sub(lambda found: f"{found['head']}{printing(found['command'])}```", text), "utf-8")


if __name__ == "__main__":
    for one in pages():
        rewrite(one)
