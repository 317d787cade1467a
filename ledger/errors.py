"""Every way in which the ledger says no.

LedgerError
├── StrictError          bytes from outside that are not I-JSON within the limits
├── CanonicalError       a value that has no canonical form (RFC 8785)
├── MalformedInstant     text that is not an instant
├── Malformed            an append or entry whose shape is wrong: a mistake of the caller, never retried
│   └── TooLarge         a payload or header above its limit
├── UnknownTenant        a tenant whose log was not begun by an `activation`
├── Stale                the append leaned on something that has moved: decide again
├── Conflict             the same ID with another payload
├── IdempotencyConflict  the idempotency key is taken; the caller compares the request digests
├── Erased               the payload was erased
├── NotReady             nothing was written; the sentence says what is missing
│   ├── Full             too little free space
│   └── HomeLocked       another process owns the ledger
├── Unknown              the commit's outcome is not known: send again, by the same ID
└── FormatTooNew         the database was made by a newer version
"""


class LedgerError(Exception):
    """The root of this room's errors."""


class StrictError(LedgerError):
    """A document that the strict reader refuses; `pointer` (RFC 6901) names the place."""

    def __init__(self, pointer: str, detail: str, *, too_large: bool = False) -> None:
        super().__init__(f"{pointer or 'the document'}: {detail}")
        self.pointer = pointer
        self.detail = detail
        self.too_large = too_large


class CanonicalError(LedgerError):
    """A value that RFC 8785 cannot write, or that could not be read back as it was."""


class MalformedInstant(LedgerError):
    """Text that is not `YYYY-MM-DDTHH:MM:SS.mmmZ` of the years 2000 to 2200."""


class Malformed(LedgerError):
    """An append, an entry or a payload of the wrong shape."""


class TooLarge(Malformed):
    """A payload above 1 MiB or a header above 65,535 bytes."""


class UnknownTenant(LedgerError):
    """The tenant has no log; its first entry must be an `activation`."""


class Stale(LedgerError):
    """What the append leaned on has moved: an object's name, `revision`, `valid_until` or `now`."""

    def __init__(self, what: str) -> None:
        super().__init__(f"stale: {what} has moved since it was read")
        self.what = what


class Conflict(LedgerError):
    """An entry with this ID and another payload is in the log."""


class IdempotencyConflict(LedgerError):
    """The idempotency key belongs to `entry_id`, whose request had the digest `request`."""

    def __init__(self, entry_id: str, request: str) -> None:
        super().__init__(f"the idempotency key was used by entry {entry_id}")
        self.entry_id = entry_id
        self.request = request


class Erased(LedgerError):
    """The entry is in the log and its payload was erased."""


class NotReady(LedgerError):
    """The ledger cannot take this now; nothing was written."""


class Full(NotReady):
    """The disk has less free space than the floor that erasure and checkpoints need."""


class HomeLocked(NotReady):
    """Another process is the owner of this ledger."""


class Unknown(LedgerError):
    """The commit may or may not have happened; the same append may be sent again, by the same IDs."""


class FormatTooNew(LedgerError):
    """The database's format is newer than this program knows."""
