"""What a transaction knows: the writer's memory, what it has looked up beside it, and what it has changed itself.

It lies over the memory, which takes it in when the commit is done and not before. What a transaction changes is in here
from then on, so the database is never asked for what has still to be written to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from ledger.merkle import Frontier
from ledger.model import Person, unknown_person
from ledger.prepared import PreparedAppend
from ledger.sqlite import rows
from ledger.sqlite.memory import Head, Known, Memory, ObjectKey, PersonKey

_HEAD: Final = "SELECT frontier, newest_at, active_revision FROM heads WHERE tenant = ?"


class Knowledge:
    """Versions, people and heads, for as long as one transaction lasts."""

    def __init__(self, db: rows.Db, memory: Memory) -> None:
        self._db = db
        self._memory = memory
        self._forgets = False
        self.versions: dict[ObjectKey, int] = {}
        self.people: dict[PersonKey, Known | None] = {}
        self.heads: dict[str, Head] = {}

    def expect(self, appends: Iterable[PreparedAppend]) -> None:
        """Look up together what the checks of these appends will ask for. Without it they ask for each by itself."""
        names: dict[str, list[str]] = {}
        people: dict[tuple[str, str], list[str]] = {}
        for append in appends:
            tenant = append.tenant
            for name, _ in append.reads:
                person = unknown_person(name)
                if person is not None:
                    if not self._remembers_person((tenant, person.type, person.id)):
                        people.setdefault((tenant, person.type), []).append(person.id)
                elif not self._remembers_object((tenant, name)):
                    names.setdefault(tenant, []).append(name)
            for draft in append.drafts:
                about = draft.about
                if about is not None and not self._remembers_person((tenant, about.type, about.id)):
                    people.setdefault((tenant, about.type), []).append(about.id)
        for tenant, wanted in names.items():
            self._look_up_objects(tenant, list(dict.fromkeys(wanted)))
        for (tenant, kind), wanted in people.items():
            self._look_up_people(tenant, kind, list(dict.fromkeys(wanted)))

    def _remembers_object(self, key: ObjectKey) -> bool:
        if key in self.versions:
            return True
        version = self._memory.versions.get(key)
        if version is not None:
            self.versions[key] = version
        return version is not None

    def _remembers_person(self, key: PersonKey) -> bool:
        if key in self.people:
            return True
        known = self._memory.people.get(key)
        if known is not None:
            self.people[key] = known
        return known is not None

    def _look_up_objects(self, tenant: str, names: list[str]) -> None:
        found = rows.versions(self._db, tenant, names)
        for name in names:
            self.versions[tenant, name] = found.get(name, -1)

    def _look_up_people(self, tenant: str, kind: str, ids: list[str]) -> None:
        found = rows.people(self._db, tenant, kind, ids)
        for each in ids:
            self.people[tenant, kind, each] = found.get(each)

    def version(self, tenant: str, name: str) -> int:
        """An object's version, -1 where there is none."""
        if not self._remembers_object((tenant, name)):
            self._look_up_objects(tenant, [name])
        return self.versions[tenant, name]

    def person(self, tenant: str, person: Person) -> Known | None:
        """Ref and key of somebody; None where they are not known."""
        key = (tenant, person.type, person.id)
        if not self._remembers_person(key):
            self._look_up_people(tenant, person.type, [person.id])
        return self.people[key]

    def head(self, tenant: str) -> Head | None:
        """The log's end as it is behind what was appended so far."""
        head = self.heads.get(tenant)
        if head is not None:
            return head
        remembered = self._memory.heads.get(tenant)
        if remembered is not None:
            head = remembered.copy()
        else:
            row = self._db.execute(_HEAD, (tenant,)).fetchone()
            if row is None:
                return None
            frontier, newest_at, revision = cast("tuple[bytes, str, str]", row)
            head = Head(Frontier.from_bytes(frontier), newest_at, revision)
        self.heads[tenant] = head
        return head

    def erase(self, key: PersonKey, objects: Iterable[str]) -> None:
        """A person and these objects are gone, and nothing of them is to be remembered."""
        self.people[key] = None
        for name in objects:
            self.versions[key[0], name] = -1
        self._forgets = True

    def remember(self) -> None:
        """Have the memory take all of this in: it is committed."""
        if self._forgets:
            self._memory.forget()
            return
        self._memory.versions.put(self.versions)
        self._memory.people.put({key: known for key, known in self.people.items() if known is not None})
        self._memory.heads.put(self.heads)
