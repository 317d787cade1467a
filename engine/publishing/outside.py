"""The newest checkpoint of each tenant, in a file beside the database (better: on another disk).

By it a start on a database that was rolled back, or whose history is another one, is refused. The database alone could
never tell: it is a whole log, only an older one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from engine.errors import SetupError
from engine.home import write_private
from ledger.merkle import Subtrees
from ledger.store import Reader
from ledger.verifier.errors import Invalid
from ledger.verifier.note import Checkpoint, parse, parse_checkpoint

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outside:
    """One folder of checkpoints."""

    folder: Path

    def path(self, tenant: str) -> Path:
        """The file of a tenant."""
        return self.folder / f"{tenant}.checkpoint"

    def write(self, tenant: str, note: str) -> None:
        """Keep a checkpoint in the place of the one before; whole or not at all, durable when this returns."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.path(tenant), note)

    def tenants(self) -> list[str]:
        """The tenants that have a checkpoint here."""
        return sorted(path.stem for path in self.folder.glob("[!.]*.checkpoint"))

    def read(self, tenant: str) -> tuple[str, Checkpoint] | None:
        """The note that is kept, and what it says; raises SetupError where it is not a checkpoint."""
        path = self.path(tenant)
        if not path.exists():
            return None
        try:
            data = path.read_bytes()
            return data.decode(), parse_checkpoint(parse(data).text)
        except (OSError, Invalid) as exc:
            raise SetupError(
                f"{path} is not a checkpoint ({exc}): put back the one that was there, or ask a witness for it"
            ) from exc

    def check(self, reader: Reader) -> None:
        """Refuse a database that is behind a checkpoint, or has another history; raises SetupError.

        A checkpoint that is not here any more cannot be missed by the database alone: it is told at each start.
        """
        for tenant in reader.tenants():
            newest = reader.checkpoint(tenant)
            if newest is not None and not self.path(tenant).exists():
                _log.warning(
                    "%s is not there, and the log of %s has a checkpoint of %d entries: if it was not you who moved"
                    " it, the ledger may have been rolled back. Compare with a checkpoint that somebody kept",
                    self.path(tenant), tenant, newest.size,
                )  # fmt: skip
        for tenant in self.tenants():
            kept = self.read(tenant)
            if kept is not None:
                contradiction = contradicts(reader, tenant, kept[1])
                if contradiction is not None:
                    raise SetupError(
                        f"{contradiction}. The checkpoint is in {self.path(tenant)}: restore the newest backup, or take"
                        " this one for good with `muster ledger restore --reason`, which the log will say"
                    )


def contradicts(reader: Reader, tenant: str, checkpoint: Checkpoint) -> str | None:
    """Why a log is not one that this checkpoint was made of; None where it is."""
    size = reader.head(tenant).size
    if size < checkpoint.size:
        return f"the log of {tenant} has {size} entries and is behind a checkpoint of {checkpoint.size}: rolled back"
    if root_at(reader, tenant, checkpoint.size) != checkpoint.root:
        return f"the first {checkpoint.size} entries of {tenant} are not those that a checkpoint was made of: forked"
    return None


def subtrees(reader: Reader, tenant: str) -> Subtrees:
    """A tenant's tree, to make roots and proofs from."""
    return Subtrees(lambda level, start, stop: reader.hashes(tenant, level, start, stop))


def root_at(reader: Reader, tenant: str, size: int) -> bytes:
    """The root over the first `size` entries."""
    return subtrees(reader, tenant).root(0, size)
