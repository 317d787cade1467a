"""The page on identity tells the truth: its examples are read, and its words are those of the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import yaml

from engine.access import issuers, jwt
from tests.access.signing import key

PAGE = (Path(__file__).parents[2] / "docs" / "identity.md").read_text("utf-8")


def test_each_example_is_an_issuer() -> None:
    """With https, an audience, and algorithms that may be pinned; a token of it is taken as far as its key."""
    found = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]
    read = [issuers.read(name, said) for block in found for name, said in block.items()]
    assert [each.name for each in read] == ["keycloak", "auth0", "entra", "entra-version-1"]
    for each in read:
        assert each.url.startswith("https://")
        assert each.audiences
        assert each.algorithms <= set(issuers.ALGORITHMS)
        assert not isinstance(jwt.read(key("one", "RS256").token({"iss": each.url})), jwt.Refused)


def test_each_word_is_explained() -> None:
    """Every code of a refusal has its row, and every row is a code."""
    table = PAGE.partition("by which word")[2].partition("A key that a token carries")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(get_args(jwt.Code))


def test_every_algorithm_is_named() -> None:
    """Those that may be pinned, and no other."""
    row = next(line for line in PAGE.splitlines() if line.startswith("| `algorithms` |"))
    assert set(re.findall(r"`(\w+)`", row)) - {"algorithms"} == set(issuers.ALGORITHMS)
