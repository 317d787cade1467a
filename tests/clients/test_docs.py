"""docs/clients.md: its code is the code under test, and its tables are complete."""

from __future__ import annotations

import re

from muster_client import client, keys

from tests.clients.conftest import KITS
from tests.service.running import ROOT

PAGE = (ROOT / "docs" / "clients.md").read_text("utf-8")
EXAMPLES = [
    path
    for path in sorted([*KITS.glob("*/examples/*"), *KITS.glob("*/examples/*/*")])
    if path.suffix in (".py", ".js", ".go")
]


def test_each_block_is_an_example_and_each_example_a_block() -> None:
    """Whole, and byte for byte; the examples are started by `test_apps`."""
    blocks = re.findall(r"^```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(EXAMPLES) == 6
    assert sorted(blocks) == sorted(path.read_text("utf-8") for path in EXAMPLES)


def test_every_code_of_a_refusal_is_told() -> None:
    """In any of the three languages."""
    told = set(re.findall(r"`([a-z0-9_-]+)`", PAGE))
    for pattern, paths in (
        (r'Unproven\("([a-z-]+)"', KITS.glob("python/muster_client/*.py")),
        (r'Unproven\("([a-z-]+)"', KITS.glob("javascript/*.js")),
        (r'Unproven\{"([a-z-]+)"\}', KITS.glob("go/*.go")),
    ):
        found = {code for path in paths for code in re.findall(pattern, path.read_text("utf-8"))}
        assert {"malformed", "expired", "unknown-key"} <= found <= told
    claims = {"iss", "tenant", "aud", "htm", "path_sha256", "jti"}
    assert {f"wrong-{claim}" for claim in claims} <= told


def test_the_page_names_the_bounds_that_hold() -> None:
    """1 MiB, 1 s, 30 s, five minutes."""
    assert client.MOST_BYTES == 1 << 20
    assert client.AsyncClient("https://muster.example", token=lambda: "t").timeout == 1.0
    assert keys.Keys("https://muster.example/x").url == "https://muster.example/x"


def test_links_lead_somewhere() -> None:
    """Each relative link of the page."""
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
