"""Leased decisions in evidence archives: rows like those of whole ones, their firsts beside them, no way to bend."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.publishing.outside import subtrees
from engine.reports import rows
from ledger.merkle import inclusion_proof
from ledger.model import Person
from ledger.verifier import archive_rows
from tests.reports.archives import Archive, make
from tests.service.leased import Leaser, leasing
from tests.service.running import Service

ADA, BO = Person("user", "ada"), Person("user", "bo")
_OWN = {"issued", "entry_id", "index", "at", "leaf"}
"""The columns in which the row of a leased decision differs from that of the one it leans on."""


@dataclass(frozen=True)
class Leased:
    """A service whose log has leased decisions: (the ID of the first, that of the leased one) by a name."""

    service: Service
    pairs: dict[str, tuple[str, str]]


@pytest.fixture(scope="module")
def story(new_service: Callable[[], Service]) -> Leased:
    """Ada is allowed, Bo denied; one of Ada's names an incident."""
    service = new_service().start()
    service.person("ada")
    service.person("bo", persona="security")
    service.train("ada")
    firsts = {
        "ada": service.decide("ada")["decision_id"],
        "incident": service.decide("ada", ticket="INC-9")["decision_id"],
        "bo": service.decide("bo")["decision_id"],
    }
    service.stop()
    with leasing(service.home) as leaser:
        pairs = {name: (first, leaser.lease(first)) for name, first in firsts.items()}
    return Leased(service.start(), pairs)


@pytest.fixture(scope="module")
def ada(story: Leased, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The complete archive of Ada; copied by whoever changes it."""
    return make(story.service, tmp_path_factory.mktemp("leased") / "ada", subjects=("ada",))


def _row(archive: Archive, entry_id: str) -> dict[str, Any]:
    return next(row for row in archive.rows() if row["entry_id"] == entry_id)


def _ids(archive: Archive) -> set[str]:
    return {json.loads(line["header"])["id"] for line in archive.lines("entries.ndjson")}


def _place(archive: Archive, entry_id: str) -> int:
    lines = archive.lines("entries.ndjson")
    return next(n for n, line in enumerate(lines) if json.loads(line["header"])["id"] == entry_id)


# what is in them


def test_a_leased_decision_has_the_row_of_its_first(story: Leased, tmp_path: Path) -> None:
    """Allowed or denied: all but its place, its instant and its leaf is the first's."""
    made = make(story.service, tmp_path / "all")
    assert made.check() == []
    for first, leased in story.pairs.values():
        one, other = _row(made, first), _row(made, leased)
        assert {c for c in rows.COLUMNS if one[c] != other[c]} == _OWN
        assert other["issued"] > one["issued"]
        assert other["issued"] <= other["at"]
    verdicts = {name: _row(made, leased)["verdict"] for name, (_, leased) in story.pairs.items()}
    assert verdicts == {"ada": "allow", "incident": "allow", "bo": "deny"}
    assert {row["persona"] for row in made.rows() if row["user"] == "bo"} == {"security"}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"scope": "data-export"}, {"ada", "incident", "bo"}),
        ({"scope": "nothing"}, set()),
        ({"module": "secure-data-export"}, {"ada", "incident"}),
        ({"persona": "security"}, {"bo"}),
        ({"subjects": ("ada", "bo")}, {"ada", "incident", "bo"}),
        ({"subjects": ("bo",), "scope": "data-export"}, {"bo"}),
        ({"incident": "INC-9"}, {"incident"}),
    ],
)
def test_filters_look_through_the_lease(story: Leased, tmp_path: Path, query: dict[str, Any], names: set[str]) -> None:
    """What they ask for stands in the first alone."""
    made = make(story.service, tmp_path / "made", **query)
    assert made.check() == []
    found = {row["entry_id"] for row in made.rows()}
    assert {name for name, (_, leased) in story.pairs.items() if leased in found} == names


def test_a_leased_decision_alone_comes_with_its_first(story: Leased, tmp_path: Path) -> None:
    """Opened, with what that leans on; only the one that was asked for is a decision's row."""
    first, leased = story.pairs["ada"]
    made = make(story.service, tmp_path / "made", decision=leased)
    assert made.check() == []
    assert [row["entry_id"] for row in made.rows() if row["kind"] == "decision"] == [leased]
    assert {row["kind"] for row in made.rows()} == {"decision", "certification", "result"}
    assert {first, leased} <= _ids(made)
    assert set(_row(made, leased)["evidence"]) <= _ids(made)


def test_a_time_takes_a_lease_without_its_first(story: Leased, ada: Archive, tmp_path: Path) -> None:
    """The first of an earlier time is opened all the same, and has no row."""
    first, leased = story.pairs["ada"]
    since = _row(ada, leased)["at"]
    for query in ({"subjects": ("ada",)}, {"scope": "data-export"}, {"incident": "INC-9"}):
        made = make(story.service, tmp_path / "-".join(query), since=since, **query)
        first, leased = story.pairs["incident" if "incident" in query else "ada"]
        assert made.check() == []
        assert first in _ids(made)
        assert first not in {row["entry_id"] for row in made.rows()}
        assert leased in {row["entry_id"] for row in made.rows()}


# damage, by somebody who has the log's key


def _write_rows(archive: Archive, listed: list[dict[str, Any]]) -> None:
    archive.write_rows(listed)
    cells = [[archive_rows.cell(row[c]) for c in rows.COLUMNS] for row in listed]
    archive.write("evidence.csv", rows.csv_bytes([list(rows.COLUMNS), *cells]))


@pytest.mark.parametrize("column", rows.COLUMNS)
def test_no_cell_of_a_leased_row_can_be_changed(story: Leased, ada: Archive, tmp_path: Path, column: str) -> None:
    """Though most of its cells stand in another entry: row and column are named."""
    copy = ada.copy(tmp_path / "copy")
    listed = copy.rows()
    number = next(n for n, row in enumerate(listed) if row["entry_id"] == story.pairs["ada"][1])
    index = listed[number]["index"]
    listed[number][column] = "x"
    _write_rows(copy, listed)
    copy.resign()
    assert {(f.check, f.index) for f in copy.check()} == {("row", index)}
    places = [f.detail.partition(": '")[0] for f in copy.check()]
    assert places == [f"evidence.{form}: row {number + 1}, column {column}" for form in ("csv", "json")]


def _without(archive: Archive, entry_id: str) -> None:
    """Leave an entry and its row out of every file and count."""
    place = _place(archive, entry_id)
    for name in ("entries.ndjson", "proofs.ndjson"):
        lines = archive.lines(name)
        archive.write_lines(name, lines[:place] + lines[place + 1 :])
    kept = [row for row in archive.rows() if row["entry_id"] != entry_id]
    gone = len(archive.rows()) - len(kept)
    _write_rows(archive, kept)

    def recount(manifest: dict[str, Any]) -> None:
        manifest["counts"]["entries"] -= 1
        manifest["counts"]["rows"] -= gone

    archive.resign(recount)


@pytest.mark.parametrize("query", [{"scope": "data-export"}, {"incident": "INC-9"}, {"subjects": ("ada",)}])
def test_the_first_cannot_be_left_out(story: Leased, tmp_path: Path, query: dict[str, Any]) -> None:
    """Nor the leased one of a complete archive."""
    first, leased = story.pairs["incident" if "incident" in query else "ada"]
    made = make(story.service, tmp_path / "made", **query)
    index = made.lines("entries.ndjson")[_place(made, leased)]["index"]
    copy = made.copy(tmp_path / "first")
    _without(copy, first)
    assert any(f.check == "lease" and f.index == index and "not here" in f.detail for f in copy.check())
    if "subjects" in query:
        copy = made.copy(tmp_path / "second")
        _without(copy, leased)
        assert ("completeness", index) in {(f.check, f.index) for f in copy.check()}


def test_the_first_cannot_be_closed(story: Leased, ada: Archive, tmp_path: Path) -> None:
    """As if it had been erased: a lease has nothing to lean on then."""
    first, leased = story.pairs["ada"]
    copy = ada.copy(tmp_path / "copy")
    lines = copy.lines("entries.ndjson")
    lines[_place(copy, first)] |= {"payload": None, "salt": None}
    copy.write_lines("entries.ndjson", lines)
    copy.resign(lambda manifest: manifest["counts"].update(erased=1))
    index = _row(ada, leased)["index"]
    assert any(f.check == "lease" and f.index == index and "no payload" in f.detail for f in copy.check())


@pytest.mark.parametrize("whose", ["first", "leased"])
@pytest.mark.parametrize("change", [('"INC-9"', '"INC-8"'), ('"allow"', '"deny"'), ('"now":"2', '"now":"3')])
def test_no_payload_can_be_changed(
    story: Leased, ada: Archive, tmp_path: Path, whose: str, change: tuple[str, str]
) -> None:
    """Commitments hold; and what the question was, the lease's key holds besides."""
    copy = ada.copy(tmp_path / "copy")
    place = _place(copy, story.pairs["incident"][0 if whose == "first" else 1])
    lines = copy.lines("entries.ndjson")
    before = lines[place]["payload"]
    lines[place]["payload"] = before.replace(*change)
    copy.write_lines("entries.ndjson", lines)
    copy.resign()
    found = {f.check for f in copy.check()}
    assert ("commitment" in found) is (lines[place]["payload"] != before)
    if whose == "first" and "INC" in change[0]:
        assert "lease" in found


def test_a_decision_on_which_none_leans_is_not_of_the_query(story: Leased, tmp_path: Path) -> None:
    """Only the first of one that was asked for may be there without being asked for."""
    made = make(story.service, tmp_path / "made", incident="INC-9")
    other = story.pairs["ada"][0]
    reader = made.reader()
    try:
        entry = reader.entry("default", other)
        size = int(made.data("checkpoint").split(b"\n")[1])
        assert entry is not None
        assert entry.payload is not None
        assert entry.salt is not None
        proof = [base64.b64encode(n).decode() for n in inclusion_proof(subtrees(reader, "default"), entry.index, size)]
    finally:
        reader.close()
    line = {
        "index": entry.index, "header": entry.header.decode(), "payload": entry.payload.decode(),
        "salt": entry.salt.hex(),
    }  # fmt: skip
    for name, more in (("entries.ndjson", line), ("proofs.ndjson", {"index": entry.index, "proof": proof})):
        made.write_lines(name, sorted([*made.lines(name), more], key=lambda each: int(each["index"])))
    made.resign(lambda manifest: manifest["counts"].update(entries=manifest["counts"]["entries"] + 1))
    assert [(f.check, f.id) for f in made.check()] == [("query", other)]


# forged in the log itself, and archived in good order

Forge = Callable[[Leaser, dict[str, tuple[str, str]]], str]
FORGERIES: dict[str, tuple[Forge, str]] = {
    "nothing": (
        lambda leaser, pairs: leaser.forge(pairs["ada"][0], leans_on="01890000-0000-7000-8000-000000000000"), "not here"
    ),
    "another kind": (
        lambda leaser, pairs: leaser.forge(pairs["ada"][0], leans_on=_evidence(leaser, pairs)), "of kind certification"
    ),
    "a leased one": (
        lambda leaser, pairs: leaser.forge(pairs["ada"][0], leans_on=pairs["ada"][1]), "leans on another itself"
    ),
    "another question": (
        lambda leaser, pairs: leaser.forge(pairs["ada"][0], leans_on=pairs["incident"][0]), "its key"
    ),
    "another person's": (
        lambda leaser, pairs: leaser.append(leaser.payload(pairs["bo"][0]), ADA), "about another person"
    ),
    "another key": (lambda leaser, pairs: leaser.forge(pairs["ada"][0], lease="0" * 64), "its key"),
    "when it had ended": (
        lambda leaser, pairs: leaser.forge(pairs["ada"][0], now="2199-01-01T00:00:00.000Z"), "had ended"
    ),
    "no instant": (lambda leaser, pairs: leaser.forge(pairs["ada"][0], now=7), "its instant is none"),
    "more fields": (lambda leaser, pairs: leaser.forge(pairs["ada"][0], evidence=[]), "other fields"),
}  # fmt: skip


def _evidence(leaser: Leaser, pairs: dict[str, tuple[str, str]]) -> str:
    evidence = leaser.entry(pairs["ada"][0]).value["evidence"]
    assert isinstance(evidence, list)
    return next(str(i) for i in evidence if leaser.entry(str(i)).kind == "certification")


@pytest.fixture(scope="module")
def forged(
    new_service: Callable[[], Service], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, str], list[Archive]]:
    """All of them in one log: their IDs by name, and two archives of it, complete for Ada and not."""
    service = new_service().start()
    service.person("ada")
    service.person("bo")
    service.train("ada")
    pairs = {}
    firsts = {
        "ada": service.decide("ada"),
        "incident": service.decide("ada", ticket="INC-9"),
        "bo": service.decide("bo"),
    }
    service.stop()
    with leasing(service.home) as leaser:
        for name, first in firsts.items():
            pairs[name] = (first["decision_id"], leaser.lease(first["decision_id"]))
        made = {name: forge(leaser, pairs) for name, (forge, _) in FORGERIES.items()}
    service.start()
    folder = tmp_path_factory.mktemp("forged")
    return made, [make(service, folder / "ada", subjects=("ada",)), make(service, folder / "all")]


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_lease_is_named(forged: tuple[dict[str, str], list[Archive]], name: str) -> None:
    """By the archive alone; whose lease it is only where the person's key is there."""
    made, archives = forged
    _, words = FORGERIES[name]
    for archive in archives[:1] if name == "another person's" else archives:
        found = [f for f in archive.check() if f.id == made[name] and f.check == "lease"]
        assert any(words in f.detail for f in found), archive.check()


def test_nothing_but_the_forged_is_named(forged: tuple[dict[str, str], list[Archive]]) -> None:
    """No finding is about another entry; whose lease it is is not seen where no person's key is."""
    made, archives = forged
    for archive, unseen in zip(archives, (set(), {made["another person's"]}), strict=True):
        assert {f.id for f in archive.check()} == set(made.values()) - unseen
        assert {f.id for f in archive.check() if f.check == "lease"} == set(made.values()) - unseen
