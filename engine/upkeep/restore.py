"""The way back from a backup: checked, held against all that is known of the log, and put in place in one step.

The new home is built beside the old one and the two change places, so whoever is killed leaves the one or the other;
the old one is kept. A backup that is behind what is known is restored only for a reason that somebody else has agreed
to, and the log says so before it says anything else.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from engine.errors import BadRequest, Conflict, SetupError, Unavailable
from engine.home import Home, HomeLock
from engine.publishing.outside import Outside, root_at
from engine.upkeep import files
from engine.upkeep.backup import DATABASE, KEYS, check_log
from engine.upkeep.index import Index, NotWhole, check_files, read
from engine.upkeep.scratch import locked
from ledger.errors import LedgerError
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Person, Published
from ledger.rebuild import Progress, silent
from ledger.sqlite import SqliteLedger, SqliteReader, schema
from ledger.sqlite.projection import Tables
from ledger.store import Reader
from ledger.verifier.errors import Invalid
from ledger.verifier.note import parse, parse_checkpoint

_MARK: Final = "unfinished"
_CONFIGURATION: Final = "muster.toml"


class Behind(Conflict):
    """The backup lacks what is known of the log, or is of another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a log: so many entries, their root where it is known, and where that is from."""

    where: str
    size: int
    root: bytes | None
    note: str | None = None
    at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Why a backup that is behind is restored, and who agreed, as the command line has it; who restores."""

    reason: str
    approved_by: str
    by: JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was restored: entries of each tenant; what was known beyond, in sentences; where the old home is."""

    sizes: dict[str, int]
    lost: tuple[str, ...]
    before: Path | None
    unread: str | None
    """Why the ledger that was there could not be read, so that nothing is known from it."""


def restore(home: Home, settled: Path | None, folder: Path, told: Told | None, progress: Progress = silent) -> Restored:
    """Restore a backup as `home`; `settled` is the configured folder of checkpoints, where it is not in the home.

    Raises BadRequest, NotWhole, Behind, Busy (a service is running), Unavailable.
    """
    index = read(folder)
    check_files(folder, index)
    check_log(folder / DATABASE, index.tenants, {})
    if not index.with_keys and not (home.path / KEYS).is_dir():
        raise BadRequest(f"the backup was made without keys: put them into {home.path / KEYS} first")
    _check_target(home)
    with ExitStack() as held:
        if home.path.is_dir():
            held.callback(HomeLock(home).release)
        known, unread = _known(home, Outside(settled or home.checkpoints))
        with closing(SqliteReader(folder / DATABASE)) as reader:
            lost = {tenant: list(_beyond(reader, tenant, all_known)) for tenant, all_known in known.items()}
            lost = {tenant: beyond for tenant, beyond in lost.items() if beyond}
            approver = None if told is None else _approver(reader, index, told.approved_by)
        if lost and told is None:
            raise Behind(_refusal(folder, index, lost))
        _sweep(home.path)
        new = held.enter_context(_building(home.path))
        _fill(new, folder, index, home.path, progress)
        _append(Home(new), index, known, lost, told, approver)
        _settle(Home(new), home, settled, index, lost)
        held.callback(HomeLock(Home(new)).release)
        before = _put(new, home.path)
    return Restored(
        sizes={tenant: copied.size for tenant, copied in index.tenants.items()},
        lost=tuple(_sentence(tenant, beyond) for tenant, beyonds in lost.items() for beyond in beyonds),
        before=before,
        unread=unread,
    )


def _check_target(home: Home) -> None:
    """Refuse to put aside a folder that was never a home."""
    if home.path.is_dir() and not home.exists() and not home.database.exists():
        strange = {path.name for path in home.path.iterdir()} - {"lock", KEYS, _CONFIGURATION, "checkpoints"}
        if strange:
            raise BadRequest(
                f"{home.path} is no home and not empty (it has {min(strange)}): restore into another folder"
            )


# what is known


def _known(home: Home, outside: Outside) -> tuple[dict[str, list[Known]], str | None]:
    """What is known of each log, and why the ledger that is there could not be read, if so."""
    known: dict[str, list[Known]] = {}
    for tenant in outside.tenants():
        kept = outside.read(tenant)
        if kept is not None:
            note, said = kept
            found = Known(where=str(outside.path(tenant)), size=said.size, root=said.root, note=note)
            known.setdefault(tenant, []).append(found)
    try:
        if home.database.is_file():  # what is wrong with it may be why a backup is restored
            for tenant, found in _in_database(home.database):
                known.setdefault(tenant, []).append(found)
    except (LedgerError, Invalid, apsw.Error) as exc:
        return known, str(exc)
    return known, None


def _in_database(path: Path) -> Iterator[tuple[str, Known]]:
    with closing(schema.open_reader(path)) as db, closing(SqliteReader(path)) as reader:
        live = Tables(db)
        for tenant in live.tenants():
            size = live.size(tenant)
            yield tenant, Known(where=str(path), size=size, root=_root(reader, tenant, size))
            stored = reader.checkpoint(tenant)
            if stored is not None:
                said = parse_checkpoint(parse(stored.note.encode()).text)
                where, note = f"a checkpoint in {path}", stored.log_note
                yield tenant, Known(where=where, size=said.size, root=said.root, note=note, at=stored.at)


def _root(reader: Reader, tenant: str, size: int) -> bytes | None:
    try:
        return root_at(reader, tenant, size)
    except LedgerError:
        return None


def _beyond(reader: Reader, tenant: str, known: list[Known]) -> Iterator[Known]:
    """What is known of a log and is not in the backup's."""
    size = reader.head(tenant).size
    for each in known:
        if each.size > size or (each.root is not None and root_at(reader, tenant, each.size) != each.root):
            yield each


def _sentence(tenant: str, beyond: Known) -> str:
    return f"{beyond.size} entries of {tenant} ({beyond.where})"


def _refusal(folder: Path, index: Index, lost: Mapping[str, list[Known]]) -> str:
    has = ", ".join(f"{copied.size} of {tenant}" for tenant, copied in sorted(index.tenants.items()))
    known = ", ".join(_sentence(tenant, beyond) for tenant, all_of in lost.items() for beyond in all_of)
    return (
        f"the backup {folder} has {has} and lacks what is known: {known}. Restore a newer backup; or this one with"
        " --reason and --approved-by, which the log will say"
    )


def _approver(reader: Reader, index: Index, text: str) -> dict[str, JSON]:
    """Who agreed, by ref where it is a person: the log names nobody else by their ID."""
    kind, _, name = text.rpartition(":")
    if kind == "system" and name:
        return {"asserted": True, "principal": {"type": "system", "id": name}}
    refs = [reader.person(tenant, Person(type="user", id=name)) for tenant in sorted(index.tenants)]
    ref = next((ref for ref in refs if ref is not None), None)
    if kind not in ("", "user") or ref is None:
        raise BadRequest("--approved-by: a person of the backup's directory, user:ID, or system:NAME")
    return {"asserted": True, "principal": {"type": "user", "ref": ref}}


# the new home


def _beside(home: Path) -> str:
    return f".{home.name}.restoring-"


def _sweep(home: Path) -> None:
    """Remove what a killed restore had not finished; an old home that it had no time to name is kept, and named."""
    for path in home.parent.glob(f"{_beside(home)}*"):
        lock = locked(path)
        if lock is None:
            raise Unavailable(f"another restore is at work in {path}")
        try:
            if (path / _MARK).exists():
                shutil.rmtree(path)
            else:
                path.rename(_kept_as(home))
        finally:
            os.close(lock)


@contextmanager
def _building(home: Path) -> Iterator[Path]:
    """A folder beside the home, on its disk, for the new one; removed if it was not put in place."""
    files.make_folder(home.parent)
    folder = Path(tempfile.mkdtemp(prefix=_beside(home), dir=home.parent))
    lock = locked(folder)
    (folder / _MARK).touch(0o600)
    try:
        yield folder
    finally:
        if (folder / _MARK).exists():
            shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _fill(new: Path, folder: Path, index: Index, old: Path, progress: Progress) -> None:
    total = len(index.files)
    for done, (name, sha256) in enumerate(index.files.items(), 1):
        mode = 0o700 if name.startswith(("bundles/opa/", "opa/")) else 0o600
        if files.copy(folder / name, new / name, mode) != sha256:
            raise NotWhole(f"the backup {folder} is not whole: {name} was changed while it was read")
        progress(done, total)
    if not index.with_keys:
        for name in files.listed(old / KEYS):
            files.copy(old / KEYS / name, new / KEYS / name)
    if (old / _CONFIGURATION).is_file():  # as it was configured where it is restored
        files.copy(old / _CONFIGURATION, new / _CONFIGURATION)


def _append(
    new: Home,
    index: Index,
    known: Mapping[str, list[Known]],
    lost: Mapping[str, list[Known]],
    told: Told | None,
    approver: JSON,
) -> None:
    """Say in each log what was lost of it; keep checkpoints that it is behind in, though not in entries."""
    ledger = SqliteLedger(new.database)
    try:
        with closing(ledger.reader()) as reader:
            for tenant, copied in index.tenants.items():
                newest = reader.checkpoint(tenant)
                for each in sorted(known.get(tenant, []), key=lambda found: found.size):
                    ahead = newest is None or each.size > newest.size
                    if ahead and each.note is not None and each.root is not None and each not in lost.get(tenant, []):
                        at = each.at or ledger.now(tenant)
                        kept = Published(tenant=tenant, size=each.size, root=each.root, at=at, note=each.note)
                        ledger.keep(kept).result()
                        newest = reader.checkpoint(tenant)
                if told is not None:
                    payload = _payload(copied.size, lost, tenant, index, told, approver)
                    draft = Draft(id=uuid7(), kind="restored", payload=payload)
                    ledger.submit(Append(tenant=tenant, drafts=(draft,))).result()
    except LedgerError as exc:
        raise Unavailable(f"the restore could not be recorded, so nothing was restored: {exc}") from exc
    finally:
        ledger.close()


def _payload(
    size: int, lost: Mapping[str, list[Known]], tenant: str, index: Index, told: Told, approver: JSON
) -> dict[str, JSON]:
    beyond = max(lost.get(tenant, []), key=lambda each: each.size, default=None)
    noted = max((e for e in lost.get(tenant, []) if e.note), key=lambda each: each.size, default=None)
    gone: list[JSON] = [*sorted(lost.keys() - index.tenants.keys())] if tenant == min(index.tenants) else []
    return {
        "from": size,
        "made_at": index.made_at,
        "lost": None
        if beyond is None
        else {
            "size": beyond.size,
            "root": beyond.root.hex() if beyond.root else None,
            "checkpoint": noted.note if noted else None,
        },
        "tenants_lost": gone,
        "reason": told.reason,
        "approved_by": approver,
        "by": told.by,
    }


def _settle(new: Home, old: Home, settled: Path | None, index: Index, lost: Mapping[str, list[Known]]) -> None:
    """Let the checkpoints beside the ledger agree with it. What they said beyond is kept under another name.

    Where they are not in the home they cannot change places with it: they go first, so that no new home is refused.
    """
    before = Outside(settled or old.checkpoints)
    after = Outside(settled or new.checkpoints)
    with closing(SqliteReader(new.database)) as reader:
        for tenant in sorted(index.tenants.keys() | set(before.tenants())):
            kept = before.read(tenant)
            if kept is not None and any(each.where == str(before.path(tenant)) for each in lost.get(tenant, [])):
                lost_path = after.folder / f"{tenant}.checkpoint.lost-{kept[1].size}"
                files.copy(before.path(tenant), lost_path)
                after.path(tenant).unlink(missing_ok=True)
            newest = reader.checkpoint(tenant)
            if newest is not None:
                after.write(tenant, newest.log_note)


def _put(new: Path, home: Path) -> Path | None:
    """Put the new home in place; answers where the old one is."""
    files.sync(new)
    (new / _MARK).unlink()
    files.sync_folder(new)
    try:
        if not home.exists():
            new.rename(home)
            return None
        files.exchange(new, home)
    except OSError as exc:
        (new / _MARK).touch(0o600)
        raise SetupError(
            f"{home} cannot be put aside ({exc.strerror}): where it is a mount point, restore into a folder inside it"
        ) from exc
    kept = _kept_as(home)
    new.rename(kept)
    files.sync_folder(home.parent)
    return kept


def _kept_as(home: Path) -> Path:
    number = 1
    while (kept := home.with_name(f"{home.name}.before-restore-{number}")).exists():
        number += 1
    return kept
