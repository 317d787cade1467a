"""Who hears of what moved: collected in a transaction, told when it is durable and nothing of it is answered yet."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from ledger.model import Changed

_log: Final = logging.getLogger(__name__)


class Moved:
    """The objects that have another version or are gone, and the revisions that are active since, by tenant."""

    __slots__ = ("_objects", "_revisions")

    def __init__(self) -> None:
        self._objects: dict[str, set[str]] = {}
        self._revisions: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._objects or self._revisions)

    def object(self, tenant: str, name: str) -> None:
        """An object moved."""
        self._objects.setdefault(tenant, set()).add(name)

    def revision(self, tenant: str, revision: str) -> None:
        """Another revision is active."""
        self._revisions[tenant] = revision

    def add(self, other: Moved) -> None:
        """All that moved there moved, and later."""
        for tenant, names in other._objects.items():
            self._objects.setdefault(tenant, set()).update(names)
        self._revisions |= other._revisions

    def changes(self) -> list[Changed]:
        """What is to be told."""
        return [
            Changed(
                tenant=tenant,
                objects=frozenset(self._objects.get(tenant, ())),
                revision=self._revisions.get(tenant),
            )
            for tenant in sorted(self._objects.keys() | self._revisions.keys())
        ]


class Watchers:
    """Whoever wants to hear of every commit, and what they have not heard yet of commits that were tried."""

    def __init__(self) -> None:
        self._watchers: list[Callable[[Changed], None]] = []
        self._untold = Moved()

    def watch(self, changed: Callable[[Changed], None]) -> None:
        """From now on tell this one, too."""
        self._watchers.append(changed)

    def expect(self, moved: Moved) -> None:
        """This is about to be committed: from here on it may have moved, whatever is heard of the commit."""
        if moved:
            self._untold.add(moved)

    def refused(self) -> None:
        """It is certain that nothing of what was expected has happened."""
        self._untold = Moved()

    def tell(self) -> None:
        """Tell all that was expected. One who fails keeps nobody else from hearing it, and the writer goes on."""
        if not self._untold:
            return
        untold, self._untold = self._untold, Moved()
        for changed in untold.changes():
            for watcher in tuple(self._watchers):
                try:
                    watcher(changed)
                except Exception:  # noqa: BLE001  whatever it is, it is theirs and is logged
                    _log.exception("who watches the ledger failed to hear of a commit")
