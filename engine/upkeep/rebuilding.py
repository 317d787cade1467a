"""A home's projections, made again beside a service or without one, and put in the place of what differs.

Nothing is repaired in silence: the transaction that replaces rows appends an entry that says how many, and why. Where
the log itself is not whole nothing is replaced, since what is made of it proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from engine.errors import Conflict, Unavailable
from engine.home import Home
from engine.publishing.outside import Outside
from engine.upkeep.scratch import scratch
from ledger.errors import LedgerError, Stale
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Receipt
from ledger.prepared import PreparedAppend, prepare
from ledger.rebuild import Progress, Rebuild, silent
from ledger.sqlite import SqliteLedger
from ledger.sqlite.projection import Replace

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


def write(ledger: SqliteLedger, rebuild: Rebuild, payload: dict[str, JSON]) -> Receipt | None:
    """Replace what a rebuild that was run found; the entry's receipt, None where nothing differs any more.

    `payload` is the entry's, without `rows`. Raises Conflict where the log itself is not whole, Unavailable.
    """
    for _ in range(_ATTEMPTS):
        report = rebuild.again()
        if report.wrong:
            raise Conflict(f"the log itself is not whole, so nothing was replaced: {'; '.join(report.wrong)}")
        try:
            receipts = ledger.replace(
                Replace(rebuild.made, lambda rows: _entry(rebuild.tenant, payload, rows))
            ).result()
        except Stale:
            continue  # more entries have come than the writer takes in by itself
        except LedgerError as exc:
            raise Unavailable(f"nothing was replaced: {exc}") from exc
        return receipts[0] if receipts else None
    raise Unavailable("the log grows faster than it can be read: try again when less is decided")


def _entry(tenant: str, payload: dict[str, JSON], rows: dict[str, int]) -> PreparedAppend:
    counted: dict[str, JSON] = dict(sorted(rows.items()))
    draft = Draft(id=uuid7(), kind="rebuilt", payload={"rows": counted, **payload})
    return prepare(Append(tenant=tenant, drafts=(draft,)))
