"""A home that an earlier Muster wrote goes on under this one: its ledger, its bundle, its records.

Each file in `homes/` is one, packed on the day of its name, without what the tests bring themselves (OPA) or do not ask
for (training content). It has a person who was erased, a stored request, allows, denies and answers by lease.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import apsw
import pytest

from engine.opa.binary import OpaBinary
from ledger.sqlite import SqliteReader, schema
from tests.service.running import Service, environment, instant

HOMES = sorted((Path(__file__).parent / "homes").glob("*.tar.xz"))


@pytest.fixture(params=HOMES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def older(request: pytest.FixtureRequest, tmp_path: Path, opa_binary: OpaBinary) -> Service:
    """A service on such a home, not started."""
    with tarfile.open(request.param) as packed:
        packed.extractall(tmp_path, filter="data")
    home = tmp_path / "home"
    (home / "bundles" / "opa").mkdir()
    shutil.copy(opa_binary.path, home / "bundles" / "opa" / opa_binary.sha256)
    return Service(home=home, env=environment(home, opa_binary.path))


def test_an_older_home_goes_on(older: Service, opa_binary: OpaBinary) -> None:
    """What is recorded there verifies and replays before it is brought up and after; and it decides by its own bundle,
    is trained in, and takes another revision."""
    assert _format(older) < schema.FORMAT
    older.muster("ledger", "verify")
    _replayed(older, opa_binary)

    made = older.muster("token", "create", "--role", "admin", "--principal", "system:test", "--json")
    older.tokens["admin"] = json.loads(made.stdout)["token"]
    older.start()
    try:
        before, began = older.call("auditor", "GET", "/v1/ledger/head"), instant()
        assert older.decide("bob")["allow"] is False
        older.person("new")
        older.train("new")
        allowed = older.decide("new")
        assert (allowed["allow"], allowed["revision"]) == (True, before["active_revision"])
        older.muster("policy", "activate")
        assert (again := older.decide("new"))["allow"] is True
        assert again["revision"] != before["active_revision"]
        assert _format(older) == schema.FORMAT
        older.muster("ledger", "verify")
        older.muster("replay", "--since", began)
        _replayed(older, opa_binary)
    finally:
        older.stop()


def _format(older: Service) -> int:
    db = apsw.Connection(str(older.home / "ledger.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(db.pragma("user_version"))
    finally:
        db.close()


def _replayed(older: Service, opa: OpaBinary) -> None:
    """Every answer is given again, but those of an OPA that is not here: one that another Go has built."""
    report = json.loads(older.muster("replay", "--json", want=None).stdout)
    others = _opas(older) - {opa.sha256}
    lacking = [each for each in report["findings"] if "cannot be loaded again" in each["detail"]]
    assert lacking == report["findings"]
    assert bool(lacking) == bool(others)
    assert report["replayed"] + len(lacking) >= 53


def _opas(older: Service) -> set[str]:
    """The OPAs that have evaluated what is recorded, by the SHA-256 of their binary."""
    reader = SqliteReader(older.home / "ledger.db")
    try:
        entries = reader.entries("default", 0, reader.head("default").size)
        made: list[Any] = [each.value.get("opa") for each in entries if each.kind == "decision" and each.payload]
        return {opa["sha256"] for opa in made if opa is not None}
    finally:
        reader.close()
