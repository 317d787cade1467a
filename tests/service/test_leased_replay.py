"""Replay gives leased decisions again as well, by the one that each leans on, and names whatever was bent."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.decide import joined
from engine.decide.record import lease_key
from ledger import canonical, instants
from ledger.model import Person
from ledger.sqlite import SqliteReader
from tests.service.leased import TENANT, Leaser, leasing
from tests.service.rewrite import rewrite
from tests.service.running import Service, export

ADA, BEA = Person("user", "ada"), Person("user", "bea")


@pytest.fixture(scope="module")
def told(new_service: Callable[[], Service]) -> Service:
    """A stopped service with whole decisions about people who are known, and about one who is not."""
    service = new_service().start()
    for user in ("ada", "bea", "cem"):
        service.person(user)
    service.train("ada")
    service.decide("ada")
    service.decide("bea")
    asked = export("ada", customer="globex")
    approvals = [service.call(f"user:{u}", "POST", "/v1/approvals", asked)["approval_id"] for u in ("bea", "cem")]
    assert service.decide("ada", customer="globex", approvals=approvals)["allow"]
    service.call("gateway", "GET", "/v1/is-certified?user=ada&scope=data-export")
    service.decide("stranger")
    service.stop()
    return service


@pytest.fixture
def home(told: Service, tmp_path: Path) -> Path:
    """A copy of its home, to append to."""
    shutil.copytree(told.home, tmp_path / "home")
    return tmp_path / "home"


def firsts(home: Path) -> dict[str, list[str]]:
    """The IDs of whole decisions by whom they are about, `is-certified` apart."""
    reader = SqliteReader(home / "ledger.db")
    found: dict[str, list[str]] = {}
    try:
        for entry in reader.of_kind(TENANT, ["decision"], 0, reader.head(TENANT).size):
            assert entry.about is not None
            gate = entry.value["entrypoint"] == "muster/gate/decision"
            found.setdefault(entry.about.id if gate else "is-certified", []).append(entry.id)
    finally:
        reader.close()
    return found


def replayed(service: Service, home: Path, *words: str) -> Any:
    """The report of a replay."""
    return json.loads(service.muster("replay", "--json", *words, want=None, MUSTER_HOME=str(home)).stdout)


def test_leased_decisions_are_given_again(told: Service, home: Path) -> None:
    """An allow, a deny, and one that leans on approvals: each counted, none found wanting; the ledger is whole."""
    known = firsts(home)
    before = replayed(told, home)
    assert (before["leased"], before["findings"]) == (0, [])
    with leasing(home) as leaser:
        leased = [leaser.lease(first) for first in (*known["ada"], *known["bea"], known["ada"][0])]
    report = replayed(told, home)
    assert report["findings"] == []
    assert (report["leased"], report["replayed"]) == (len(leased), before["replayed"] + len(leased))
    assert told.muster("ledger", "verify", MUSTER_HOME=str(home)).stdout.endswith("whole\n")


def test_a_selection_takes_leased_decisions_by_their_first(told: Service, home: Path) -> None:
    """ID, subject and action: the last stands in the first alone."""
    known = firsts(home)
    with leasing(home) as leaser:
        ada = leaser.lease(known["ada"][0])
        leaser.lease(known["bea"][0])
    one = replayed(told, home, "--id", ada)
    assert (one["replayed"], one["leased"], one["findings"]) == (1, 1, [])
    assert replayed(told, home, "--subject", "bea")["leased"] == 1
    assert replayed(told, home, "--action", "data-export")["leased"] == 2
    other = replayed(told, home, "--action", "fly")
    assert (other["replayed"], other["leased"], other["findings"]) == (0, 0, [])


def test_what_could_not_be_decided_may_have_taken_long(told: Service, home: Path) -> None:
    """It leans on no instant: under load its record comes when it comes, and is no finding."""
    with leasing(home) as leaser:
        first: dict[str, Any] = leaser.entry(firsts(home)["ada"][0]).value
        cause = {"cause": "timeout", "detail": "x"}
        said: dict[str, Any] = {"undecided": cause, "result": None, "reads": [], "evidence": [], "mode": None}
        leaser.append(first | said | {"input": first["input"] | {"now": _later(leaser, -5)}}, ADA)
    assert replayed(told, home)["findings"] == []
    assert told.muster("ledger", "verify", MUSTER_HOME=str(home)).stdout.endswith("whole\n")


Forgery = Callable[[Leaser, dict[str, list[str]]], str]


def _lease_of(leaser: Leaser, first: str, **changed: str) -> str:
    value: dict[str, Any] = leaser.entry(first).value
    value["input"] |= changed
    return lease_key(value["revision"], value["input"])


def _later(leaser: Leaser, seconds: int) -> str:
    return instants.from_ms(instants.parse(leaser.ledger.now(TENANT)) + 1000 * seconds)


def _of_a_lease(leaser: Leaser, known: dict[str, list[str]]) -> str:
    leased = leaser.lease(known["ada"][0])
    payload = leaser.payload(known["ada"][0], leans_on=leased)
    return leaser.append(payload, ADA)


def _of_an_undecided(leaser: Leaser, known: dict[str, list[str]]) -> str:
    first = leaser.entry(known["ada"][0])
    cause = {"cause": "timeout", "detail": "x"}
    undecided = leaser.append(first.value | {"undecided": cause, "result": None, "reads": []}, ADA)
    return leaser.append(leaser.payload(known["ada"][0], leans_on=undecided), ADA)


def _of_one_behind(leaser: Leaser, known: dict[str, list[str]]) -> str:
    """The lease stands before what it leans on: the first is appended under an ID that was named before."""
    first = leaser.entry(known["ada"][0])
    named = "01890000-0000-7000-8000-000000000001"
    leased = leaser.append(leaser.payload(known["ada"][0], leans_on=named), ADA)
    leaser.append(first.value, ADA, entry_id=named)
    return leased


FORGERIES: dict[str, tuple[Forgery, str, str]] = {
    "nothing": (
        lambda leaser, known: leaser.forge(known["ada"][0], leans_on="01890000-0000-7000-8000-000000000000"),
        "lease", "which is not in this log",
    ),
    "another kind": (
        lambda leaser, known: leaser.forge(known["ada"][0], leans_on=_at(leaser, 0)),
        "lease", "which is no decision",
    ),
    "a leased one": (_of_a_lease, "lease", "which leans on another itself"),
    "an undecided one": (_of_an_undecided, "lease", "which could not decide"),
    "a later one": (_of_one_behind, "lease", "which is not before it"),
    "another person's": (
        lambda leaser, known: leaser.forge(known["ada"][0], about=BEA),
        "lease", "which is about another person",
    ),
    "is-certified": (
        lambda leaser, known: leaser.forge(known["is-certified"][0]),
        "lease", "only a gate's can be leased",
    ),
    "an unknown person's": (
        lambda leaser, known: leaser.forge(known["stranger"][0]),
        "lease", "somebody who was not in the directory",
    ),
    "another key": (
        lambda leaser, known: leaser.forge(known["ada"][0], lease="0" * 64),
        "lease", "its key is not that of the question",
    ),
    "another question's key": (
        lambda leaser, known: leaser.forge(known["ada"][0], lease=_lease_of(leaser, known["ada"][0], more="x")),
        "lease", "its key is not that of the question",
    ),
    "before the first": (
        lambda leaser, known: leaser.forge(known["ada"][0], now="2020-01-01T00:00:00.000Z"),
        "lease", "before the answer was given",
    ),
    "when it had ended": (
        lambda leaser, known: leaser.forge(known["ada"][0], now="2199-01-01T00:00:00.000Z"),
        "lease", "when the answer had ended",
    ),
    "no instant": (
        lambda leaser, known: leaser.forge(known["ada"][0], now="now"),
        "lease", "its instant is none",
    ),
    "not now": (
        lambda leaser, known: leaser.forge(known["ada"][0], now=_later(leaser, 60)),
        "instant", "decided for",
    ),
    "more fields": (
        lambda leaser, known: leaser.forge(known["ada"][0], result={"allow": True}),
        "lease", "other fields than a leased decision: result",
    ),
    "no token": (
        lambda leaser, known: leaser.forge(
            known["ada"][0],
            caller={"role": "gateway", "token": "01890000-0000-7000-8000-000000000000",
                    "principal": {"type": "system", "id": "test-gateway"}},
        ),
        "caller", "no token",
    ),
}  # fmt: skip


def _at(leaser: Leaser, index: int) -> str:
    found = leaser.reader.entry_at(TENANT, index)
    assert found is not None
    return found.id


@pytest.fixture(scope="module")
def forged(told: Service, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], Any, Path]:
    """All of them in one log: their IDs by name, the report of its replay, its home."""
    home = tmp_path_factory.mktemp("forged") / "home"
    shutil.copytree(told.home, home)
    known = firsts(home)
    with leasing(home) as leaser:
        made = {name: forge(leaser, known) for name, (forge, _, _) in FORGERIES.items()}
    return made, replayed(told, home), home


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_lease_is_named(forged: tuple[dict[str, str], Any, Path], name: str) -> None:
    """Each by a sentence of its own, at the leased entry."""
    made, report, _ = forged
    _, check, words = FORGERIES[name]
    found = [f for f in report["findings"] if f["id"] == made[name]]
    assert any(f["check"] == check and words in f["detail"] for f in found), found


def test_nothing_but_the_forged_is_named(forged: tuple[dict[str, str], Any, Path], told: Service) -> None:
    """Neither what they lean on, nor a right lease among them; one alone is named as well."""
    made, report, home = forged
    of_leases = {f["id"] for f in report["findings"] if f["check"] in ("lease", "caller")}
    assert of_leases == {made[name] for name, (_, check, _) in FORGERIES.items() if check != "instant"}
    assert not {f["id"] for f in report["findings"]} & {i for ids in firsts(told.home).values() for i in ids}
    one = replayed(told, home, "--id", made["nothing"])
    assert [f["check"] for f in one["findings"] if f["id"] == made["nothing"]] == ["lease"]
    refused = told.muster("ledger", "verify", want=1, MUSTER_HOME=str(home))
    named = [name for name in FORGERIES if made[name] in refused.stdout + refused.stderr]
    assert set(FORGERIES) - set(named) == {"no token"}


def test_a_fact_that_has_moved_is_named(told: Service, home: Path) -> None:
    """A lease whose reads had another version by then, though key, person and instant are right."""
    known = firsts(home)
    with leasing(home) as leaser:
        moved = {"person": {"type": "user", "id": "ada"}, "scope": "prod-change", "reason": "x", "certification": None}
        named: Any = leaser.entry(known["ada"][0]).value["caller"]
        revocation = leaser.draft("revocation", moved | {"by": named}, ADA)
        forged = leaser.forge(known["ada"][0])
    findings = replayed(told, home)["findings"]
    ref = next(f["detail"] for f in findings if f["id"] == forged and f["check"] == "facts")
    assert f"the ledger had version {revocation}" in ref


def test_a_revision_that_was_replaced_is_named(told: Service, home: Path) -> None:
    """A lease ends with the revision that answered, though no fact has moved."""
    known = firsts(home)
    with leasing(home) as leaser:
        [activated, *_] = leaser.reader.of_kind(TENANT, ["activation"], 0, 99)
        leaser.draft("activation", activated.value | {"revision": "b" * 64}, None)
        forged = leaser.forge(known["ada"][0])
    findings = replayed(told, home)["findings"]
    assert any(f["id"] == forged and f["check"] == "revision" and "was not active" in f["detail"] for f in findings)


def test_an_answer_that_is_another_by_then_is_named(told: Service, home: Path) -> None:
    """The first says that it holds for ever; evaluated again at the leased instant the answer is another."""
    known = firsts(home)
    with leasing(home) as leaser:
        leaser.lease(known["ada"][0])

    def for_ever(payload: dict[str, Any]) -> bool:
        if payload.get("entrypoint") != "muster/gate/decision" or not payload["result"]["allow"]:
            return False
        payload["result"]["valid_until"] = None
        return True

    rewrite(home / "ledger.db", for_ever)
    report = replayed(told, home)
    leased = [f for f in report["findings"] if f["index"] == max(g["index"] for g in report["findings"])]
    assert [f["check"] for f in leased] == ["result"]


def test_an_erased_person_s_leases_say_erased(told: Service, tmp_path: Path) -> None:
    """First and leased go together; an approver who goes leaves a lease that can still be given again."""
    shutil.copytree(told.home, tmp_path / "home")
    home = tmp_path / "home"
    known = firsts(home)
    with leasing(home) as leaser:
        leaser.lease(known["bea"][0])
        leaser.lease(known["ada"][-1])
    before = replayed(told, home)
    told.muster("ledger", "erase", "bea", "--reason", "x", "--approved-by", "cem", MUSTER_HOME=str(home))
    report = replayed(told, home)
    assert report["findings"] == []
    assert report["leased"] == before["leased"] - 1
    assert report["erased"] >= 2
    assert report["leaning_on_erased"] == 2
    assert told.muster("ledger", "verify", MUSTER_HOME=str(home)).stdout.endswith("whole\n")


def test_a_lease_that_was_left_when_its_first_was_erased_is_named(told: Service, home: Path) -> None:
    """Erasure takes all about a person: what still leans on an erased decision is about somebody else."""
    known = firsts(home)
    with leasing(home) as leaser:
        forged = leaser.forge(known["bea"][0], about=ADA)
    told.muster("ledger", "erase", "bea", "--reason", "x", "--approved-by", "cem", MUSTER_HOME=str(home))
    findings = replayed(told, home)["findings"]
    assert [(f["id"], f["check"]) for f in findings] == [(forged, "lease")]
    assert "was not erased with it" in findings[0]["detail"]


def test_a_joined_record_is_the_first_s_but_for_its_own(home: Path) -> None:
    """Instant, caller, request ID and dropped fields are the leased one's, and nothing else differs."""
    first_id = firsts(home)["ada"][0]
    with leasing(home) as leaser:
        first, leased = leaser.entry(first_id).value, leaser.payload(first_id)
    whole: dict[str, Any] = joined.whole(leased, first)
    own = {"caller", "request_id", "dropped", "leans_on", "lease"}
    assert whole.keys() == first.keys() | {"leans_on", "lease"}
    assert {k: whole[k] for k in own} == {k: leased[k] for k in own}
    assert whole["input"]["now"] == leased["now"]
    same = {k: v for k, v in whole.items() if k not in own | {"input"}}
    assert same == {k: v for k, v in first.items() if k not in own | {"input"}}
    key = lease_key(str(first["revision"]), whole["input"])
    assert key == leased["lease"]
    assert canonical.encode(first["input"]) != canonical.encode(whole["input"])
