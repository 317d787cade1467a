"""Templates: plain files in which `<<name>>` stands for a value.

`string.Template` with other signs: `$`, `%`, `@` and braces mean something in the files themselves. A placeholder that
stands alone on its line takes any number of lines, each indented like it; without lines its own line goes.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from importlib import resources
from typing import Final

_ALONE: Final = re.compile(r"^([ \t]*)<<([a-z_]+)>>$", re.MULTILINE)
_GAP: Final = re.compile(r"\n{3,}")


class _Text(string.Template):
    delimiter = "<<"
    pattern = r"<<(?:(?P<named>[a-z_]+)>>|(?P<escaped>(?!))|(?P<braced>(?!))|(?P<invalid>))"  # type: ignore[assignment]


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template of this room with its values; raises KeyError for a placeholder without one."""
    text = resources.files(__package__).joinpath("templates", template).read_text("utf-8")

    def lines(found: re.Match[str]) -> str:
        indent, value = found.group(1), values[found.group(2)]
        return "\n".join(indent + line if line else "" for line in value.split("\n")) if value else "\0"

    text = _ALONE.sub(lines, text).replace("\0\n", "")
    return _GAP.sub("\n\n", _Text(text).substitute(values)).rstrip("\n") + "\n"
