"""What this room refuses.

BundlingError
├── Invalid        the source or the rules have mistakes; all of them are in `findings`
└── Tampered       what lies in the store is not what its name says
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.canonical import JSON


class BundlingError(Exception):
    """Root of this room's errors."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """One mistake: where it is (line 0: the file as a whole), what is wrong, and what to do about it."""

    file: str
    line: int
    field: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.field + ': ' if self.field else ''}{self.message}" + (
            f" ({self.hint})" if self.hint else ""
        )

    def described(self) -> JSON:
        """The finding as JSON."""
        return {
            "file": self.file,
            "line": self.line,
            "field": self.field,
            "message": self.message,
            "hint": self.hint,
        }


class Invalid(BundlingError):
    """Mistakes in what people wrote; nothing was built."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("\n".join(str(f) for f in findings))
        self.findings = findings


class Tampered(BundlingError):
    """Content and name do not belong together."""
