"""A home's projections, made again beside a service or without one, and put in the place of what differs.

Nothing is repaired in silence: the transaction that replaces rows appends an entry that says how many, and why. Where
the log itself is not whole nothing is replaced, since what is made of it proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from engine.errors import Conflict, Unavailable
from engine.home import Home
from engine.publishing.outside import Outside
from engine.upkeep.scratch import scratch
from ledger.errors import LedgerError, Stale
from ledger.model import JSON, Receipt
from ledger.rebuild import Progress, Rebuild, silent
from ledger.remote import RemoteLedger
from ledger.remote.handover import rebuilt
from ledger.sqlite import SqliteLedger
from ledger.sqlite.projection import Projection
from ledger.store import Ledger

_ATTEMPTS = 20


@contextmanager
def rebuilding(home: Home, outside: Outside, tenant: str, progress: Progress = silent) -> Iterator[Rebuild]:
    """A rebuild of one tenant, its working state in the home until the end."""
    kept = outside.read(tenant)
    with scratch(home.path) as folder:
        rebuild = Rebuild(home.database, tenant, folder, [kept[1]] if kept else [], progress)
        try:
            yield rebuild
        finally:
            rebuild.close()


def write(ledger: Ledger, rebuild: Rebuild, payload: dict[str, JSON]) -> Receipt | None:
    """Replace what a rebuild that was run found; the entry's receipt, None where nothing differs any more.

    `payload` is the entry's, without `rows`. Raises Conflict where the log itself is not whole, Unavailable.
    """
    for _ in range(_ATTEMPTS):
        report = rebuild.again()
        if report.wrong:
            raise Conflict(f"the log itself is not whole, so nothing was replaced: {'; '.join(report.wrong)}")
        try:
            receipts = _replace(ledger, rebuild.made, payload).result()
        except Stale:
            continue  # more entries have come than the writer takes in by itself
        except LedgerError as exc:
            raise Unavailable(f"nothing was replaced: {exc}") from exc
        return receipts[0] if receipts else None
    raise Unavailable("the log grows faster than it can be read: try again when less is decided")


def _replace(ledger: Ledger, made: Projection, payload: dict[str, JSON]) -> Future[tuple[Receipt, ...]]:
    """Whoever owns the file does it: in this process, or in the ledger's own."""
    if isinstance(ledger, RemoteLedger):
        return ledger.replace(made, payload)
    assert isinstance(ledger, SqliteLedger)
    return ledger.replace(rebuilt(made, payload))
