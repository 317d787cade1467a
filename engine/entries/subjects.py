"""People of the directory: an entry `subject` gives a person their pseudonym and replaces their directory fields."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from engine.access.caller import Caller
from engine.entries.writer import Once, Writer
from engine.errors import BadRequest, FieldError, NotFound
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Entry, NewPerson, Person, unknown_object

KEY_CONTEXT = b"muster/tag-key/v1\0"


@dataclass(frozen=True, slots=True)
class Subjects:
    """Reads and writes the directory."""

    writer: Writer

    async def put(self, person: Person, directory: dict[str, JSON], once: Once) -> tuple[Entry, bool]:
        """Replace a person's directory fields whole; the first time makes them known."""
        caller = once.caller
        self._check(caller, directory)

        async def build() -> Append:
            runtime = self.writer.runtime
            ref = runtime.ref(caller.tenant, person)
            named: JSON = {"type": person.type, "id": person.id}
            fields = dict(directory)
            if fields.get("manager") is not None:
                fields["manager"] = self._manager(caller, str(fields["manager"]))
            payload: dict[str, JSON] = {"person": named, "directory": fields, "by": self.writer.by(caller)}
            new = None
            if ref is None:
                new = NewPerson(ref=secrets.token_hex(16), key=secrets.token_bytes(32))
                payload["key_commitment"] = hashlib.sha256(KEY_CONTEXT + new.key).hexdigest()
            payload["ref"] = new.ref if new else ref
            reads = ((unknown_object(person), -1),) if new else ()
            draft = Draft(id=uuid7(), kind="subject", payload=once.marked(payload), about=person, new_person=new)
            return Append(tenant=caller.tenant, drafts=(draft,), reads=reads)

        return await self.writer.write(once, build)

    def get(self, tenant: str, person: Person) -> dict[str, JSON]:
        """What the directory and the ledger hold about a person; raises NotFound."""
        runtime = self.writer.runtime
        ref = runtime.ref(tenant, person)
        if ref is None:
            raise NotFound(f"there is no {person.type} {person.id} in the directory")
        version, state = runtime.reader.objects(tenant, [f"person/{ref}"])[f"person/{ref}"]
        assert isinstance(state, dict)
        return {**state, "version": version}

    def _check(self, caller: Caller, directory: dict[str, JSON]) -> None:
        catalogue = self.writer.runtime.active(caller.tenant).catalogue
        errors = []
        persona = directory.get("persona")
        if persona is not None and persona not in catalogue.personas:
            errors.append(FieldError("/persona", f"one of {', '.join(sorted(catalogue.personas))}"))
        tracks = directory.get("tracks")
        for i, track in enumerate(tracks if isinstance(tracks, list) else ()):
            if track not in catalogue.tracks:
                errors.append(FieldError(f"/tracks/{i}", f"one of {', '.join(sorted(catalogue.tracks))}"))
        if errors:
            raise BadRequest("the directory names what the source does not know", tuple(errors))

    def _manager(self, caller: Caller, identifier: str) -> str:
        ref = self.writer.runtime.ref(caller.tenant, Person(type="user", id=identifier))
        if ref is None:
            raise BadRequest("unknown manager", (FieldError("/manager", f"{identifier} is not in the directory"),))
        return ref
