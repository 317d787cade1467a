"""What an operator with every key could do: change payloads, and make commitments, headers, leaves and head anew.

The result is a log whose tree and projection are consistent with themselves, so that only replay can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import orjson

from ledger import canonical, entry
from ledger.merkle import Frontier, leaf_hash


def rewrite(database: Path, change: Callable[[dict[str, Any]], bool]) -> None:
    """Apply `change` to each payload of tenant `default`; it says whether it changed something, and one must."""
    db = apsw.Connection(str(database))
    rows: list[tuple[int, bytes, bytes, bytes]] = db.execute(  # type: ignore[assignment]  # columns of a STRICT table
        "SELECT e.idx, e.header, p.salt, p.payload FROM entries e LEFT JOIN payloads p USING (tenant, idx)"
        " WHERE tenant = 'default' ORDER BY e.idx"
    ).fetchall()
    frontier, changed = Frontier(), 0
    with db:
        for index, header, salt, payload in rows:
            value = orjson.loads(payload) if payload is not None else None
            head = orjson.loads(header)
            if value is not None and change(value):
                changed += 1
                payload = canonical.encode(value)
                head["commitment"] = entry.commitment(salt, payload)
                header = canonical.encode(head)
                db.execute("UPDATE payloads SET payload = ? WHERE tenant = 'default' AND idx = ?", (payload, index))
            leaf = leaf_hash(header)
            frontier.append(leaf)
            db.execute(
                "UPDATE entries SET header = ?, leaf = ? WHERE tenant = 'default' AND idx = ?",
                (header, leaf, index),
            )
        db.execute("UPDATE heads SET frontier = ? WHERE tenant = 'default'", (frontier.to_bytes(),))
    db.close()
    assert changed, "nothing was changed: the test would prove nothing"
