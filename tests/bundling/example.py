"""The example of docs/routes.md, as the files and the table that stand there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "routes.md"
POLICIES, COMPANYOS = ROOT / "policies", ROOT / "bundles" / "companyos"


def files() -> dict[str, str]:
    """The page's YAML by the name in its first line."""
    blocks = re.findall(r"^```yaml\n# ([a-z]+\.yaml)\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return dict(blocks)


def requests() -> list[tuple[str, str]]:
    """The page's requests, each with what it is."""
    return re.findall(r"^\| `([A-Z]+ [^`]+)` \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)


_SMALL = {
    "source.yaml": "{name: small, version: 1.0.0, title: Small}",
    **{f"{name}.yaml": "{}" for name in ("personas", "tracks", "scopes", "policies", "runbooks")},
}


def small(folder: Path) -> Path:
    """A source that has the real actions, the page's files, and nothing to learn: read in milliseconds."""
    folder.mkdir()
    shutil.copy(COMPANYOS / "actions.yaml", folder)
    for name, text in {**_SMALL, **files()}.items():
        (folder / name).write_text(text, "utf-8")
    return folder


def source(folder: Path) -> Path:
    """The source that ships, with the page's files."""
    shutil.copytree(COMPANYOS, folder)
    for name, text in files().items():
        (folder / name).write_text(text, "utf-8")
    return folder
