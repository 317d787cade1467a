"""Reads what a decision needs from the ledger, and notes the version of each object that it saw."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from engine.bundling.catalogue import GateInfo
from engine.decide import inputs, stored
from engine.decide.inputs import Asserted
from engine.decide.request import Request
from ledger import canonical
from ledger.cache import Cache
from ledger.encoded import Encoded
from ledger.model import JSON, Person, unknown_object
from ledger.store import States


@dataclass(slots=True)
class Seen:
    """Objects read for one decision: `reads` go into the record and are checked again when it is appended."""

    reader: States
    tenant: str
    states: dict[str, JSON | None]
    versions: dict[str, int]

    @classmethod
    def none(cls, reader: States, tenant: str) -> Seen:
        return cls(reader, tenant, {}, {})

    @property
    def reads(self) -> tuple[tuple[str, int], ...]:
        """Name and version of every object seen, sorted by name."""
        return tuple(sorted(self.versions.items()))

    def look(self, names: Iterable[str]) -> None:
        """Read objects that have not been read yet."""
        wanted = [n for n in names if n not in self.versions]
        if not wanted:
            return
        for name, (version, state) in self.reader.objects(self.tenant, wanted).items():
            self.versions[name], self.states[name] = version, state

    def person(self, kind: str, identifier: str) -> JSON | None:
        """The state of a person, None where the directory does not have them."""
        name = inputs.subject_object(kind, identifier, self.known(Person(type=kind, id=identifier)))
        self.look([name])
        return self.states[name]

    def known(self, person: Person) -> str | None:
        """A person's ref, their object looked at; None for one who is unknown.

        Ref and object are read one after the other: who was erased in between, or is remembered from before they were,
        has a ref to an object that is not there, and what was read of it would hold for ever.
        """
        for _ in range(2):
            ref = self.reader.person(self.tenant, person)
            if ref is None:
                return None
            name = f"person/{ref}"
            self.look([name])
            if self.versions[name] >= 0:
                return ref
            del self.versions[name], self.states[name]
            if isinstance(self.reader, Cache):
                self.reader.forget(self.tenant, unknown_object(person))
        return None


class Gathered(NamedTuple):
    """The parts of an input that come from the ledger, and what was asked, with what a stored request gives to it.

    `checked` is `reads`, and that a person whom the resource names is still unknown; no record may say whom.
    """

    asserted: Asserted
    subject: dict[str, JSON]
    resource: dict[str, JSON]
    facts: dict[str, JSON]
    reads: tuple[tuple[str, int], ...]
    checked: tuple[tuple[str, int], ...]
    ref: str | None


def gather(reader: States, tenant: str, gate: GateInfo | None, request: Request) -> Gathered:
    """Read the subject, whom and what the request cites, and cut all of it to what the gate declares."""
    seen = Seen.none(reader, tenant)
    person = seen.person(request.subject.type, request.subject.id)
    ref = person["ref"] if isinstance(person, dict) else None
    seen.look(stored.cited(gate, request.stored))
    request = stored.filled(gate, request, seen.states, ref)
    asserted = inputs.assert_declared(gate, request)
    seen.look(inputs.cited(gate, asserted.context))
    seen.look(inputs.approvers(seen.states))
    subject = inputs.subject_part(gate, request.subject.type, request.subject.id, person)
    if asserted.subject_properties:
        subject["properties"] = asserted.subject_properties
    resource = _resource(seen, request, asserted)
    digest = inputs.request_digest(tenant, request, asserted)
    own = _own(reader, tenant, gate, person)
    facts = inputs.facts_part(gate, person, seen.states, asserted.context, digest, own)
    return Gathered(
        asserted=asserted,
        subject=subject,
        resource=resource,
        facts=facts | stored.facts(gate, request.stored, seen.states, ref),
        reads=seen.reads,
        checked=seen.reads
        if resource.get("known", True)
        else (*seen.reads, (unknown_object(Person("user", request.resource.id)), -1)),
        ref=ref if isinstance(ref, str) else None,
    )


def _own(reader: States, tenant: str, gate: GateInfo | None, person: JSON | None) -> dict[str, JSON]:
    """A person's own facts, each part encoded: they are the same in every question about them, and most of it."""

    def make() -> dict[str, JSON]:
        facts = inputs.facts_of_person(gate, person)
        return {part: Encoded(canonical.encode(value)).part() for part, value in facts.items()}

    if gate is None or not isinstance(person, dict) or not isinstance(reader, Cache):
        return make()
    return reader.made(tenant, f"person/{person['ref']}", person, gate, make)


def _resource(seen: Seen, request: Request, asserted: Asserted) -> dict[str, JSON]:
    """The resource; a person as resource stands by `ref`, and one who is unknown by nothing at all."""
    kind, identifier = request.resource.type, request.resource.id
    part: dict[str, JSON] = {"type": kind, "id": identifier}
    if kind == "user":
        ref = seen.known(Person(type=kind, id=identifier))
        part = {"type": kind, "known": ref is not None}
        if ref is not None:
            part["ref"] = ref
    if asserted.resource_properties:
        part["properties"] = asserted.resource_properties
    return part
