"""A backup of a running service is whole, says what it is, and leads back to a working home or is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.home import Home
from engine.publishing.outside import Outside
from engine.upkeep import backup as backups
from engine.upkeep import files
from engine.upkeep.index import NotWhole, check_files, read
from engine.upkeep.scratch import PREFIX
from ledger.rebuild import silent
from ledger.sqlite import SqliteLedger, SqliteReader
from ledger.sqlite.copying import Copying
from ledger.sqlite.scrub import occurrences
from ledger.verify import verify
from tests.ledger.builders import ANN, TENANT, FakeClock, activation, joins, one
from tests.service.running import MUSTER, ROOT, Service, copy_home, until
from tests.upkeep.deciding import Deciding


@pytest.fixture(scope="module")
def service(new_service: Callable[[], Service]) -> Service:
    """A running service with a person who may export, and a checkpoint."""
    service = new_service().start()
    service.person("ann")
    service.train("ann")
    service.muster("ledger", "checkpoint")
    return service


@pytest.fixture(scope="module")
def saved(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of the running service, made while it decided."""
    folder = tmp_path_factory.mktemp("backups") / "monday"
    with Deciding(service, "ann").throughout("backup"):
        service.muster("ledger", "backup", str(folder))
    return folder


def elsewhere(service: Service, home: Path, **env: str) -> Service:
    """The same Muster on another home."""
    return Service(home=home, env={**service.env, "MUSTER_HOME": str(home), **env}, tokens=dict(service.tokens))


def entries(home: Path, kind: str) -> list[dict[str, Any]]:
    """The payloads of a kind in a home's log."""
    reader = SqliteReader(home / "ledger.db")
    try:
        return [dict(e.value) for e in reader.of_kind("default", (kind,), 0, reader.head("default").size)]
    finally:
        reader.close()


def size_of(home: Path) -> int:
    """How many entries a home's log has."""
    reader = SqliteReader(home / "ledger.db")
    try:
        return reader.head("default").size
    finally:
        reader.close()


def works(service: Service) -> None:
    """It starts, decides, and what it has recorded is whole and gives the same answers again."""
    service.start()
    try:
        assert service.decide("ann")["allow"]
        service.muster("ledger", "checkpoint")
        service.muster("ledger", "verify")
        service.muster("ledger", "rebuild")
        service.muster("replay")
    finally:
        service.stop()


# making one


def test_a_backup_says_what_it_is(service: Service, saved: Path) -> None:
    """Private files, each with its digest; and the log of the home says that the backup was made."""
    index = read(saved)
    check_files(saved, index)
    assert index.with_keys
    assert {"ledger.db", "version", "keys/log.pem", "checkpoints/default.checkpoint"} <= index.files.keys()
    assert any(name.startswith("bundles/opa/") for name in index.files)
    assert any(name.startswith("content/") for name in index.files)
    for path in [saved, *saved.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    [copied] = [made for made in entries(service.home, "copy") if made["copy"] == "backup"]
    assert (copied["name"], copied["ref"], copied["size"]) == ("monday", None, index.tenants["default"].size)
    assert copied["sha256"] == files.digest(saved / "backup.json")
    assert verify(saved / "ledger.db", "default").ok
    assert list(service.home.glob(f"{PREFIX}*")) == []


def test_only_an_empty_folder_is_taken(service: Service, tmp_path: Path) -> None:
    """Nothing is overwritten, and no backup lies in its own home."""
    (tmp_path / "mine").write_text("mine")
    assert "not an empty folder" in service.muster("ledger", "backup", str(tmp_path), want=2).stderr
    assert "inside the home" in service.muster("ledger", "backup", str(service.home / "x"), want=2).stderr


def test_copies_of_others_are_recorded_by_ref(service: Service) -> None:
    """An archive of one person's evidence: the log holds their ref, never their ID."""
    body = {"copy": "archive", "name": "case-7.zip", "sha256": "a" * 64, "user": "ann"}
    answer = service.call("auditor", "POST", "/v1/ledger/copies", body)
    archive = entries(service.home, "copy")[-1]
    assert (archive["copy"], archive["ref"]) == ("archive", answer["ref"])
    assert '"ann"' not in json.dumps(archive)
    service.call("auditor", "POST", "/v1/ledger/copies", body | {"ref": "0" * 32}, want=400)
    service.call("auditor", "POST", "/v1/ledger/copies", body | {"user": "nobody"}, want=404)
    service.call("gateway", "POST", "/v1/ledger/copies", body, want=403)


def test_every_tenant_is_copied(tmp_path: Path) -> None:
    """One database holds all of their logs, and so does its copy."""
    ledger = SqliteLedger(tmp_path / "ledger.db", clock=FakeClock())
    for tenant in ("a", TENANT, "z"):
        ledger.submit(one(activation(), tenant=tenant)).result(20)
    ledger.submit(joins(ANN)).result(20)
    (tmp_path / "aside").mkdir()
    copying = Copying(tmp_path / "ledger.db", tmp_path / "copy.db", tmp_path / "aside", silent)
    copying.grow()
    sizes = {tenant: copied.size for tenant, copied in copying.settle().items()}
    copying.close()
    ledger.close()
    assert sizes == {"a": 1, TENANT: 2, "z": 1}
    assert all(verify(tmp_path / "copy.db", tenant).ok for tenant in sizes)


def test_a_damaged_log_gives_no_backup(service: Service, saved: Path, tmp_path: Path) -> None:
    """What is not whole is not called a backup."""
    import apsw

    other = elsewhere(service, tmp_path / "home")
    other.muster("ledger", "restore", str(saved))
    db = apsw.Connection(str(other.home / "ledger.db"))
    db.execute("UPDATE payloads SET payload = x'7b7d' WHERE idx = 3")
    db.close()
    assert "entry 3" in other.muster("ledger", "backup", str(tmp_path / "backup"), want=1).stderr
    assert not (tmp_path / "backup" / "backup.json").exists()


# what happens while it is made


def _made(service: Service, folder: Path, meanwhile: Callable[[], None]) -> list[int]:
    """A backup of a running service, with something done just before it is recorded for the first time."""
    sizes: list[int] = []

    def record(_: str, sha256: str, size: int) -> None:
        if not sizes:
            meanwhile()
        sizes.append(size)
        body = {"copy": "backup", "name": folder.name, "sha256": sha256, "size": size}
        service.call("admin", "POST", "/v1/ledger/copies", body)

    home = Home(service.home)
    backups.backup(home, Outside(home.checkpoints), folder, with_keys=True, record=record)
    return sizes


def test_who_is_erased_meanwhile_is_in_no_backup(service: Service, tmp_path: Path) -> None:
    """What was copied already goes again, from every byte of every file, and the log of the copy says so."""
    service.person("zacharias-zwingli")
    service.train("zacharias-zwingli")
    service.decide("zacharias-zwingli")
    folder = tmp_path / "backup"
    erase = {"user": "zacharias-zwingli", "reason": "T-1", "approved_by": ["ann"]}
    sizes = _made(service, folder, lambda: service.call("admin", "POST", "/v1/erasures", erase))
    assert len(sizes) == 2
    check_files(folder, read(folder))
    assert verify(folder / "ledger.db", "default").erased > 0
    for path in folder.rglob("*"):
        assert path.is_dir() or not occurrences(path, b"zacharias-zwingli"), path


def test_who_is_erased_between_two_looks_is_in_no_backup(service: Service, tmp_path: Path) -> None:
    """Payloads go while they are copied: what the copy lacks is explained by the erasure, which it has."""
    service.person("yvonne-ypsilon")
    folder = tmp_path / "copy"
    folder.mkdir()
    copying = Copying(service.home / "ledger.db", folder / "copy.db", folder, silent)
    copying.grow()
    service.call("admin", "POST", "/v1/erasures", {"user": "yvonne-ypsilon", "reason": "T-2", "approved_by": ["ann"]})
    assert copying.moved()
    service.person("yvonne-ypsilon")  # comes back under another pseudonym
    copying.grow()
    assert not copying.moved()
    copying.settle()
    copying.close()
    assert verify(folder / "copy.db", "default").ok


def test_a_key_that_hands_over_meanwhile_is_in_the_backup(service: Service, tmp_path: Path) -> None:
    """The keys that are copied are those that the copied log names."""
    folder = tmp_path / "backup"

    def rotate() -> None:
        service.call("admin", "POST", "/v1/ledger/key-rotation", {"reason": "test"})

    assert len(_made(service, folder, rotate)) == 2
    other = elsewhere(service, tmp_path / "home")
    other.muster("ledger", "restore", str(folder))
    works(other)


# the way back


def test_into_another_home(service: Service, saved: Path, tmp_path: Path) -> None:
    """Where nothing was: it starts, decides, and all that is recorded is as it was. The log is the backup's."""
    other = elsewhere(service, tmp_path / "there" / "home")
    told = json.loads(other.muster("ledger", "restore", str(saved), "--json").stdout)
    size = read(saved).tenants["default"].size
    assert told == {"sizes": {"default": size}, "lost": [], "before": None, "unread": None}
    assert size_of(other.home) == size
    works(other)


def test_without_a_service(ahead: Service, tmp_path: Path) -> None:
    """A home at rest is backed up in process, and says so in its log."""
    size = size_of(ahead.home)
    told = json.loads(ahead.muster("ledger", "backup", str(tmp_path / "night"), "--json").stdout)
    assert told["sizes"] == {"default": size}
    assert entries(ahead.home, "copy")[-1]["sha256"] == told["sha256"]


def test_without_keys(service: Service, tmp_path: Path) -> None:
    """The keys come from elsewhere, and are asked for."""
    folder, other = tmp_path / "backup", elsewhere(service, tmp_path / "home")
    service.muster("ledger", "backup", str(folder), "--without-keys")
    assert not (folder / "keys").exists()
    assert "put them into" in other.muster("ledger", "restore", str(folder), want=2).stderr
    other.home.mkdir()
    shutil.copytree(service.home / "keys", other.home / "keys")
    other.muster("ledger", "restore", str(folder))
    works(other)


def test_not_under_a_running_service(service: Service, saved: Path) -> None:
    """It holds the home."""
    assert "stop it first" in service.muster("ledger", "restore", str(saved), want=3).stderr


def test_not_over_what_is_no_home(service: Service, saved: Path, tmp_path: Path) -> None:
    """A folder of somebody's is not put aside."""
    (tmp_path / "letters").write_text("dear")
    assert "is no home" in elsewhere(service, tmp_path).muster("ledger", "restore", str(saved), want=2).stderr


@pytest.fixture
def ahead(service: Service, saved: Path, tmp_path: Path) -> Iterator[Service]:
    """A stopped service that has gone on after the backup that it was restored from."""
    other = elsewhere(service, tmp_path / "home")
    other.muster("ledger", "restore", str(saved))
    other.start()
    other.decide("ann")
    other.muster("ledger", "checkpoint")
    other.decide("ann")
    other.stop()
    yield other
    other.stop()


def test_behind_is_refused_unless_the_log_says_why(ahead: Service, saved: Path) -> None:
    """With sizes, and what to do; then it is done for a reason, recorded first of all, and the next start works."""
    had, has = size_of(ahead.home), read(saved).tenants["default"].size
    known = Outside(ahead.home / "checkpoints").read("default")
    assert known is not None
    refused = ahead.muster("ledger", "restore", str(saved), want=1).stderr
    assert f"has {has} of default" in refused
    assert f"{had} entries of default" in refused
    assert "--reason" in refused
    assert size_of(ahead.home) == had, "nothing was changed"
    ahead.muster("ledger", "restore", str(saved), "--reason", "disk", want=2)
    ahead.muster("ledger", "restore", str(saved), "--reason", "disk", "--approved-by", "user:nobody", want=2)
    assert size_of(ahead.home) == had, "nothing was changed"

    ahead.muster("ledger", "restore", str(saved), "--reason", "a lost disk", "--approved-by", "user:ann")
    [said] = entries(ahead.home, "restored")
    assert (said["from"], said["reason"], said["lost"]["size"]) == (has, "a lost disk", had)
    assert said["lost"]["checkpoint"] == known[0]
    assert said["approved_by"]["principal"]["type"] == "user"
    assert "ann" not in json.dumps(said)
    reader = SqliteReader(ahead.home / "ledger.db")
    first = reader.entry_at("default", has)
    reader.close()
    assert first is not None
    assert first.kind == "restored"
    lost = ahead.home / "checkpoints" / f"default.checkpoint.lost-{known[1].size}"
    assert lost.read_text() == known[0]
    kept = ahead.home.with_name(f"{ahead.home.name}.before-restore-1")
    assert size_of(kept) == had
    works(ahead)


def test_a_checkpoint_elsewhere_is_known(ahead: Service, saved: Path, tmp_path: Path) -> None:
    """With the home gone altogether, the checkpoint on another disk still says that the backup is behind."""
    disk = tmp_path / "disk"
    shutil.move(ahead.home / "checkpoints", disk)
    shutil.rmtree(ahead.home)
    other = elsewhere(ahead, ahead.home, MUSTER_CHECKPOINT_DIR=str(disk))
    assert str(disk) in other.muster("ledger", "restore", str(saved), want=1).stderr
    other.muster("ledger", "restore", str(saved), "--reason", "fire", "--approved-by", "system:board")
    assert len(list(disk.glob("default.checkpoint.lost-*"))) == 1
    works(other)


def test_a_database_that_cannot_be_read_is_put_aside(ahead: Service, saved: Path) -> None:
    """What the checkpoint beside it says is still known."""
    (ahead.home / "ledger.db").write_bytes(b"not a database" * 1000)
    refused = ahead.muster("ledger", "restore", str(saved), want=1).stderr
    assert "default.checkpoint" in refused
    told = ahead.muster("ledger", "restore", str(saved), "--reason", "disk", "--approved-by", "ann").stderr
    assert "cannot be read" in told
    works(ahead)


def test_a_backup_of_another_log_is_refused(
    service: Service, saved: Path, new_service: Callable[[], Service], tmp_path: Path
) -> None:
    """Two homes that began alike and went different ways: neither's backup is the other's."""
    other = new_service().start()
    for number in range(read(saved).tenants["default"].size // 10 + 5):
        other.person(f"bob-{number}")
    other.muster("ledger", "checkpoint")
    other.stop()
    here = elsewhere(service, tmp_path / "home")
    copy_home(other.home, here.home)
    assert "lacks what is known" in here.muster("ledger", "restore", str(saved), want=1).stderr


def test_a_changed_byte_of_any_file_is_named(service: Service, saved: Path, tmp_path: Path) -> None:
    """Whatever file it is in, its name is told and nothing is restored."""
    folder = tmp_path / "backup"
    shutil.copytree(saved, folder)
    index = read(folder)
    for name in index.files:
        path = folder / name
        before = path.read_bytes()
        _flip(path, len(before) // 2)
        with pytest.raises(NotWhole, match=name.replace("+", r"\+")):
            check_files(folder, read(folder))
        path.write_bytes(before)
    path = folder / "backup.json"
    before = path.read_bytes()
    for at in range(0, len(before), 97):
        _flip(path, at)
        with pytest.raises(NotWhole, match=r"backup\.json was changed"):
            read(folder)
        path.write_bytes(before)
    _flip(folder / "ledger.db", 5000)
    (folder / "keys" / "log.pem").unlink()
    (folder / "keys" / "mine.pem").write_text("mine")
    other = elsewhere(service, tmp_path / "home")
    told = other.muster("ledger", "restore", str(folder), want=1).stderr
    for words in ("ledger.db was changed", "keys/log.pem is missing", "keys/mine.pem is not of the backup"):
        assert words in told
    assert not other.home.exists()


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_database_that_was_changed_with_its_digest_is_refused(service: Service, saved: Path, tmp_path: Path) -> None:
    """Whoever writes the index anew still does not get another log past the verification."""
    import apsw

    from engine.upkeep.index import Index

    folder = tmp_path / "backup"
    shutil.copytree(saved, folder)
    db = apsw.Connection(str(folder / "ledger.db"))
    db.execute("UPDATE objects SET state = x'7b7d' WHERE name LIKE 'person/%'")
    db.close()
    index = read(folder)
    names = {**index.files, "ledger.db": files.digest(folder / "ledger.db")}
    changed = Index(made_at=index.made_at, with_keys=True, tenants=index.tenants, files=names)
    (folder / "backup.json").write_bytes(changed.to_bytes())
    other = elsewhere(service, tmp_path / "home")
    assert "not whole" in other.muster("ledger", "restore", str(folder), want=1).stderr


# power cuts


@pytest.mark.parametrize("seen", ["ledger.db", "bundles", "keys"])
def test_a_backup_that_was_killed_is_none(seen: str, service: Service, tmp_path: Path) -> None:
    """Its index is not there; the service goes on, and the next command clears up."""
    folder = tmp_path / "backup"
    killed = subprocess.Popen([MUSTER, "ledger", "backup", str(folder)], env=service.env, cwd=ROOT)
    until(lambda: (folder / seen).exists(), f"{seen} is there")
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait(30)
    assert not (folder / "backup.json").exists()
    other = elsewhere(service, tmp_path / "home")
    assert "not finished" in other.muster("ledger", "restore", str(folder), want=2).stderr
    assert service.decide("ann")["allow"]
    service.muster("ledger", "rebuild")
    assert list(service.home.glob(f"{PREFIX}*")) == []


def _tree(home: Path) -> dict[str, str]:
    """Every file of a home by digest, but for those that come and go."""
    aside = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.owner", "lock")
    return {name: files.digest(home / name) for name in files.listed(home) if name not in aside}


CUTS = [*((call, n) for call in ("rename", "renameat2", "unlink") for n in (1, 2)), *(("fsync", n) for n in (1, 9, 30))]


def test_a_restore_that_was_killed_leaves_one_home(ahead: Service, saved: Path, tmp_path: Path) -> None:
    """Killed at a system call of each kind: the home is the old one or the new one, whole; once more: it is done."""
    old, had, cuts = _tree(ahead.home), size_of(ahead.home), 0
    whole = shutil.copytree(ahead.home, tmp_path / "whole")
    words = ["ledger", "restore", str(saved), "--reason", "test", "--approved-by", "ann"]
    for call, number in CUTS:
        strace = ["strace", "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", f"trace={call}"]
        cut = [*strace, "-e", f"inject={call}:signal=KILL:when={number}", MUSTER, *words]
        done = subprocess.run(cut, env=ahead.env, cwd=ROOT, capture_output=True, check=False)
        cuts += done.returncode != 0
        assert ahead.home.is_dir(), (call, number)
        assert verify(ahead.home / "ledger.db", "default").ok
        if size_of(ahead.home) == had:
            assert _tree(ahead.home) == old, (call, number)
        else:
            assert len(entries(ahead.home, "restored")) == 1, (call, number)
            shutil.rmtree(ahead.home)
            shutil.copytree(whole, ahead.home)
    assert cuts > 4
    ahead.muster(*words)
    assert [path for path in ahead.home.parent.iterdir() if path.name.startswith(f".{ahead.home.name}")] == []
    works(ahead)


def test_erasure_is_told_of_the_backup(service: Service, saved: Path) -> None:
    """Whoever erases a person is told which backups may still hold them."""
    service.person("carla")
    assert saved.name == "monday"
    told = service.call("admin", "POST", "/v1/erasures", {"user": "carla", "reason": "T-3", "approved_by": ["ann"]})
    assert "monday" in {copy["name"] for copy in told["copies"]}
