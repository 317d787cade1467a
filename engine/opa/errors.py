"""What can go wrong around OPA.

OpaError
├── OpaBinaryError    the configured binary cannot be used
├── OpaInstallError   there is no OPA and none could be installed
├── OutOfReach        one way to get an OPA is closed; the next is tried
├── OpaStartError     OPA does not start, or does not pass its canary
└── CouldNotDecide    no answer that may be believed: neither an allow nor a deny
"""

from __future__ import annotations

from typing import Literal, TypeAlias

Cause: TypeAlias = Literal[
    "opa-down",  # no OPA is running, or it went away while it was asked
    "timeout",  # it did not answer before the deadline
    "opa-error",  # it answered with an error: a builtin error, a conflict, a body too large
    "undefined",  # it answered, without a result
    "bad-shape",  # it answered with what is no answer: a float, a wrong type, a key nobody asked for
    "wrong-revision",  # it answered from another bundle than the one asked
    "overloaded",  # too much waits already
    "no-keys",  # it was not asked: who is asking cannot be told now
    "request-ref",  # it was not asked: its rules do not know what to ask of a request that was stored beforehand
]


class OpaError(Exception):
    """The root of this room's errors; its text is one sentence."""


class OpaBinaryError(OpaError):
    """The configured binary is missing, cannot be run, or has an unsupported version."""


class OpaInstallError(OpaError):
    """No OPA was found and none could be installed; the sentence says what to do."""


class OutOfReach(OpaError):
    """One way to get an OPA is closed here; never leaves this room, its text ends up in an OpaInstallError."""


class OpaStartError(OpaError):
    """OPA ended at its start, did not answer in time, or answered the canary wrongly."""


class CouldNotDecide(OpaError):
    """OPA gave no answer that may be believed; `cause` is one of a closed set of words."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause: Cause = cause
        self.detail = detail
