"""Waivers and revocations: what an admin does to one person's standing, with a reason, for the record."""

from __future__ import annotations

from dataclasses import dataclass

from engine.bundling.catalogue import Catalogue
from engine.entries.writer import Once, Writer
from engine.errors import BadRequest, Conflict, FieldError, NotFound
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Entry, Person


@dataclass(frozen=True, slots=True)
class Exceptions:
    """Records waivers and revocations."""

    writer: Writer

    async def waive(
        self, person: Person, kind: str, identifier: str, reason: str, until: str, once: Once
    ) -> tuple[Entry, bool]:
        """Record that a person need not have a scope, track or module (`kind`) until an instant.

        The newest waiver of the same thing replaces the one before, so a short one ends a long one.
        """
        runtime, caller = self.writer.runtime, once.caller
        _known(runtime.active(caller.tenant).catalogue, kind, identifier)

        async def build() -> Append:
            _, seen = self._in_directory(caller.tenant, person)
            if until <= runtime.now(caller.tenant):
                raise BadRequest("a waiver that is over", (FieldError("/until", "must be in the future"),))
            payload = once.marked(
                {
                    "person": {"type": person.type, "id": person.id},
                    "requirement": {kind: identifier},
                    "reason": reason,
                    "until": until,
                    "by": self.writer.by(caller),
                }
            )
            draft = Draft(id=uuid7(), kind="waiver", payload=payload, about=person)
            return Append(tenant=caller.tenant, drafts=(draft,), reads=(seen,))

        return await self.writer.write(once, build)

    def certification(self, tenant: str, entry_id: str) -> tuple[Person, str]:
        """Whose certification an entry is, and of which scope; raises NotFound."""
        entry = self.writer.runtime.reader.entry(tenant, entry_id)
        if entry is None or entry.kind != "certification" or entry.about is None:
            raise NotFound(f"there is no certification {entry_id}")
        return entry.about, str(entry.value["scope"])

    async def revoke(self, entry_id: str, reason: str, once: Once) -> tuple[Entry, bool]:
        """Revoke what a person holds of the certification's scope, every tier; it has to be earned anew."""
        runtime, caller = self.writer.runtime, once.caller
        person, scope = self.certification(caller.tenant, entry_id)

        async def build() -> Append:
            _, (name, _) = self._in_directory(caller.tenant, person)
            version, state = runtime.reader.objects(caller.tenant, [name])[name]
            if entry_id not in _held(state, scope):
                raise Conflict(f"certification {entry_id} is not in force any more: renewed, or revoked already")
            payload = once.marked(
                {
                    "person": {"type": person.type, "id": person.id},
                    "certification": entry_id,
                    "scope": scope,
                    "reason": reason,
                    "by": self.writer.by(caller),
                }
            )
            draft = Draft(id=uuid7(), kind="revocation", payload=payload, about=person)
            return Append(tenant=caller.tenant, drafts=(draft,), reads=((name, version),))

        return await self.writer.write(once, build)

    def _in_directory(self, tenant: str, person: Person) -> tuple[str, tuple[str, int]]:
        known = self.writer.known(tenant, person)
        if known is None:
            raise NotFound(f"there is no {person.type} {person.id} in the directory")
        return known


def _known(catalogue: Catalogue, kind: str, identifier: str) -> None:
    known = {"scope": catalogue.scopes, "track": catalogue.tracks, "module": catalogue.modules}[kind]
    if identifier not in known:
        raise BadRequest(f"unknown {kind}", (FieldError(f"/{kind}", f"there is no {kind} {identifier} in the source"),))


def _held(state: JSON, scope: str) -> set[str]:
    """The evidence IDs of the certifications of a scope that are in force."""
    assert isinstance(state, dict)
    scopes = state["scopes"]
    assert isinstance(scopes, dict)
    held = scopes.get(scope)
    tiers = held["tiers"] if isinstance(held, dict) else {}
    assert isinstance(tiers, dict)
    return {str(t["evidence"]) for t in tiers.values() if isinstance(t, dict)}
