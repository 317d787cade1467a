"""What somebody may do to an archive on its way to an auditor, or while it is made: each is found, and named.

Without the log's key nothing can be changed at all. Whoever has the key can sign anything, and still cannot change what
an entry says, nor leave out an entry about a person whose archive is complete.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.publishing.outside import subtrees
from engine.reports import rows
from ledger import entry as entries
from ledger import note
from ledger.merkle import inclusion_proof
from ledger.note import FileSigner
from ledger.verifier import archive as verifier
from ledger.verifier import archive_rows
from ledger.verifier.note import parse_key
from tests.reports.archives import Archive, make
from tests.service.running import Service

FILES = (
    "README.txt", "checkpoint", "entries.ndjson", "evidence.csv", "evidence.json", "headers.bin", "log.vkey",
    "manifest.json", "manifest.sig", "person.json", "proofs.ndjson", "range.json",
)  # fmt: skip
LINES = ("entries.ndjson", "proofs.ndjson", "evidence.csv", "evidence.json")
_OWN = {"manifest.json": {"manifest", "signature"}, "manifest.sig": {"signature"}}


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _swap(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[3], lines[2], *lines[4:]]


def _double(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], lines[2], *lines[3:]]


def _drop(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], *lines[3:]]


EDITS: dict[str, Callable[[list[bytes]], list[bytes]]] = {"swap": _swap, "double": _double, "drop": _drop}


def _edit(archive: Archive, name: str, edit: str) -> None:
    archive.write(name, b"".join(EDITS[edit](archive.data(name).splitlines(keepends=True))))


# without the key


def test_an_untouched_copy_is_whole(copied: Archive) -> None:
    """Else every other test here would prove nothing; and these are all the files that there are."""
    assert copied.check() == []
    assert sorted(path.name for path in copied.folder.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", ["flip", "append", "truncate", "empty"])
def test_no_byte_of_any_file_can_be_changed(copied: Archive, name: str, change: str) -> None:
    """The manifest has the digest of every file, the signature that of the manifest."""
    data = copied.data(name)
    copied.write(name, {"flip": _flip(data), "append": data + b"\n", "truncate": data[:-1], "empty": b""}[change])
    found = copied.check()
    assert found
    assert found[0].check in _OWN.get(name, {"file"}), found
    assert name in found[0].detail


@pytest.mark.parametrize("name", FILES)
def test_no_file_can_be_taken_away(copied: Archive, name: str) -> None:
    """A missing file is named."""
    (copied.folder / name).unlink()
    found = copied.check()
    assert found[0].check in _OWN.get(name, {"file"})
    assert name in found[0].detail


def test_no_file_can_be_added(copied: Archive) -> None:
    """Nor a folder; nor can a file be another one by a link, or a pipe that never ends."""
    copied.write("more.txt", b"more")
    assert [f.detail for f in copied.check()] == ["more.txt is there, and not in the manifest"]
    (copied.folder / "more.txt").unlink()
    (copied.folder / "more").mkdir()
    assert [f.check for f in copied.check()] == ["file"]
    (copied.folder / "more").rmdir()
    elsewhere = copied.folder.parent / "README.txt"
    (copied.folder / "README.txt").rename(elsewhere)
    (copied.folder / "README.txt").symlink_to(elsewhere)
    assert [f.check for f in copied.check()] == ["file"]
    (copied.folder / "README.txt").unlink()
    os.mkfifo(copied.folder / "README.txt")
    assert [f.detail for f in copied.check()] == ["README.txt is not a file"]


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("edit", sorted(EDITS))
def test_lines_cannot_be_moved(copied: Archive, name: str, edit: str) -> None:
    """Found by the file's digest; with a manifest made to fit, by the signature."""
    _edit(copied, name, edit)
    found = copied.check()
    assert found[0].check == "file"
    assert name in found[0].detail
    copied.rehash()
    assert copied.check()[0].check in ("signature", "entry", "proof", "completeness", "evidence")
    assert "signature" in copied.checks()


def test_another_key_cannot_sign(copied: Archive) -> None:
    """Also where it lies beside the archive as the log's own, and the auditor has brought none."""
    stranger = FileSigner(Ed25519PrivateKey.generate())
    copied.resign(signer=stranger)
    assert copied.checks() == {"signature"}
    vkey = note.vkey(parse_key(copied.vkey).name, stranger.public)
    copied.write("log.vkey", f"{vkey}\n".encode())
    copied.resign(signer=stranger)
    assert copied.checks() == {"key", "signature"}
    assert {f.check for f in verifier.check(copied.folder)} == {"key", "signature"}
    assert {f.check for f in verifier.check(copied.folder, vkey)} >= {"key", "checkpoint"}
    assert {f.check for f in verifier.check(copied.folder, "not a key")} >= {"key"}


def test_the_signature_of_another_archive_does_not_fit(copied: Archive, story: Service, tmp_path: Path) -> None:
    """Nor does a checkpoint's."""
    other = make(story, tmp_path / "other", subjects=("bo",))
    copied.write("manifest.sig", other.data("manifest.sig"))
    assert copied.checks() == {"signature"}
    copied.write("manifest.sig", copied.data("checkpoint"))
    assert copied.checks() == {"signature"}


def test_a_key_that_came_with_the_archive_is_told(archive: Archive) -> None:
    """A warning, not a finding: nothing contradicts it."""
    report = verifier.report(archive.folder)
    assert report.findings == ()
    assert report.told[0].startswith("the key came with the archive: compare it")
    assert archive.vkey in report.told[0]


# with the key: entries and proofs


@pytest.mark.parametrize(
    ("name", "edit", "expected"),
    [
        ("entries.ndjson", "swap", {"entry"}),
        ("entries.ndjson", "double", {"entry"}),
        ("entries.ndjson", "drop", {"proof", "completeness", "count"}),
        ("proofs.ndjson", "swap", {"proof"}),
        ("proofs.ndjson", "double", {"proof"}),
        ("proofs.ndjson", "drop", {"proof"}),
        ("evidence.csv", "swap", {"row"}),
        ("evidence.csv", "double", {"row"}),
        ("evidence.csv", "drop", {"row"}),
        ("evidence.json", "swap", {"row"}),
        ("evidence.json", "double", {"row"}),
        ("evidence.json", "drop", {"row"}),
    ],
)
def test_moved_lines_are_found_though_signed(copied: Archive, name: str, edit: str, expected: set[str]) -> None:
    """The right key does not make them right."""
    _edit(copied, name, edit)
    copied.resign()
    assert expected <= copied.checks()
    assert "signature" not in copied.checks()
    assert "file" not in copied.checks()


def _decisions(archive: Archive) -> list[int]:
    """The lines of entries.ndjson that are decisions."""
    return [n for n, line in enumerate(archive.lines("entries.ndjson")) if '"decision"' in line["header"]]


def _sole(archive: Archive, place: int) -> list[str]:
    """What is found, all of it about one entry."""
    line = archive.lines("entries.ndjson")[place]
    found = archive.check()
    assert {f.index for f in found} == {line["index"]}
    assert {f.id for f in found} == {json.loads(line["header"])["id"]}
    return [f.check for f in found]


@pytest.mark.parametrize("length", [0, 15, 17, 32])
def test_a_salt_of_another_length_opens_nothing(copied: Archive, length: int) -> None:
    """Bytes that move between salt and payload would let one commitment open to two payloads."""
    place = _decisions(copied)[0]
    lines = copied.lines("entries.ndjson")
    salt, payload = bytes.fromhex(lines[place]["salt"]), lines[place]["payload"].encode()
    joined = salt + payload
    lines[place]["salt"] = joined[:length].hex()
    lines[place]["payload"] = joined[length:].decode("utf-8", "replace") if length < 16 else lines[place]["payload"]
    copied.write_lines("entries.ndjson", lines)
    copied.resign()
    found = [f for f in copied.check() if f.check == "commitment"]
    assert [f.index for f in found] == [lines[place]["index"]]
    assert "16 bytes" in found[0].detail


def test_payload_and_salt_of_another_entry_do_not_fit(copied: Archive) -> None:
    """Two decisions about the same person, changed for each other."""
    lines = copied.lines("entries.ndjson")
    first, second = _decisions(copied)[:2]
    for name in ("payload", "salt"):
        lines[first][name] = lines[second][name]
    copied.write_lines("entries.ndjson", lines)
    copied.resign()
    found = copied.check()
    assert (found[0].check, found[0].index) == ("commitment", lines[first]["index"])
    assert "row" in copied.checks()


def test_a_changed_payload_does_not_fit(copied: Archive) -> None:
    """Though rows are changed with it and all is signed: the commitment is in the tree."""
    place = _decisions(copied)[0]
    lines = copied.lines("entries.ndjson")
    lines[place]["payload"] = lines[place]["payload"].replace('"customers"', '"customerz"')
    copied.write_lines("entries.ndjson", lines)
    copied.resign()
    assert _sole(copied, place) == ["commitment"]


def test_a_changed_header_is_not_in_the_log(copied: Archive) -> None:
    """Its hash leads to another root; in another spelling it is no header."""
    place = _decisions(copied)[-1]
    lines = copied.lines("entries.ndjson")
    header = json.loads(lines[place]["header"])
    changed = json.dumps(header | {"at": "2026-01-01T00:00:00.000Z"}, separators=(",", ":"), sort_keys=True)
    for text, expected in ((changed, {"proof"}), (json.dumps(header), {"proof", "header"})):
        lines[place]["header"] = text
        copied.write_lines("entries.ndjson", lines)
        copied.resign()
        found = {f.check for f in copied.check() if f.index == lines[place]["index"]}
        assert expected <= found


def test_an_entry_that_is_not_in_the_log_has_no_proof(copied: Archive) -> None:
    """Made up whole, with a commitment that opens, under the person's own key."""
    lines = copied.lines("entries.ndjson")
    place = _decisions(copied)[0]
    header, payload = json.loads(lines[place]["header"]), lines[place]["payload"].replace("REQ-1", "REQ-2")
    key, identifier = bytes.fromhex(copied.json("person.json")["key"]), "01a2181b-b600-7b59-9045-5d7e16915c7f"
    made_up = header | {
        "id": identifier,
        "tag": entries.tag(key, identifier),
        "commitment": entries.commitment(bytes.fromhex(lines[place]["salt"]), payload.encode()),
    }
    lines[place] |= {"header": json.dumps(made_up, separators=(",", ":"), sort_keys=True), "payload": payload}
    copied.write_lines("entries.ndjson", lines)
    copied.resign()
    found = {(f.check, f.index) for f in copied.check()}
    assert ("proof", lines[place]["index"]) in found
    assert "commitment" not in {check for check, _ in found}


@pytest.mark.parametrize("change", ["other", "shorter", "longer", "none", "spelled"])
def test_a_wrong_proof_proves_nothing(copied: Archive, change: str) -> None:
    """Of another entry, of another length, in another spelling, or not there."""
    proofs = copied.lines("proofs.ndjson")
    proof = proofs[3]["proof"]
    proofs[3]["proof"] = {
        "other": proofs[2]["proof"], "shorter": proof[:-1], "longer": [*proof, proof[0]], "none": None,
        "spelled": [proof[0].rstrip("="), *proof[1:]],
    }[change]  # fmt: skip
    copied.write_lines("proofs.ndjson", proofs)
    copied.resign()
    assert copied.checks() == {"proof"}


def test_an_index_cannot_be_changed(copied: Archive) -> None:
    """Entry and proof both: the path of another place leads to another root."""
    lines, proofs = copied.lines("entries.ndjson"), copied.lines("proofs.ndjson")
    last = len(lines) - 1
    lines[last]["index"] = proofs[last]["index"] = lines[last]["index"] + 1
    copied.write_lines("entries.ndjson", lines)
    copied.write_lines("proofs.ndjson", proofs)
    copied.resign()
    assert "proof" in copied.checks()


# with the key: completeness


def _omit(archive: Archive, place: int) -> int:
    """Leave an entry out of every file and count; its index."""
    lines, proofs = archive.lines("entries.ndjson"), archive.lines("proofs.ndjson")
    index = int(lines[place]["index"])
    archive.write_lines("entries.ndjson", lines[:place] + lines[place + 1 :])
    archive.write_lines("proofs.ndjson", [p for p in proofs if p["index"] != index])
    kept = [row for row in archive.rows() if row["index"] != index]
    is_row = len(kept) < len(archive.rows())
    archive.write_rows(kept)
    sheet = rows.csv_bytes([list(rows.COLUMNS), *([archive_rows.cell(row[c]) for c in rows.COLUMNS] for row in kept)])
    archive.write("evidence.csv", sheet)

    def recount(manifest: dict[str, Any]) -> None:
        manifest["counts"]["entries"] -= 1
        manifest["counts"]["rows"] -= is_row

    archive.resign(recount)
    return index


def test_no_entry_about_the_person_can_be_left_out(archive: Archive, tmp_path: Path) -> None:
    """Whichever it is, with its proof and row, counted and signed anew with the right key."""
    key = bytes.fromhex(archive.json("person.json")["key"])
    first = archive.json("person.json")["first_entry"]["index"]
    tried = 0
    for place, line in enumerate(archive.lines("entries.ndjson")):
        header = json.loads(line["header"])
        if entries.tag(key, header["id"]) != header["tag"]:
            continue
        copy = archive.copy(tmp_path / str(place))
        index = _omit(copy, place)
        checks = {f.check for f in copy.check() if f.index == index}
        assert checks >= {"completeness"}
        assert copy.checks() <= {"completeness", "evidence", "row"} | ({"key"} if index == first else set())
        tried += 1
    assert tried >= 8


def test_no_entry_about_the_person_can_be_left_closed(copied: Archive) -> None:
    """As if it had been erased."""
    lines = copied.lines("entries.ndjson")
    place = _decisions(copied)[-1]
    lines[place] |= {"payload": None, "salt": None}
    copied.write_lines("entries.ndjson", lines)
    copied.resign()
    assert {"completeness", "row", "count"} <= copied.checks()


def test_a_wrong_key_is_not_the_one_that_the_log_commits_to(copied: Archive, story: Service, tmp_path: Path) -> None:
    """Drawn anew, or another person's: with it nothing would match."""
    person = copied.json("person.json")
    bo = make(story, tmp_path / "bo", subjects=("bo",)).json("person.json")
    for key in ("00" * 32, bo["key"]):
        copied.write_lines("person.json", [person | {"key": key}])
        copied.resign()
        found = copied.check()
        assert any(f.check == "key" and f.index == person["first_entry"]["index"] for f in found)
        assert "tag" in {f.check for f in found}
    copied.write_lines("person.json", [bo])
    copied.resign()
    assert "completeness" in copied.checks()
    copied.write_lines("person.json", [person | {"key": person["key"][:-2]}])
    copied.resign()
    assert {"file", "completeness"} <= copied.checks()
    copied.write_lines("person.json", [person | {"first_entry": {"index": 0, "id": person["first_entry"]["id"]}}])
    copied.resign()
    assert "key" in copied.checks()


def test_a_person_cannot_be_given_the_key_of_another(copied: Archive, story: Service, tmp_path: Path) -> None:
    """With that other's first entry, opened and proved, which does commit to it."""
    bo = make(story, tmp_path / "bo", subjects=("bo",)).json("person.json")
    index, size = bo["first_entry"]["index"], int(copied.data("checkpoint").split(b"\n")[1])
    reader = copied.reader()
    try:
        first = reader.entry_at("default", index)
        proof = inclusion_proof(subtrees(reader, "default"), index, size)
    finally:
        reader.close()
    assert first is not None
    assert first.payload is not None
    assert first.salt is not None
    entry = {
        "index": index,
        "header": first.header.decode(),
        "payload": first.payload.decode(),
        "salt": first.salt.hex(),
    }
    path = {"index": index, "proof": [base64.b64encode(node).decode() for node in proof]}
    for name, line in (("entries.ndjson", entry), ("proofs.ndjson", path)):
        copied.write_lines(name, sorted([*copied.lines(name), line], key=lambda each: int(each["index"])))
    copied.write_lines("person.json", [bo | {"id": "ada"}])
    copied.resign(lambda manifest: manifest["counts"].update(entries=manifest["counts"]["entries"] + 1))
    found = copied.check()
    assert ("key", index) in {(f.check, f.index) for f in found}
    assert ("about", index) in {(f.check, f.index) for f in found}
    assert "count" not in {f.check for f in found}


def test_headers_cannot_be_cut_or_changed(copied: Archive) -> None:
    """Every one of the range is read, and together they give the checkpoint's root."""
    data = copied.data("headers.bin")
    length = int.from_bytes(data[:2]) + 2
    first, rest = data[:length], data[length:]
    second = rest[: int.from_bytes(rest[:2]) + 2]
    forged = first.replace(b'"default"', b'"defaulu"')
    for changed in (
        b"",
        data[:-1],
        data[:-200],
        rest,
        data + first,
        second + first + rest[len(second) :],
        forged + rest,
    ):
        copied.write("headers.bin", changed)
        copied.resign()
        assert "completeness" in copied.checks()
        assert not any(line.startswith("complete") for line in verifier.report(copied.folder, copied.vkey).told)


def test_a_tag_cannot_be_changed_in_the_headers(copied: Archive) -> None:
    """So that an entry would not match: it is not the header of the log any more."""
    tag = json.loads(copied.lines("entries.ndjson")[_decisions(copied)[0]]["header"])["tag"]
    copied.write("headers.bin", copied.data("headers.bin").replace(tag.encode(), b"0" * 32))
    copied.resign()
    assert copied.checks() == {"completeness"}


def _narrowed(archive: Archive, *, first: int, last: int) -> dict[str, Any]:
    """A range that begins later or ends earlier, with the right hashes on both sides."""
    reader = archive.reader()
    try:
        tree, size = subtrees(reader, "default"), archive.manifest()["counts"]["headers"]
        size = int(archive.data("checkpoint").split(b"\n")[1])
        headers = reader.headers("default", first, last)
        before, after = tree.complete(0, first), tree.complete(last, size)
    finally:
        reader.close()
    archive.write("headers.bin", b"".join(len(h).to_bytes(2) + h for h in headers))
    named = ([base64.b64encode(node).decode() for node in nodes] for nodes in (before, after))
    span = {"first": first, "last": last, "start": first + 1, "stop": last - 1}
    archive.write_lines("range.json", [{**span, "before": next(named), "after": next(named)}])
    return span


def test_a_range_cannot_be_narrower_than_the_time(story: Service, archive: Archive, tmp_path: Path) -> None:
    """An entry that is left out by that stands beside the range, and is of the time that was asked for."""
    rows_ = archive.rows()
    since, until = rows_[1]["at"], rows_[-1]["at"]
    made = make(story, tmp_path / "made", subjects=("ada",), since=since, until=until)
    span = made.json("range.json")
    for first, last in ((span["first"] + 1, span["last"]), (span["first"], span["last"] - 1)):
        copy = made.copy(tmp_path / f"{first}-{last}")
        new = _narrowed(copy, first=first, last=last)

        def shrink(manifest: dict[str, Any], new: dict[str, Any] = new) -> None:
            manifest["range"] = {"start": new["start"], "stop": new["stop"]}
            manifest["counts"]["headers"] -= 1

        copy.resign(shrink)
        outside = new["first"] if first > span["first"] else new["last"] - 1
        assert any(f.check == "completeness" and f.index == outside for f in copy.check())
    for start, stop in ((span["stop"], span["start"]), (span["start"], 10**6)):
        copy = made.copy(tmp_path / f"{start}-{stop}")
        bounds = {"start": start, "stop": stop}
        copy.write_lines("range.json", [span | bounds])
        copy.resign(lambda manifest, bounds=bounds: manifest.update(range=bounds))  # type: ignore[misc]
        assert "range.json is of another range than the manifest" in {f.detail for f in copy.check()}
    copy = made.copy(tmp_path / "open")
    copy.resign(lambda manifest: manifest["query"].update(since=None))
    assert "file" in copy.checks()


def test_a_sparse_archive_cannot_call_itself_complete(story: Service, tmp_path: Path) -> None:
    """Only one person's can be, and only with headers, range and key."""
    made = make(story, tmp_path / "made", scope="data-export")
    made.resign(lambda manifest: manifest["completeness"].update(proved=True))
    assert {"file", "completeness"} <= made.checks()


def test_a_complete_archive_cannot_be_of_another_question(copied: Archive) -> None:
    """The key is one person's, and completeness is for them alone."""
    copied.resign(lambda manifest: manifest["query"].update(subjects=["bo"]))
    assert {"completeness", "row"} <= copied.checks()
    copied.resign(lambda manifest: manifest["query"].update(subjects=["ada"], scope="data-export"))
    assert "completeness" in copied.checks()


# with the key: rows


@pytest.mark.parametrize("column", rows.COLUMNS)
def test_no_cell_can_be_changed(archive: Archive, tmp_path: Path, column: str) -> None:
    """In either file, though signed: the row and the column are named."""
    for kind in ("result", "certification", "decision"):
        copy = archive.copy(tmp_path / kind)
        listed, sheet = copy.rows(), copy.sheet()
        number = next(n for n, row in enumerate(listed) if row["kind"] == kind)
        index = listed[number]["index"]
        listed[number][column] = "x"
        sheet[number][column] = "x"
        copy.write_rows(listed)
        copy.write("evidence.csv", rows.csv_bytes([list(rows.COLUMNS), *([*cells.values()] for cells in sheet)]))
        copy.resign()
        found = copy.check()
        assert {(f.check, f.index) for f in found} == {("row", index)}
        places = [f.detail.partition(": '")[0] for f in found]
        assert places == [f"evidence.{form}: row {number + 1}, column {column}" for form in ("csv", "json")]


def test_the_apostrophe_cannot_be_taken_off(story: Service, tmp_path: Path) -> None:
    """A sheet that calculates is not the one that was made."""
    made = make(story, tmp_path / "made", subjects=("-1+1",))
    made.write("evidence.csv", made.data("evidence.csv").replace(b"'-1+1", b"-1+1"))
    made.resign()
    assert made.checks() == {"row"}
    assert all("column user: '-1+1'" in f.detail for f in made.check())


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.write("evidence.csv", a.data("evidence.csv").replace(b"\r\n", b"\n")),
        lambda a: a.write("evidence.csv", a.data("evidence.csv").replace(b"\nada,", b'\n"ada",', 1)),
        lambda a: a.write("evidence.csv", b"\xef\xbb\xbf" + a.data("evidence.csv")),
        lambda a: a.write("evidence.csv", a.data("evidence.csv") + b"=1+1\r\n"),
        lambda a: a.write("evidence.csv", a.data("evidence.csv").replace(b"\nada,", b'\n"ada,', 1)),
        lambda a: a.write("evidence.csv", a.data("evidence.csv").partition(b"\r\n")[2]),
        lambda a: a.write("evidence.json", json.dumps(a.rows()).encode()),
        lambda a: a.write("evidence.json", a.data("evidence.json").replace(b'"user":"ada"', b'"user": "ada"', 1)),
        lambda a: a.write("evidence.json", a.data("evidence.json").replace(b"},\n", b"}\n", 1)),
        lambda a: a.write("evidence.json", a.data("evidence.json") + b"]\n"),
        lambda a: a.write("evidence.json", a.data("evidence.json")[:-3]),
        lambda a: a.write("evidence.json", b"[[\n" + a.data("evidence.json")[2:]),
    ],
)
def test_rows_are_written_in_one_way(copied: Archive, change: Callable[[Archive], None]) -> None:
    """The same cells otherwise written are another file, and a row too many is one."""
    change(copied)
    copied.resign()
    assert copied.checks() == {"row"}


def test_counts_are_counted(copied: Archive) -> None:
    """Each of them, of the manifest."""
    right = copied.manifest()["counts"]
    for name in right:

        def miscount(manifest: dict[str, Any], wrong: str = name) -> None:
            manifest["counts"] = right | {wrong: right[wrong] + 1}

        copied.resign(miscount)
        assert copied.checks() == {"count"}


def test_evidence_cannot_be_left_out(story: Service, tmp_path: Path) -> None:
    """Where completeness is not proved, what a row leans on still has to be there."""
    made = make(story, tmp_path / "made", decision=_cited(story, tmp_path))
    lines = made.lines("entries.ndjson")
    place = next(n for n, line in enumerate(lines) if '"approval"' in line["header"])
    _omit(made, place)
    assert made.checks() == {"evidence"}


def _cited(story: Service, tmp_path: Path) -> str:
    ada = make(story, tmp_path / "ada", subjects=("ada",))
    return str(next(r["entry_id"] for r in ada.rows() if r["kind"] == "decision" and len(r["evidence"]) > 1))


def test_an_archive_cannot_hold_decisions_that_were_not_asked_for(story: Service, tmp_path: Path) -> None:
    """One query's rows under another query."""
    made = make(story, tmp_path / "made", incident="INC-7")
    made.resign(lambda manifest: manifest["query"].update(incident="INC-8"))
    assert "query" in made.checks()


# what an archive claims to be


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(format="muster/evidence/v2"),
        lambda m: m.update(made_at="today"),
        lambda m: m.update(checkpoint=None),
        lambda m: m["query"].pop("scope"),
        lambda m: m["query"].update(subjects="ada"),
        lambda m: m["query"].update(since="0"),
        lambda m: m["range"].update(start=-1),
        lambda m: m["counts"].update(rows=True),
        lambda m: m["files"].update({"../outside": {"sha256": "0" * 64, "bytes": 1}}),
        lambda m: m["files"]["checkpoint"].update(bytes="1"),
        lambda m: m.update(completeness="yes"),
        lambda m: m.update(limits=[1]),
        lambda m: m["files"].pop("entries.ndjson"),
        lambda m: m.update(files=[]),
        lambda m: m.update(tenant="other"),
        lambda m: m.update(origin="other"),
    ],
)
def test_a_manifest_of_another_shape_is_refused(copied: Archive, change: Callable[[dict[str, Any]], object]) -> None:
    """Before anything is believed of it, and without reading outside the folder."""
    copied.resign(change)
    assert copied.checks() & {"manifest", "file", "header", "checkpoint"}


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"a":1}', b"\xff", b"[" * 5000, b'{"a":' * 5000])
@pytest.mark.parametrize("name", ["manifest.json", "person.json", "range.json", "entries.ndjson", "proofs.ndjson"])
def test_the_verifier_does_not_stumble(copied: Archive, name: str, data: bytes) -> None:
    """Over bytes that are nothing of ours: they are a finding."""
    copied.write(name, data + b"\n")
    if name != "manifest.json":
        copied.resign()
    assert copied.check()


def test_a_folder_that_is_no_archive(tmp_path: Path) -> None:
    """Empty, or not there."""
    assert [f.check for f in verifier.check(tmp_path)] == ["manifest"]
    assert [f.check for f in verifier.check(tmp_path / "none")] == ["manifest"]


# checkpoints that were kept elsewhere


def test_the_checkpoint_is_the_log_s_own(copied: Archive) -> None:
    """Not one that was made up with another root, nor one without a line of its key."""
    origin, size, root = copied.data("checkpoint").decode().split("\n")[:3]
    for text, signer in (
        (f"{origin}\n{size}\n{base64.b64encode(bytes(32)).decode()}\n", copied.signer()),
        (f"{origin}\n{size}\n{root}\n", FileSigner(Ed25519PrivateKey.generate())),
        (f"{origin}\n{size}\n{root}\nmore\n", copied.signer()),
        (f"other/log\n{size}\n{root}\n", copied.signer()),
    ):
        forged = note.signed(text, text.partition("\n")[0], signer)
        copied.write("checkpoint", forged.encode())

        def replace(manifest: dict[str, Any], checkpoint: str = forged) -> None:
            manifest["checkpoint"] = checkpoint

        copied.resign(replace)
        assert copied.checks() & {"checkpoint", "proof"}


def test_the_checkpoint_s_file_is_the_manifest_s(copied: Archive, story: Service, tmp_path: Path) -> None:
    """Another one of the same log, signed as well, is another checkpoint."""
    later = make(story, tmp_path / "later", subjects=("ada",))
    copied.write("checkpoint", later.data("checkpoint"))
    copied.resign()
    assert copied.checks() == {"checkpoint"}


def test_an_earlier_checkpoint_is_compared(copied: Archive) -> None:
    """A complete archive gives the root at every size of its range; a fork is seen by it, and a rollback."""
    reader = copied.reader()
    try:
        tree = subtrees(reader, "default")
        name, size = parse_key(copied.vkey).name, int(copied.data("checkpoint").split(b"\n")[1])
        right = [(n, tree.root(0, n)) for n in (1, 5, size)]
    finally:
        reader.close()

    def kept(size: int, root: bytes) -> bytes:
        return note.signed(note.checkpoint_text(name, size, root), name, copied.signer()).encode()

    for at, root in right:
        assert verifier.report(copied.folder, copied.vkey, since=(("kept", kept(at, root)),)).ok
        assert not verifier.report(copied.folder, copied.vkey, since=(("kept", kept(at, bytes(32))),)).ok
    assert not verifier.report(copied.folder, copied.vkey, since=(("kept", kept(size + 1, bytes(32))),)).ok
    assert not verifier.report(copied.folder, copied.vkey, since=(("kept", b"nothing"),)).ok


def test_a_quorum_of_witnesses_can_be_asked_for(archive: Archive) -> None:
    """A policy that nobody's cosignature satisfies is a finding."""
    witness = Ed25519PrivateKey.generate()
    public = FileSigner(witness).public
    key = parse_key(note.vkey("w.example", public))
    vkey = type(key)(key.name, 4, key.public).vkey()
    policy = f"log {archive.vkey}\nwitness w {vkey}\nquorum w\n".encode()
    assert {f.check for f in verifier.check(archive.folder, archive.vkey, policy)} == {"witness"}
    assert verifier.check(archive.folder, archive.vkey, f"log {archive.vkey}\nquorum none\n".encode()) == []
    assert {f.check for f in verifier.check(archive.folder, archive.vkey, b"nonsense\n")} == {"witness"}


def test_the_verifier_agrees_with_the_log(archive: Archive) -> None:
    """Every proof is the one that the log itself would give."""
    reader = archive.reader()
    try:
        size = int(archive.data("checkpoint").split(b"\n")[1])
        tree = subtrees(reader, "default")
        for line in archive.lines("proofs.ndjson"):
            wanted = [base64.b64encode(node).decode() for node in inclusion_proof(tree, line["index"], size)]
            assert line["proof"] == wanted
    finally:
        reader.close()
