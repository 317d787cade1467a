"""Every date that a certification can get, and how a person stands at the instants around it, as tables.

The tables are in `dates/`, written by hand from what was promised; the real OPA answers each of them in one evaluation
of a bundle of the rules.
"""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from engine.bundling.gates import inspect
from engine.bundling.models import Scopes
from engine.bundling.source import scope_modules
from engine.opa.binary import OpaBinary
from ledger.instants import is_instant
from tests.policies import world
from tests.policies.tables import DATES, answers, bundle, source
from tests.policies.world import POLICIES, Object

_CERTIFIED = ("valid", "expiring", "grace")
_AWARDS = "{k: a | some k, q in input; a := data.muster.certification.award with input as q}"
_STATUSES = "{k: a | some k, q in input; a := data.muster.certification.certified with input as q}"
_VERSION = "2.0.0"


def _rows(name: str) -> list[Object]:
    rows: list[Object] = yaml.load((DATES / name).read_text("utf-8"), yaml.BaseLoader)  # noqa: S506 (text only)
    return rows


def _at(text: str) -> str:
    """An instant; a day alone is its midnight."""
    instant = text if "T" in text else f"{text}T00:00:00.000Z"
    assert is_instant(instant), text
    return instant


def _tiers(scope: Object, held: Any) -> dict[str, list[Any]]:
    """What is held by tier; a pair alone is held of each tier that the scope awards."""
    if isinstance(held, dict):
        return held
    return dict.fromkeys([*sorted({take["tier"] for take in scope["takes"]}), "certified"], held) if held else {}


def _scope_facts(row: Object, data: Object) -> Object:
    if "revoked" in row:
        return {"standing": "revoked", "tiers": {}, "revoked_at": _at(row["revoked"]), "revocation": "e-revocation"}
    scope = data["scopes"][row["scope"]]
    modules = scope_modules(scope, data["tracks"])
    cut = row.get("lowered", {})
    until = cut if isinstance(cut, str) else cut.get("held")
    tiers = {
        tier: {
            "issued_at": _at(dates[0]),
            "expires_at": _at(dates[1]),
            "evidence": f"e-{tier}",
            "parts": dates[2] if len(dates) > 2 else dict.fromkeys(modules, _VERSION),
            **({"until": _at(until), "lowered": "e-regrade"} if until else {}),
        }
        for tier, dates in _tiers(scope, row.get("held")).items()
    }
    return {"standing": "good" if tiers else "none", "tiers": tiers}


def _pass(at: str, until: str | None = None, version: str = _VERSION) -> Object:
    fact = {"passed_at": _at(at), "version": version, "digest": None, "imported": False, "evidence": "e-before"}
    return fact | ({"until": _at(until), "lowered": "e-regrade"} if until else {})


def _award(row: Object, data: Object) -> Object:
    """The award's question: the one pass, and what was before it."""
    ((module, at),) = row["pass"].items()
    tiers = {m: rule["tier"] for m, rule in data["modules"].items()}
    lowered = row.get("lowered", {})
    before = {m: day if isinstance(day, dict) else {tiers[m]: [day]} for m, day in row.get("before", {}).items()}
    return {
        "subject": {"type": "user", "ref": "a1", "known": True},
        "result": _pass(at) | {"module": module, "tier": tiers[module], "evidence": "e-new"},
        "facts": {
            "modules": {
                m: {tier: _pass(told[0], lowered.get(m), *told[1:]) for tier, told in passes.items()}
                for m, passes in before.items()
            },
            "scopes": {row["scope"]: _scope_facts(row, data)},
        },
        "now": _at(row.get("now", at)),
    }


def _status(row: Object, now: str, data: Object) -> Object:
    waived = {f"scope:{row['scope']}": {"until": _at(row["waived"]), "evidence": "e-waiver"}} if "waived" in row else {}
    facts = {"modules": {}, "waivers": waived, "scopes": {row["scope"]: _scope_facts(row, data)}}
    asked: Object = {key: row[key] for key in ("scope", "tier", "within") if key in row}
    return {"subject": {"type": "user", "ref": "a1", "known": True}, **asked, "facts": facts, "now": _at(now)}


def _wrong(opa: Path, packed: Path) -> Iterator[str]:
    """Each row that the rules answer otherwise."""
    data = source()
    awards = {row["name"]: row for row in _rows("awards.yaml")}
    found = answers(opa, packed, _AWARDS, {name: _award(row, data) for name, row in awards.items()})
    for name, row in awards.items():
        scope = data["scopes"][row["scope"]]
        expected = [[t, *map(_at, dates)] for t, dates in _tiers(scope, row["earns"]).items()]
        got = [[c["tier"], c["issued_at"], c["expires_at"]] for c in found[name]["certifications"]]
        if got != expected:
            yield f"{name}: {got}, not {expected}"
    statuses = {(row["name"], now): (row, s) for row in _rows("statuses.yaml") for now, s in row["status"].items()}
    asked = {" at ".join(key): _status(row, key[1], data) for key, (row, _) in statuses.items()}
    stands = answers(opa, packed, _STATUSES, asked)
    for key, (_, status) in statuses.items():
        answer = stands[" at ".join(key)]
        if (answer["status"], answer["certified"]) != (status, status in _CERTIFIED):
            yield f"{' at '.join(key)}: {answer}, not {status}"
    for row in _rows("statuses.yaml"):
        yield from _turns(row, stands)


def _turns(row: Object, stands: Object) -> Iterator[str]:
    """From one instant of a row to the next, a status is the same until `valid_until`, and another from there on."""
    nows = sorted(row["status"], key=_at)
    for now, later in itertools.pairwise(nows):
        until = stands[f"{row['name']} at {now}"]["valid_until"]
        same = row["status"][now] == row["status"][later]
        if same != (until is None or until > _at(later)):
            yield f"{row['name']} at {now}: valid until {until}"


@pytest.fixture(scope="module")
def packed(opa_binary: OpaBinary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rules and the tables' source in a bundle."""
    return bundle(opa_binary.path, tmp_path_factory.mktemp("dates") / "rules")


def test_the_tables_have_scopes_that_a_source_may_have() -> None:
    """What the tables say of scopes is what scopes.yaml may say; and each way of renewal is there."""
    scopes = source()["scopes"]
    Scopes.model_validate(scopes)
    assert {scope["renewal"] for scope in scopes.values()} == {"completion", "expiry", "calendar"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"renewal": "calendar"}, "takes `calendar` and `min_active`"),
        ({"renewal": "calendar", "calendar": "07-01"}, "takes `calendar` and `min_active`"),
        ({"calendar": "07-01", "min_active": "P60D"}, "nothing else does"),
        ({"min_active": "P60D"}, "nothing else does"),
        ({"renewal": "calendar", "calendar": "02-29", "min_active": "P60D"}, "not a day of every year"),
        ({"renewal": "calendar", "calendar": "04-31", "min_active": "P60D"}, "not a day of every year"),
        ({"renewal": "calendar", "calendar": "7-1", "min_active": "P60D"}, "match pattern"),
        ({"renewal": "calendar", "calendar": "07-01", "min_active": "P29D"}, "would gain nothing"),
        ({"renewal": "calendar", "calendar": "07-01", "min_active": "P1M"}, "would gain nothing"),
        ({"renewal_window": "P29D"}, "shorter than P30D"),
        ({"renewal": "never"}, "'completion', 'expiry' or 'calendar'"),
    ],
)
def test_a_scope_that_cannot_be_is_refused(change: Object, message: str) -> None:
    """A calendar has its day and its distance, a day is one of every year, and a window lets a reminder in."""
    yearly = source()["scopes"]["yearly"]
    Scopes.model_validate({"yearly": yearly})
    with pytest.raises(ValidationError, match=re.escape(message)):
        Scopes.model_validate({"yearly": yearly | change})


def test_a_gate_takes_no_scope_that_is_renewed_by_expiry(opa_binary: OpaBinary) -> None:
    """Such a scope lets more than its validity pass between two trainings; the gate, its line and the cure are told."""
    data = world.source()
    data["scopes"]["prod-change"]["renewal"] = "expiry"
    field = "data-export.custom.requirements.0.requires.within"
    assert not [f for f in inspect(POLICIES, opa_binary, data).findings if "renewal by expiry" in f.message]
    data["scopes"]["data-export"]["renewal"] = "expiry"
    (found,) = (f for f in inspect(POLICIES, opa_binary, data).findings if "renewal by expiry" in f.message)
    assert (found.file, found.field) == ("muster/gates/data-export/data-export.rego", field)
    assert found.line > 0
    assert "completion or calendar" in found.hint


def test_every_row(opa_binary: OpaBinary, packed: Path) -> None:
    """Each date, and each status at each instant, is the one that is written down."""
    assert list(_wrong(opa_binary.path, packed)) == []


def test_there_is_a_row_for_everything() -> None:
    """Names are told apart, every status is there, and so is each scope."""
    awards, statuses = _rows("awards.yaml"), _rows("statuses.yaml")
    names = [row["name"] for row in (*awards, *statuses)]
    assert len(names) == len(set(names)) >= 45
    found = {status for row in statuses for status in row["status"].values()}
    assert found == {"none", "valid", "expiring", "grace", "expired", "revoked", "waived"}
    assert {row["scope"] for row in (*awards, *statuses)} == source()["scopes"].keys()


_LESS = re.compile(r" (<|<=|>|>=) ")
_NO_MATTER = " < held.expires_at"
"""At the old expiry itself, counting from it and counting from the pass are one."""


def test_every_boundary_is_in_a_row(opa_binary: OpaBinary, tmp_path: Path) -> None:
    """A comparison of the award on the wrong side of its instant fails a row."""
    file = Path("muster/certification/award.rego")
    text = (POLICIES / file).read_text("utf-8")
    survived = []
    for number, match in enumerate(_LESS.finditer(text)):
        if text.startswith(_NO_MATTER, match.start()):
            continue
        other = match[1][0] if match[1].endswith("=") else f"{match[1]}="
        folder = tmp_path / str(number)
        shutil.copytree(POLICIES, folder / "policies")
        (folder / "policies" / file).write_text(f"{text[: match.start(1)]}{other}{text[match.end(1) :]}", "utf-8")
        mutant = bundle(opa_binary.path, folder / "rules", folder / "policies")
        if not any(_wrong(opa_binary.path, mutant)):
            survived.append(f"{text.count(chr(10), 0, match.start()) + 1}: {match[1]} -> {other}")
    assert not survived, "; ".join(survived)
