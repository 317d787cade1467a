"""What the ledger's process tells a worker: one object a frame, each member only where there is something to tell.

version   in the first frame of a connection only: another one is another program, and is refused
offset    how far the wall clock is from the boot clock where it is believed (ns); see `ledger.clock`
newest    {tenant: `at` of its newest entry}, as far as it moved
changed   [[tenant, [object, ...], revision or null], ...], of commits whose answers are not yet sent to anybody
answers   [[number, [[index, at, duplicate], ...]], ...], or [number, error's name, its arguments];
          with the ID last, where it was not the worker that drew it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ledger import errors
from ledger.errors import LedgerError, Unknown
from ledger.model import Changed, Receipt
from ledger.sqlite.waiting import Outcome

VERSION: Final = 1

_SENTENCES: Final[dict[str, type[LedgerError]]] = {
    kind.__name__: kind
    for kind in (
        errors.CanonicalError, errors.MalformedInstant, errors.Malformed, errors.TooLarge, errors.UnknownTenant,
        errors.Conflict, errors.Erased, errors.NotReady, errors.Full, errors.HomeLocked, errors.Unknown,
        errors.FormatTooNew,
    )
}  # fmt: skip
"""The errors that are one sentence."""


def told(number: int, outcome: Outcome, *, named: bool = False) -> tuple[Any, ...]:
    """An answer as it is sent; `named` where the ledger and not the worker drew the entries' IDs."""
    if isinstance(outcome, LedgerError):
        return (number, type(outcome).__name__, _arguments(outcome))
    if named:
        return (number, [(receipt.index, receipt.at, receipt.duplicate, receipt.id) for receipt in outcome])
    return (number, [(receipt.index, receipt.at, receipt.duplicate) for receipt in outcome])


def _arguments(error: LedgerError) -> tuple[str, ...]:
    if isinstance(error, errors.Stale):
        return (error.what,)
    if isinstance(error, errors.IdempotencyConflict):
        return (error.entry_id, error.request)
    return (str(error),)


def outcome(answer: Any, ids: Sequence[str] | None) -> tuple[Receipt, ...] | LedgerError:
    """An answer as it was received; `ids` are those that the worker drew, None where it drew none.

    Raises ValueError, TypeError, LookupError.
    """
    if len(answer) == 2:
        if ids is None:
            return tuple(Receipt(id=one[3], index=one[0], at=one[1], duplicate=one[2]) for one in answer[1])
        return tuple(
            [
                Receipt(id=entry_id, index=index, at=at, duplicate=duplicate)
                for entry_id, (index, at, duplicate) in zip(ids, answer[1], strict=True)
            ]
        )
    _, name, arguments = answer
    if name == "Stale":
        return errors.Stale(*arguments)
    if name == "IdempotencyConflict":
        return errors.IdempotencyConflict(*arguments)
    kind = _SENTENCES.get(name)
    return kind(*arguments) if kind is not None else Unknown(f"{name}: {' '.join(map(str, arguments))}")


def changed(told_of: Changed) -> tuple[Any, ...]:
    """What a commit moved, as it is sent."""
    return (told_of.tenant, sorted(told_of.objects), told_of.revision)


def read_changed(given: Any) -> Changed:
    """And as it is received; raises ValueError, TypeError."""
    tenant, objects, revision = given
    return Changed(tenant=str(tenant), objects=frozenset(objects), revision=revision)
