"""What was read of objects and people, remembered within a bound, and dropped by the ledger's own commits.

Over any store. It is exact for whoever is told of each commit before its appends are answered (`Ledger.watch`). Whoever
is told later may be served a state that has moved; the check of `reads` in the append refuses it as stale, and `forget`
makes the next look a fresh one. So nothing may be answered from here that is not appended with what it read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar, cast

from ledger.canonical import JSON
from ledger.model import Changed, Person, unknown_person
from ledger.store import States

MOST_OBJECTS: Final = 16_384
"""A person's state takes some kilobytes as Python has it: about 100 MB at the most."""

_Object: TypeAlias = tuple[int, JSON | None]
_ABSENT: Final[_Object] = (-1, None)
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Cache:
    """`person` and `objects` as a Reader has them. Read in one thread, told of changes in another.

    Only what exists is kept: names that strangers make up push nothing out.
    """

    def __init__(self, reader: States, most: int = MOST_OBJECTS) -> None:
        self.hits = self.misses = 0
        self._reader = reader
        self._most = most
        self._objects: OrderedDict[tuple[str, str], _Object] = OrderedDict()
        self._people: OrderedDict[tuple[str, Person], str] = OrderedDict()
        self._made: dict[tuple[str, str], tuple[JSON, object, Any]] = {}
        # What was read before a change and arrives here after it must not stay: so reading notes the number of changes.
        self._changes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._objects)

    def person(self, tenant: str, person: Person) -> str | None:
        """The person's ref; None if unknown."""
        key = (tenant, person)
        try:
            known = self._people[key]
            self._people.move_to_end(key)
        except KeyError:
            changes = self._changes
            ref = self._reader.person(tenant, person)
            self._keep(self._people, {key: ref} if ref is not None else {}, changes)
            return ref
        return known

    def objects(self, tenant: str, names: Sequence[str]) -> dict[str, _Object]:
        """Version and state of each; (-1, None) where absent. States are shared: nobody changes one."""
        found: dict[str, _Object] = {}
        for name in names:
            key = (tenant, name)
            try:
                found[name] = self._objects[key]
                self._objects.move_to_end(key)
            except KeyError:
                break
        else:
            self.hits += 1
            return found
        self.misses += 1
        changes = self._changes
        found = self._reader.objects(tenant, names)  # all of one snapshot
        self._keep(self._objects, {(tenant, name): each for name, each in found.items() if each[0] >= 0}, changes)
        return found

    def made(self, tenant: str, name: str, state: JSON, by: object, make: Callable[[], _Value]) -> _Value:
        """What `make` makes of an object's state and of `by`: once, for as long as that very state is remembered.

        One is kept of each object, the last; it goes with the state.
        """
        key = (tenant, name)
        kept = self._made.get(key)
        if kept is not None and kept[0] is state and kept[1] is by:
            return cast(_Value, kept[2])
        value = make()
        with self._lock:
            if self._objects.get(key, _ABSENT)[1] is state:
                self._made[key] = state, by, value
        return value

    def moved(self, changed: Changed) -> None:
        """Drop what a commit has moved. Called from the ledger's thread."""
        for name in changed.objects:
            self.forget(changed.tenant, name)

    def forget(self, tenant: str, name: str) -> None:
        """Drop one object, or whether a person is known, by the names that stand in `reads`."""
        person = unknown_person(name)
        with self._lock:
            self._changes += 1
            if person is not None:
                self._people.pop((tenant, person), None)
                return
            self._made.pop((tenant, name), None)
            _, state = self._objects.pop((tenant, name), _ABSENT)
            if name.startswith("person/") and isinstance(state, dict):  # who was erased has another ref, or none
                self._people.pop((tenant, Person(str(state["type"]), str(state["id"]))), None)

    def clear(self) -> None:
        """Forget all: changes may have gone by untold."""
        with self._lock:
            self._changes += 1
            self._objects.clear()
            self._made.clear()
            self._people.clear()

    def _keep(self, kept: OrderedDict[_Key, _Value], more: dict[_Key, _Value], changes: int) -> None:
        with self._lock:
            if changes != self._changes:
                return
            kept.update(more)
            while len(kept) > self._most:
                key, _ = kept.popitem(last=False)
                self._made.pop(key, None)  # type: ignore[call-overload]  # a person's key is no object's
