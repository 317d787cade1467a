"""What a verification found: each wrong thing with its place, the first one first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def printable(text: str) -> str:
    """The text on one line, with what is not printed but obeyed (controls, bidi, surrogates) as \\uXXXX."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(ord(c)) for c in text)


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong; `index` and `id` are the entry's, None where no one entry is to blame."""

    index: int | None
    id: str | None
    check: str
    detail: str

    def __str__(self) -> str:
        place = "" if self.index is None else f"entry {self.index}" + (f" ({self.id}): " if self.id else ": ")
        return printable(f"{place}{self.check}: {self.detail}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was checked and what was found, findings in the order of the log; `told` is what else should be known."""

    size: int
    root: bytes
    findings: tuple[Finding, ...]
    checkpoints: int = 0
    erased: int = 0
    told: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def described(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "ok": self.ok,
            "size": self.size,
            "root": self.root.hex(),
            "checkpoints": self.checkpoints,
            "erased": self.erased,
            "told": list(self.told),
            "findings": [{"index": f.index, "id": f.id, "check": f.check, "detail": f.detail} for f in self.findings],
        }
