"""Evidence archives of a real service: what is in them for each question, and that an auditor finds nothing wrong."""

from __future__ import annotations

import csv
import io
import json
import stat
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadRequest
from engine.reports import rows
from engine.reports.query import Query, window
from ledger import canonical
from ledger.model import Entry, Person
from ledger.verifier import archive as verifier
from ledger.verifier import archive_rows, entries
from tests.reports.archives import Archive, make
from tests.reports.conftest import ODD, UNKNOWN
from tests.service.running import Service, export, instant

_FOREVER = "2200-01-01T00:00:00.000Z"


def _kinds(archive: Archive) -> set[str]:
    return {row["kind"] for row in archive.rows()}


def _about(archive: Archive) -> set[str]:
    return {row["user"] for row in archive.rows()}


def _plain(cell: str) -> str:
    """A cell read back: one apostrophe is taken off."""
    return cell.removeprefix("'")


# one person


def test_an_archive_of_one_person_is_complete(archive: Archive) -> None:
    """Everything about them is opened, proved and tested against every header of the range."""
    report = verifier.report(archive.folder, archive.vkey)
    assert report.findings == ()
    assert any(line.startswith("complete for the user ada") for line in report.told)
    assert _about(archive) == {"ada"}
    assert _kinds(archive) == {"result", "certification", "decision"}
    manifest = archive.manifest()
    assert manifest["completeness"]["proved"] is True
    assert manifest["counts"]["headers"] == report.size
    opened = {line["index"] for line in archive.lines("entries.ndjson")}
    reader = archive.reader()
    try:
        about = [e.index for e in reader.entries("default", 0, report.size) if e.about == Person("user", "ada")]
    finally:
        reader.close()
    assert len(about) > 8
    assert set(about) <= opened


def test_every_column_of_a_certification_is_there(archive: Archive) -> None:
    """Score and attempt come from the result behind it, and each ID that it leans on is opened."""
    row = next(r for r in archive.rows() if r["kind"] == "certification" and r["tier"] == "certified")
    assert row["user"] == "ada"
    assert row["type"] == "user"
    assert row["persona"] == "engineers"
    assert row["module"] == "export-scenario"
    assert row["version"] == "1.0.0"
    assert row["scopes"] == ["data-export"]
    assert row["passed"] is True
    assert row["issued"] < row["expires"]
    assert row["policy_ids"]
    assert row["runbook_ids"]
    assert row["tracks"]
    assert len(row["evidence"]) == 2
    ids = {json.loads(line["header"])["id"] for line in archive.lines("entries.ndjson")}
    assert set(row["evidence"]) <= ids


def test_approvals_that_a_decision_read_are_opened(archive: Archive) -> None:
    """They are entries about other people, and the decision leans on them."""
    kinds = [json.loads(line["header"])["kind"] for line in archive.lines("entries.ndjson")]
    assert kinds.count("approval") == 2
    assert "log.key" in kinds


def test_the_person_s_key_is_in_no_other_archive(story: Service, tmp_path: Path) -> None:
    """It would tell whoever holds the log which entries are about them."""
    queries: list[dict[str, Any]] = [{"scope": "data-export"}, {"subjects": ("ada", "bo")}, {"subjects": ("nobody",)}]
    for number, query in enumerate(queries):
        made = make(story, tmp_path / str(number), **query)
        assert not {"person.json", "headers.bin", "range.json"} & {path.name for path in made.folder.iterdir()}
        assert made.check() == []
        report = verifier.report(made.folder, made.vkey)
        assert any("Not proved" in line for line in report.told)


def test_a_time_bounds_the_range(story: Service, archive: Archive, tmp_path: Path) -> None:
    """The entry on either side shows that the range ends where the time does."""
    at = sorted(row["at"] for row in archive.rows())
    middle = at[len(at) // 2]
    early = make(story, tmp_path / "early", subjects=("ada",), until=middle)
    late = make(story, tmp_path / "late", subjects=("ada",), since=middle)
    assert early.check() == []
    assert late.check() == []
    assert [*early.rows(), *late.rows()][: len(at)] == archive.rows()
    assert all(row["at"] < middle for row in early.rows())
    assert all(row["at"] >= middle for row in late.rows())
    span = late.json("range.json")
    assert span["first"] == span["start"] - 1
    past = {"since": "2000-01-01T00:00:00.000Z", "until": "2001-01-01T00:00:00.000Z"}
    nothing = make(story, tmp_path / "nothing", subjects=("ada",), **past)
    assert nothing.rows() == []
    assert nothing.check() == []
    future = make(story, tmp_path / "future", subjects=("ada",), since=_FOREVER)
    assert future.check() == []
    assert future.manifest()["completeness"]["proved"] is True


def test_what_was_said_before_a_person_was_known_is_there(story: Service, tmp_path: Path) -> None:
    """It carries no tag, so it is opened, and the archive says that more of the kind might be missing."""
    story.decide("late")
    story.person("late")
    story.decide("late")
    made = make(story, tmp_path / "late", subjects=("late",))
    assert made.check() == []
    assert [row["persona"] for row in made.rows()] == [None, "engineers"]
    assert any("before that carry no tag" in limit for limit in made.manifest()["limits"])


def test_what_is_no_user_is_not_taken_for_one(story: Service, tmp_path: Path) -> None:
    """A service of the same ID is somebody else, in rows and in archives of the person."""
    asked = {**export("ada"), "subject": {"type": "service", "id": "ada"}}
    decision = story.call("gateway", "POST", "/v1/decisions", asked)["decision_id"]
    whole, ada = make(story, tmp_path / "whole", scope="data-export"), make(story, tmp_path / "ada", subjects=("ada",))
    assert next(row["type"] for row in whole.rows() if row["entry_id"] == decision) == "service"
    assert decision not in {row["entry_id"] for row in ada.rows()}
    assert whole.check() == ada.check() == []


# other questions


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, lambda _: True),
        ({"subjects": ("ada", "bo")}, lambda row: row["type"] == "user" and row["user"] in ("ada", "bo")),
        ({"scope": "data-export"}, lambda row: "data-export" in row["scopes"]),
        ({"scope": "nothing"}, lambda _: False),
        ({"persona": "security"}, lambda row: row["user"] == "dee"),
        ({"persona": "security", "scope": "data-export", "subjects": ("dee", "ada")}, lambda row: row["user"] == "dee"),
        ({"subjects": ("bo",), "scope": "data-export"}, lambda row: row["user"] == "bo"),
    ],
)
def test_filters_select_rows(
    story: Service, tmp_path: Path, query: dict[str, Any], expected: Callable[[dict[str, Any]], bool]
) -> None:
    """Several filters all have to fit, and what is selected is what fits of the whole log."""
    until = instant()
    whole = make(story, tmp_path / "whole", until=until)
    made = make(story, tmp_path / "made", until=until, **query)
    assert made.rows() == [row for row in whole.rows() if expected(row)]
    assert made.check() == []


def test_a_module_selects_what_has_to_do_with_it(story: Service, tmp_path: Path) -> None:
    """Results of it, certifications that it is a part of, and decisions of gates that ask for it."""
    made = make(story, tmp_path / "made", module="secure-data-export")
    assert made.check() == []
    assert _kinds(made) == {"result", "certification", "decision"}
    assert {row["module"] for row in made.rows() if row["kind"] == "result"} == {"secure-data-export"}


def test_every_kind_of_row_is_there(story: Service, tmp_path: Path) -> None:
    """Results, certifications, revocations, waivers and decisions of gates and of is-certified."""
    made = make(story, tmp_path / "made")
    assert made.check() == []
    assert _kinds(made) == set(rows.KINDS)
    by_kind = {row["kind"]: row for row in made.rows()}
    assert by_kind["revocation"]["user"] == "cy"
    assert by_kind["revocation"]["persona"] == "engineers"
    assert by_kind["waiver"]["expires"] > by_kind["waiver"]["issued"]
    verdicts = {row["verdict"] for row in made.rows() if row["kind"] == "decision"}
    assert {"allow", "deny", "certified"} <= verdicts
    denied = next(row for row in made.rows() if row["user"] == "bo" and row["verdict"] == "deny")
    assert "export-training" in denied["denials"]
    assert denied["allow"] is False


def test_one_decision_comes_with_all_that_it_saw(story: Service, tmp_path: Path) -> None:
    """Certifications and results behind it are rows as well."""
    made = make(story, tmp_path / "first", subjects=("ada",))
    decision = next(row for row in made.rows() if row["kind"] == "decision")
    one = make(story, tmp_path / "one", decision=decision["entry_id"])
    assert one.check() == []
    assert [row["entry_id"] for row in one.rows() if row["kind"] == "decision"] == [decision["entry_id"]]
    assert {row["kind"] for row in one.rows()} == {"decision", "certification", "result"}
    assert make(story, tmp_path / "none", decision="01a2181b-b600-7b59-9045-5d7e16915c7f").rows() == []


def test_an_incident_shows_how_those_involved_stood(story: Service, tmp_path: Path) -> None:
    """The decisions whose context names it, and the certifications that each of them saw, allowed or not."""
    made = make(story, tmp_path / "made", incident="INC-7")
    assert made.check() == []
    decisions = [row for row in made.rows() if row["kind"] == "decision"]
    assert {row["user"] for row in decisions} == {"ada", "dee"}
    certified = {row["user"] for row in made.rows() if row["kind"] == "certification"}
    assert certified == {"ada", "dee"}
    assert "This archive is about an incident" in made.data("README.txt").decode()
    cited = json.loads(next(e for e in made.lines("entries.ndjson") if '"approval"' in e["header"])["header"])["id"]
    by_approval = make(story, tmp_path / "approval", incident=cited)
    assert by_approval.check() == []
    assert [row["kind"] for row in by_approval.rows()].count("decision") == 1


# the two files of rows


def test_both_files_hold_the_same_rows(story: Service, tmp_path: Path) -> None:
    """Cell by cell, read back by somebody else's reader."""
    made = make(story, tmp_path / "made")
    sheet, listed = made.sheet(), made.rows()
    assert len(sheet) == len(listed) > 20
    for cells, row in zip(sheet, listed, strict=True):
        assert tuple(cells) == rows.COLUMNS == tuple(sorted(row, key=rows.COLUMNS.index))
        for column, value in row.items():
            text = " ".join(value) if isinstance(value, list) else "" if value is None else str(value)
            assert _plain(cells[column]) == (text.lower() if isinstance(value, bool) else text)
    raw = made.data("evidence.csv")
    assert raw.endswith(b"\r\n")
    assert raw.startswith(",".join(rows.COLUMNS).encode() + b"\r\n")


def test_no_cell_is_a_formula(story: Service, tmp_path: Path) -> None:
    """Whoever is called like a formula stands behind an apostrophe."""
    made = make(story, tmp_path / "made")
    users = {cells["user"] for cells in made.sheet()}
    for user in (*ODD, *(u for u in UNKNOWN if u.strip("\t\r\n\u200b")[:1] in "=@")):
        assert f"'{user}" in users
    assert 'a"b,c' in users
    assert {"ada", "nobody", "zero\u200b="} <= users


@given(st.text(alphabet=st.sampled_from("=+-@\t\r\n '\"\u200b\ufeff\u3000\uff0b\uff1d\ufe62\u2212\x00a1"), max_size=6))
def test_a_guarded_cell_never_begins_like_a_formula(text: str) -> None:
    """However it begins; service and verifier write it the same; and it reads back."""
    cell = rows.guarded(text)
    assert cell == archive_rows.cell(text)
    assert cell in (text, "'" + text)
    assert _plain(cell) == text
    if not cell.startswith("'"):
        assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n")
        seen = "".join(c for c in cell if unicodedata.category(c)[0] not in "CZ")
        assert unicodedata.normalize("NFKC", seen)[:1] not in ("=", "+", "-", "@", "\u2212")
    assert list(csv.reader(io.StringIO(rows.csv_bytes([[cell, "x"]]).decode(), newline=""))) == [[cell, "x"]]


_LEAF = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=4),
    st.sampled_from(["01a2181b-b600-7b59-9045-5d7e16915c7f", "01a2181b-b600-7b59-9045-5d7e16915c70", "m", "s"]),
)  # fmt: skip
_WORDS = """person id type module version tier scopes scope score percent passed attempts occurred_at policy_ids
runbook_ids evidence_links input result facts modules parts evidence for reads subject persona action name requirement
track until certification denials code verdict allow certified context m s directory valid_until policy_id"""
_KEYS = st.sampled_from(_WORDS.split())
_PAYLOAD = st.recursive(
    _LEAF,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=6)),
    max_leaves=25,
)


@given(
    st.sampled_from(rows.KINDS),
    st.dictionaries(_KEYS, _PAYLOAD, max_size=12),
    st.one_of(st.none(), st.dictionaries(_KEYS, _PAYLOAD, max_size=6)),
)
def test_service_and_verifier_make_the_same_rows(
    kind: str, value: dict[str, Any], other: dict[str, Any] | None
) -> None:
    """By two paths, of whatever payload; neither stumbles over one that nobody ever wrote."""
    header = (
        f'{{"at":"2026-01-01T00:00:00.000Z","commitment":"{"0" * 64}","id":"01a2181b-b600-7b59-9045-5d7e16915c7f",'
        f'"kind":"{kind}","tag":null,"tenant":"default","v":1}}'
    ).encode()
    parsed = entries.header(header)
    assert parsed is not None
    entry = Entry(
        index=7, id=parsed.id, at=parsed.at, kind=kind, tenant="default", header=header,
        payload=canonical.encode(value), salt=b"", about=None,
    )  # fmt: skip
    named = entries.named(kind, value)
    directory = other if named is not None else None
    beside = rows.Beside(result=other, directory=directory)
    made = rows.row(entry, value, beside)
    leaf = bytes.fromhex(str(made["leaf"]))
    again = archive_rows.expected(7, parsed, leaf, value, lambda _: other, lambda _: directory)
    assert canonical.encode(made) == canonical.encode(again)
    assert rows.cells(made) == [archive_rows.cell(again[column]) for column in rows.COLUMNS]
    for query in (Query(scope="s"), Query(module="m"), Query(persona="s"), Query(incident="m"), Query(subjects=("m",))):
        assert query.takes(made, value) == archive_rows.fits(query.described(), again, value)


# times


@dataclass(frozen=True)
class _Instants:
    """A reader of nothing but instants."""

    at: list[str]

    def entry_at(self, _tenant: str, index: int) -> Any:
        """An entry that has nothing but its instant."""
        return type("At", (), {"at": self.at[index]})


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=4),
    st.integers(0, 9),
    st.integers(1, 9),
    st.sampled_from(["both", "since", "until"]),
)
def test_a_range_is_the_smallest_that_holds_a_time(parts: list[list[int]], since: int, more: int, given_: str) -> None:
    """Also where a clock was adjusted, from which on instants count anew."""
    ordered = [sorted(part) for part in parts]
    at = [f"2026-01-01T00:00:00.{n:03d}Z" for part in ordered for n in part]
    adjusted = [sum(map(len, ordered[:n])) for n in range(1, len(ordered))]
    query = Query(
        since=f"2026-01-01T00:00:00.{since:03d}Z" if given_ != "until" else None,
        until=f"2026-01-01T00:00:00.{since + more:03d}Z" if given_ != "since" else None,
    )
    start, stop = window(_Instants(at), "default", len(at), query, adjusted)  # type: ignore[arg-type]
    inside = [n for n, instant_ in enumerate(at) if query.fits_time(instant_)]
    assert all(start <= n < stop for n in inside)
    assert 0 <= start <= stop <= len(at)
    if query.since is None:
        assert start == 0
    elif inside and start:
        assert start == inside[0]
    if query.until is None:
        assert stop == len(at)
    elif inside:
        assert stop == inside[-1] + 1


def test_what_cannot_be_a_query_is_refused() -> None:
    """With the option that is wrong."""
    for query in (
        Query(since="yesterday"),
        Query(since=_FOREVER, until="2026-01-01T00:00:00.000Z"),
        Query(scope=""),
        Query(subjects=("",)),
        Query(incident="\ud800"),
        Query(subjects=tuple(map(str, range(2000)))),
    ):
        with pytest.raises(BadRequest):
            query.check()


# the command


def test_the_command_makes_an_archive_that_the_command_checks(story: Service, tmp_path: Path) -> None:
    """Private files, an entry in the log that holds no person's ID, and a yes of `verify`."""
    folder = tmp_path / "of-ada"
    done = story.muster("ledger", "export", "--out", str(folder), "--subject", "ada", "--json")
    told = json.loads(done.stdout)
    assert told["complete"] is True
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    entry = story.call("auditor", "GET", f"/v1/ledger/entries/{told['entry']}")
    payload = json.loads(entry["payload"])
    assert entry["kind"] == "copy"
    assert payload["copy"] == "archive"
    assert payload["sha256"] == told["sha256"]
    assert payload["ref"] == story.call("auditor", "GET", "/v1/subjects/ada")["ref"]
    assert '"ada"' not in entry["payload"]  # as a whole: three letters of a digest may be hers
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["made_by"] == {"role": "admin", "token": None, "principal": {"type": "system", "id": "operator"}}
    story.muster("ledger", "verify", str(folder), "--key", told["vkey"])
    assert "compare it" in story.muster("ledger", "verify", str(folder)).stderr
    (folder / "evidence.csv").write_text("")
    assert "evidence.csv" in story.muster("ledger", "verify", str(folder), "--key", told["vkey"], want=1).stderr


def test_the_archive_says_who_made_it(story: Service, tmp_path: Path) -> None:
    """By the token that the command was given; whoever may not copy makes none, and nothing is left."""
    token = story.token("auditor")
    story.muster("ledger", "export", "--out", str(tmp_path / "a"), "--scope", "data-export", MUSTER_TOKEN=token)
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert manifest["made_by"]["role"] == "auditor"
    assert manifest["made_by"]["principal"] == {"type": "system", "id": "test-auditor"}
    gateway = story.token("gateway")
    story.muster("ledger", "export", "--out", str(tmp_path / "b"), MUSTER_TOKEN=gateway, want=2)
    assert not (tmp_path / "b").exists()
    story.call("gateway", "POST", "/v1/ledger/archives", {"sha256": "0" * 64, "name": "x"}, want=403)


def test_a_folder_that_is_not_empty_is_left_as_it_is(story: Service, tmp_path: Path) -> None:
    """An archive is written into a folder of its own; filters ask for an archive."""
    (tmp_path / "kept").write_text("kept")
    assert "not empty" in story.muster("ledger", "export", "--out", str(tmp_path), want=2).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert "--out" in story.muster("ledger", "export", "--subject", "ada", want=2).stderr
    assert "--out" in story.muster("ledger", "export", want=2).stderr
    assert "--since" in story.muster("ledger", "export", "--out", str(tmp_path / "x"), "--since", "x", want=2).stderr


def test_an_archive_is_made_without_a_service(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """The command starts what it needs under the home's lock; the log has no person yet."""
    home = new_service()
    home.muster("ledger", "export", "--out", str(tmp_path / "all"))
    home.muster("ledger", "verify", str(tmp_path / "all"))
    assert json.loads((tmp_path / "all" / "evidence.json").read_text()) == []


def test_what_was_erased_is_closed_and_proved(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """A decision whose approver was erased keeps its proof; of the erased person there is nothing to say."""
    service = new_service().start()
    for user in ("eve", "fay", "gus"):
        service.person(user)
    service.train("eve")
    asked: dict[str, Any] = {
        "subject": {"type": "user", "id": "eve"},
        "action": {"name": "data-export"},
        "resource": {"type": "dataset", "id": "customers", "properties": {"customer": "other"}},
        "context": {"destination": "warehouse://analytics", "ticket": "REQ-1", "columns": ["customer_id"]},
    }
    cited = [service.call(f"user:{who}", "POST", "/v1/approvals", asked)["approval_id"] for who in ("fay", "gus")]
    asked["context"]["approvals"] = cited
    assert service.call("gateway", "POST", "/v1/decisions", asked)["allow"]
    wanted = {"user": "fay", "reason": "asked for", "approved_by": ["user:gus"]}
    service.call("admin", "POST", "/v1/erasures", wanted)
    made = make(service, tmp_path / "eve", subjects=("eve",))
    assert made.check() == []
    assert made.manifest()["counts"]["erased"] == 1
    assert any("erased" in line for line in verifier.report(made.folder, made.vkey).told)
    gone = make(service, tmp_path / "fay", subjects=("fay",))
    assert gone.check() == []
    assert gone.rows() == []
    assert gone.manifest()["completeness"]["proved"] is False
    service.stop()


def test_an_older_key_leads_to_the_one_that_signed(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """The log's own entries introduce each key by the one before; a stranger's key is told."""
    service = new_service().start()
    service.person("ada")
    before = service.call("auditor", "POST", "/v1/ledger/checkpoint")["vkey"]
    service.call("admin", "POST", "/v1/ledger/key-rotation", {"reason": "test"})
    made = make(service, tmp_path / "ada", subjects=("ada",))
    assert made.vkey != before
    assert made.check() == []
    report = verifier.report(made.folder, before)
    assert report.findings == ()
    assert any("handed over" in line for line in report.told)
    service.stop()


# size

_MEASURE = """
import json, resource, sys
from pathlib import Path
from tests.reports.large import archive, log
from ledger.verifier import archive as verifier

folder = Path(sys.argv[1])
ledger = log(folder / "ledger.db", int(sys.argv[2]))
archive(ledger, folder / "small", since=ledger.late)
verifier.report(folder / "small", ledger.vkey)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
written = archive(ledger, folder / "large")
made = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = verifier.report(folder / "large", ledger.vkey)
checked = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"rows": written.counts["rows"], "made": made - before, "checked": checked - made,
                  "findings": [str(f) for f in report.findings]}))
"""


def test_a_large_archive_takes_no_more_memory(tmp_path: Path) -> None:
    """20,000 rows after 1,000, made and checked in a process of its own: neither keeps them."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(tmp_path), "20000"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["findings"] == []
    assert measured["rows"] == 20_000
    assert measured["made"] < 12 * 1024, measured
    assert measured["checked"] < 12 * 1024, measured
