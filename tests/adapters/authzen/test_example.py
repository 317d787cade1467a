"""`examples/authzen` stands by itself: checked and tested like any policy root, and what it decided is replayed."""

from __future__ import annotations

import json
import re

from tests.adapters.authzen.asking import ALICE, BOB, EXAMPLE, READ, RECORD_1, RECORD_2, WRITE, answered, asked, record
from tests.service.running import Service


def test_it_is_in_order(certified: Service) -> None:
    """`muster policy check` finds nothing, and the tests beside its rules pass."""
    certified.muster("policy", "check")
    certified.muster("policy", "test")


def test_it_has_nothing_of_companyos() -> None:
    """No file of it names the other source's actions, modules or scopes."""
    for path in EXAMPLE.rglob("*"):
        if path.is_file() and path.name != "README.md":
            text = path.read_text("utf-8")
            assert not re.search(r"companyos|data-export|prod-change|certification\.", text, re.IGNORECASE), path


def test_the_page_names_what_is_there() -> None:
    """Every path of its README exists."""
    text = (EXAMPLE / "README.md").read_text("utf-8")
    named = re.findall(r"`((?:policies|bundle)/[\w./-]+)`", text)
    assert len(named) > 4
    for name in named:
        assert (EXAMPLE / name).exists(), name
    for name in re.findall(r"`(tests/[\w./]+)`", text):
        assert (EXAMPLE.parents[1] / name).exists(), name


def test_what_it_decided_is_replayed(certified: Service) -> None:
    """The rules give each answer again, with the stored properties as the record has them; and the log verifies."""
    said = answered(certified, "evaluation", asked(BOB, WRITE, RECORD_2))
    entry = record(certified, said["context"]["decision_id"])
    assert entry["request"]["subject"]["properties"] == {"role": "admin"}
    assert entry["request"]["resource"]["properties"] == {"status": "archived"}
    assert entry["dropped"] == []
    answered(certified, "evaluations", {"evaluations": [asked(ALICE, READ, RECORD_1), {}, asked(BOB, READ, RECORD_1)]})
    replayed = json.loads(certified.muster("replay", "--json").stdout)
    assert replayed
    certified.muster("ledger", "verify")


def test_what_it_does_not_have_is_refused(certified: Service) -> None:
    """Nobody may ask about training where there is none: 403, not an empty answer."""
    assert certified.http("GET", "/v1/is-certified?user=alice&scope=x", role="gateway").status_code == 403
    assert certified.http("GET", "/v1/next-required-training?user=alice&action=read", role="gateway").status_code == 403
