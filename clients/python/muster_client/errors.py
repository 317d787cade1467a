"""What this package raises.

ClientError
+-- Undecided          no answer that can be believed: neither a yes nor a no
|   +-- Refused        the service does not take this call: the token, or the question, is wrong
+-- Unproven           a `Muster-Assertion` that does not prove that this request passed the gate
"""

from __future__ import annotations


class ClientError(Exception):
    """The root of this package's errors."""


class Undecided(ClientError):
    """It is not known whether this may be done: do not do it.

    `cause` is `timeout`, `unreachable`, `bad-answer`, `refused`, `no-token`, `rate`, `no-keys`, or what the service
    gave as the cause of its 503.
    `retry_after` is in seconds; `decision_id` is there where the service recorded that it could not decide.
    """

    def __init__(
        self,
        cause: str,
        detail: str,
        *,
        status: int | None = None,
        retry_after: int = 1,
        decision_id: str | None = None,
    ) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause, self.detail, self.status = cause, detail, status
        self.retry_after, self.decision_id = retry_after, decision_id


class Refused(Undecided):
    """The service answered 400, 401, 403, 404 or 413: asking again will not help, its caller has to be mended."""


class Unproven(ClientError):
    """This request is not shown to have passed the gate. `code` is one of those of docs/clients.md."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail
