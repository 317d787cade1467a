"""What can go wrong in the service, as its callers are told it.

    MusterError
    ├── BadRequest        400  malformed: the places are in `errors`
    ├── Unauthenticated   401  no token, or none that is known and valid
    ├── Forbidden         403  a known caller who may not do this
    ├── NotFound          404
    ├── Gone              410  it was erased
    ├── Conflict          409  contradicts what the ledger holds; `reason` is a word for programs
    ├── TooSoon           429  may be done later: `retry_at` says when
    ├── TooMany           429  this caller asks more often than it may
    ├── TooLarge          413
    ├── Undecided         503  could not decide: never an allow, never a deny
    ├── Unavailable       503  cannot work now; the same call may go through later
    │   └── Overloaded    503  more waits than can be done soon; nothing was decided
    └── SetupError             configuration, home or start: one sentence that says what to do

`engine.api.problems` holds the one table from these to HTTP problem documents.
"""

from __future__ import annotations

from dataclasses import dataclass


class MusterError(Exception):
    """Root of all errors that the service raises on purpose; its text is fit for a caller."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong place in a request: a JSON pointer (or parameter name) and what is wrong there."""

    pointer: str
    detail: str


class BadRequest(MusterError):
    """The request is malformed; nothing was decided or recorded."""

    def __init__(self, detail: str, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(detail)
        self.errors = errors


class Unauthenticated(MusterError):
    """Nobody we know is calling."""


class Forbidden(MusterError):
    """The access policy says that this caller may not do this."""


class NotFound(MusterError):
    """There is no such thing in this tenant's ledger or source."""


class Gone(MusterError):
    """It is in the log, and what it said was erased."""


class Conflict(MusterError):
    """The request contradicts what the ledger already holds."""

    def __init__(self, detail: str, reason: str = "conflict") -> None:
        super().__init__(detail)
        self.reason = reason


class TooSoon(MusterError):
    """The same request may go through from `retry_at` on, which is `seconds` from now."""

    def __init__(self, detail: str, retry_at: str, seconds: int) -> None:
        super().__init__(detail)
        self.retry_at = retry_at
        self.seconds = seconds


class TooMany(MusterError):
    """The caller is over its rate; `seconds` from now it may ask again."""

    def __init__(self, detail: str, seconds: float) -> None:
        super().__init__(detail)
        self.seconds = seconds


class TooLarge(MusterError):
    """The body is over the endpoint's limit."""


class Undecided(MusterError):
    """Could not decide. `cause` is one of a closed set of words, `decision_id` the record's, if any."""

    def __init__(self, cause: str, detail: str, decision_id: str | None = None) -> None:
        super().__init__(detail)
        self.cause = cause
        self.decision_id = decision_id


class Unavailable(MusterError):
    """The service cannot do this now (ledger not ready, disk full, contention)."""


class Overloaded(Unavailable):
    """Too much is under way to begin one more."""


class SetupError(MusterError):
    """What is wrong at start stops the start, with this sentence."""
