"""How YAML is read: libyaml is quick, and what it says is what PyYAML says."""

from __future__ import annotations

import pytest
import yaml

from engine.bundling import yamlfile
from tests.bundling.example import POLICIES

BUNDLES = POLICIES.parent / "bundles"

SPELT = {
    "a tab before a value": b"a:\t1",
    "a tab in a text": b"a: one\ttwo",
    "a tab in quotes": b'a: "one\ttwo"',
    "a tab before a key": b"a:\n\tb: 1",
    "a tab in a list": b"a: [\tb]",
    "a mark at the beginning": b"\xef\xbb\xbfa: 1",
    "a mark before a key": b"a:\n\xef\xbb\xbf  b: 1",
    "a mark at the end": b"a: 1\n\xef\xbb\xbf",
    "numbers and words": b"a: no\nb: 010\nc: 0x1f\nd: 1_0\ne: 1:30\nf: 2020-01-01\ng: .inf\nh: 1.5\ni: ~\nj:\nk: -0",
    "a key twice": b"a: 1\nb: 2\na: 3",
    "a merge": b"<<: {a: 1}\nb: 2",
    "an alias": b"a: &x 1\nb: *x",
    "an alias into itself": b"&x [*x]",
    "a tag": b"a: !!python/object:os.system x",
    "not UTF-8": b"a: \xff",
    "a control character": b"a: 1\nb: \x07",
    "two documents": b"a: 1\n---\nb: 2",
    "nothing": b"",
    "deep": b"[" * 50_000,
    "cut off": b'a: 1\nb: "x',
}


@pytest.mark.parametrize("spelt", SPELT)
def test_both_readers_find_the_same(spelt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Value, lines and mistakes: what nobody sees (a tab, a byte order mark) is no blank with one of them alone."""
    quick = yamlfile.parse(SPELT[spelt], "f.yaml")
    monkeypatch.setattr(yamlfile, "_FAST", yaml.SafeLoader)
    assert yamlfile.parse(SPELT[spelt], "f.yaml") == quick


def test_both_readers_find_the_same_in_all_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file of the bundles that come with Muster."""
    files = sorted(BUNDLES.rglob("*.yaml"))
    assert len(files) > 100
    quick = [yamlfile.read(path, path.name) for path in files]
    monkeypatch.setattr(yamlfile, "_FAST", yaml.SafeLoader)
    assert [yamlfile.read(path, path.name) for path in files] == quick


@pytest.mark.parametrize("spelt", ["a: !x {b: 1}", "a: !!set {b}", "a: !!str {b: 1}", "a: !x [1]", "a: !!omap [b: 1]"])
def test_a_tag_is_refused_wherever_it_stands(spelt: str) -> None:
    """Also before a list or a table."""
    [finding] = yamlfile.parse(spelt.encode(), "f.yaml").findings
    assert "is of a kind that is not used here" in finding.message


def test_libyaml_is_there() -> None:
    """What is released brings it: without it a start reads ten times as long."""
    assert yamlfile._FAST is yaml.CSafeLoader
