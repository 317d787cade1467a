"""Leased decisions in a stopped service's log, as a decider would append them, and as nobody should."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from engine.access.caller import Caller, Principal
from engine.decide.record import lease_key, leased_payload
from ledger import canonical
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Entry, Person
from ledger.sqlite import SqliteLedger
from ledger.store import Reader

TENANT = "default"


class Leaser:
    """Appends leased decisions to an open ledger."""

    def __init__(self, ledger: SqliteLedger, reader: Reader) -> None:
        self.ledger = ledger
        self.reader = reader

    def entry(self, entry_id: str) -> Entry:
        """An entry that is there."""
        found = self.reader.entry(TENANT, entry_id)
        assert found is not None
        return found

    def whole(self, entry_id: str) -> str:
        """The ID of a decision, or of the one that it leans on: the service answers by leases itself."""
        return str(self.entry(entry_id).value.get("leans_on", entry_id))

    def payload(self, first_id: str, **changed: JSON) -> dict[str, Any]:
        """The payload of a decision leased from a whole one now, as it is read from the log; `changed` bends it."""
        first_id = self.whole(first_id)
        value: dict[str, Any] = self.entry(first_id).value
        named = value["caller"]
        caller = Caller(
            tenant=TENANT,
            role=named["role"],
            principal=Principal(type="system", id=named["principal"]["id"]),
            token_id=named["token"],
        )
        right = leased_payload(
            leans_on=first_id,
            lease=lease_key(value["revision"], value["input"]),
            now=self.ledger.now(TENANT),
            caller=caller,
            request_id="leased",
            dropped=("/context/colour",),
        )
        told: dict[str, Any] = orjson.loads(canonical.encode(right | changed))
        return told

    def lease(self, first_id: str) -> str:
        """A leased decision with all that its append is checked by; its ID."""
        first = self.entry(self.whole(first_id))
        value: dict[str, Any] = first.value
        payload = self.payload(first_id)
        return self.append(
            payload,
            first.about,
            reads=tuple((name, version) for name, version in value["reads"]),
            revision=value["revision"],
            now=payload["now"],
            valid_until=value["result"]["valid_until"],
        )

    def forge(self, first_id: str, about: Person | None = None, **changed: JSON) -> str:
        """A leased decision that nothing checks; its ID."""
        return self.append(self.payload(first_id, **changed), about or self.entry(first_id).about)

    def append(
        self, payload: dict[str, Any], about: Person | None, *, entry_id: str | None = None, **checked: Any
    ) -> str:
        """Append a decision of any payload; its ID."""
        draft = Draft(id=entry_id or uuid7(), kind="decision", payload=payload, about=about)
        [receipt] = self.ledger.submit(Append(tenant=TENANT, drafts=(draft,), **checked)).result(timeout=20)
        return receipt.id

    def draft(self, kind: str, payload: dict[str, Any], about: Person | None) -> int:
        """Append an entry of another kind; its index."""
        draft = Draft(id=uuid7(), kind=kind, payload=payload, about=about)
        [receipt] = self.ledger.submit(Append(tenant=TENANT, drafts=(draft,))).result(timeout=20)
        return receipt.index


@contextmanager
def leasing(home: Path) -> Iterator[Leaser]:
    """The ledger of a home on which no service runs, open to be leased from."""
    ledger = SqliteLedger(home / "ledger.db")
    reader = ledger.reader()
    try:
        yield Leaser(ledger, reader)
    finally:
        reader.close()
        ledger.close()
