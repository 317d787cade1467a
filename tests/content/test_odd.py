"""What editors, mail programs and strangers make of files: told with line and cure, or no fault at all."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.bundling.source import read_source
from engine.content import editorial, patterns
from tests.service.running import ROOT

Change = Callable[[Path], object]
LESSON = "secure-data-export"


def crlf(path: Path) -> None:
    """As Windows writes it."""
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def put(path: Path, data: bytes, after: bytes) -> None:
    """Bytes into a file, after others."""
    path.write_bytes(path.read_bytes().replace(after, after + data, 1))


def linked(module: Path) -> None:
    """A folder that is somewhere else."""
    module.rename(module.parent.parent / "elsewhere")
    module.symlink_to(module.parent.parent / "elsewhere")


ODD: dict[str, tuple[Change, str, int, str]] = {
    "a lesson of Windows": (lambda m: crlf(m / "lesson.md"), "", 0, ""),
    "a quiz of Windows": (lambda m: crlf(m / "quiz.yaml"), "", 0, ""),
    "Latin-1": (lambda m: put(m / "lesson.md", b"\xe4", b"`s3://exports"), "lesson.md", 7, "is not UTF-8"),
    "Latin-1 in YAML": (lambda m: put(m / "quiz.yaml", b"\xe4", b"items:\n  "), "quiz.yaml", 2, "is not UTF-8"),
    "a control character": (lambda m: put(m / "quiz.yaml", b"\x07", b"items:\n  "), "quiz.yaml", 2, "U+0007"),
    "no clip": (lambda m: (m / "media/masked-preview.webm").write_bytes(b"x"), "lesson.md", 24, "its name says"),
    "no picture": (lambda m: (m / "media/masked-preview.png").write_bytes(b"x"), "lesson.md", 24, "its name says"),
    "a folder that is a link": (linked, "module.yaml", 1, "the folder is a link"),
    "a pipe": (lambda m: os.mkfifo(m / "x.yaml"), "module.yaml", 1, "no file at all"),
    "a hidden file": (lambda m: (m / ".DS_Store").write_bytes(b"x"), "module.yaml", 1, "is hidden"),
    "a bomb": (
        lambda m: (m / "quiz.yaml").write_text("items: &a {x: *a}\n"), "quiz.yaml", 1, "uses an alias",
    ),
    "very deep": (lambda m: (m / "quiz.yaml").write_text("items: " + "[" * 3000), "quiz.yaml", 1, "nested deeper"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_files(tmp_path: Path, name: str) -> None:
    """Named at its line, or taken as it is."""
    change, file, line, told = ODD[name]
    source = tmp_path / "source"
    shutil.copytree(ROOT / "bundles" / "companyos", source)
    change(source / "modules" / LESSON)
    read = read_source(source)
    findings = {*read.findings, *editorial.check(read)}
    if not told:
        assert findings == set()
        return
    matching = [f for f in findings if told in f.message]
    assert matching, findings
    assert not file or (f"modules/{LESSON}/{file}", line) in {(f.file, f.line) for f in matching}, matching


def test_a_pattern_cannot_hang_the_service() -> None:
    """One that backtracking would need ages for."""
    assert patterns.compiles("(a+)+$")
    before = time.monotonic()
    assert not patterns.fits("(a+)+$", "a" * 1000 + "!")
    assert time.monotonic() - before < 1
    assert patterns.fits("CHG-[0-9]{3,6}", "CHG-2041")
    assert not patterns.compiles("(?=x)x")
