"""Where the time of one decision went: the marks that the request carries through the rooms.

A mark ends a stage. What happened since the mark before it is that stage's time, so the stages of a decision add up to
the whole and no time is nobody's. A stage that comes again (a stale decision is decided again) adds to its first time.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import Final, Literal, TypeAlias, get_args

Stage: TypeAlias = Literal["read", "access", "facts", "lease", "opa_queue", "opa", "record", "commit", "answer"]

READ: Final = "read"
ACCESS: Final = "access"
FACTS: Final = "facts"
LEASE: Final = "lease"
OPA_QUEUE: Final = "opa_queue"
OPA: Final = "opa"
RECORD: Final = "record"
COMMIT: Final = "commit"
ANSWER: Final = "answer"

ORDER: Final[tuple[Stage, ...]] = get_args(Stage)
"""Every stage, in the order in which a decision goes through them."""


class Stages:
    """The marks of one decision; instants are `time.perf_counter_ns()`, times are nanoseconds."""

    __slots__ = ("began", "marks")

    def __init__(self) -> None:
        self.marks: list[tuple[Stage, int]] = []
        self.began = perf_counter_ns()

    def mark(self, stage: Stage) -> None:
        """A stage ends now."""
        self.marks.append((stage, perf_counter_ns()))

    def mark_at(self, stage: Stage, at: int) -> None:
        """A stage ended at `at`, as somebody else saw it; taken as no earlier than the mark before it."""
        marks = self.marks
        self.marks.append((stage, max(at, marks[-1][1] if marks else self.began)))

    def spent(self) -> dict[Stage, int]:
        """The time of each stage that was marked."""
        spent: dict[Stage, int] = {}
        last = self.began
        for stage, at in self.marks:
            spent[stage] = spent.get(stage, 0) + at - last
            last = at
        return spent

    @property
    def whole(self) -> int:
        """From the beginning to the last mark."""
        return self.marks[-1][1] - self.began if self.marks else 0
