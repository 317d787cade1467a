"""A process of its own that appends until it is killed, and prints what was acknowledged."""

from __future__ import annotations

import sys
from collections import deque
from concurrent.futures import Future
from pathlib import Path

from ledger.model import Receipt
from ledger.sqlite import SqliteLedger, writeback
from tests.ledger.builders import ANN, TENANT, decision, one, result


def main(path: str, pages: int) -> None:
    """Keep sixteen appends waiting; print each receipt when it is there. The log of writes is copied after so many
    pages."""
    writeback.PAGES = pages  # type: ignore[misc]
    ledger = SqliteLedger(Path(path))
    pending: deque[Future[tuple[Receipt, ...]]] = deque()
    while True:
        pending.append(ledger.submit(decision(ANN, now=ledger.now(TENANT))))
        pending.append(ledger.submit(one(result(ANN))))
        if len(pending) > 16:
            [receipt] = pending.popleft().result()
            sys.stdout.write(f"{receipt.id} {receipt.index}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
