"""What was signed of a log, kept for ever: checkpoints, each larger than the one before, and witnesses' lines."""

from __future__ import annotations

from typing import Final, cast

from ledger.errors import Conflict
from ledger.model import Cosigned, Published
from ledger.sqlite.rows import Db
from ledger.sqlite.transaction import Transaction

_SIGNED: Final = "SELECT size, note FROM checkpoints WHERE tenant = ? ORDER BY size DESC LIMIT 1"
_KEPT: Final = "SELECT 1 FROM checkpoints WHERE tenant = ? AND size = ?"
_ADD_CHECKPOINT: Final = "INSERT INTO checkpoints (tenant, size, at, note) VALUES (?, ?, ?, ?)"
_ADD_COSIGNATURE: Final = "INSERT OR IGNORE INTO cosignatures (tenant, size, line) VALUES (?, ?, ?)"


def publish(db: Db, transaction: Transaction, checkpoint: Published) -> None:
    """Keep a checkpoint; raises Conflict where it is behind the newest one, or contradicts it or the log."""
    head = transaction.head(checkpoint.tenant)
    newest = db.execute(_SIGNED, (checkpoint.tenant,)).fetchone()
    if newest == (checkpoint.size, checkpoint.note):
        return
    if newest is not None and cast(int, newest[0]) >= checkpoint.size:
        raise Conflict(f"there is a checkpoint of {newest[0]} entries already; this one has {checkpoint.size}")
    if head is None or checkpoint.size > head.size:
        raise Conflict(f"a checkpoint of {checkpoint.size} entries, where the log has fewer")
    if checkpoint.size == head.size and checkpoint.root != transaction.root(checkpoint.tenant, head):
        raise Conflict("a checkpoint of another log than this one")
    db.execute(_ADD_CHECKPOINT, (checkpoint.tenant, checkpoint.size, checkpoint.at, checkpoint.note))
    transaction.wrote = True


def cosign(db: Db, transaction: Transaction, cosigned: Cosigned) -> None:
    """Keep the lines of witnesses; raises Conflict where there is no checkpoint that they could be of."""
    if db.execute(_KEPT, (cosigned.tenant, cosigned.size)).get is None:
        raise Conflict(f"cosignatures of a checkpoint of {cosigned.size} entries, which is not kept")
    for line in cosigned.lines:
        db.execute(_ADD_COSIGNATURE, (cosigned.tenant, cosigned.size, line))
    transaction.wrote = True
