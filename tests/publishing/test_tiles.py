"""The log as tlog-tiles: the same bytes as others write, accepted by readers that nobody here wrote."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadRequest, Conflict
from engine.publishing.keys import read_key
from engine.publishing.outside import subtrees
from engine.publishing.tiles import export
from ledger import note, tiles
from ledger.errors import Malformed
from ledger.ids import uuid7
from ledger.merkle import inclusion_proof
from ledger.model import JSON, Published, StoredCheckpoint
from ledger.note import FileSigner
from ledger.sqlite import SqliteLedger
from ledger.verifier import tiles as verifier
from ledger.verifier import tree
from ledger.verifier.note import Key, parse_key
from tests.ledger.builders import TENANT, activation, draft, one
from tests.service.running import Service, until
from tests.thirdparty import tools as others
from tests.thirdparty.conftest import tools

__all__ = ["tools"]

ORIGIN = "log.example/tlog/default"
_MUTABLE = ("text/plain; charset=utf-8", "max-age=5")
SIZES = (1, 2, 255, 256, 257, 600, 66_000)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[SqliteLedger, FileSigner, str]:
    """A ledger of its own with a key in the spelling of others; it grows from test to test."""
    skey, _ = others.new_key(ORIGIN)
    ledger = SqliteLedger(tmp_path_factory.mktemp("log") / "ledger.db", synchronous="OFF")
    ledger.submit(one(activation())).result(timeout=20)
    return ledger, read_key(skey, "test"), skey


def _grow(ledger: SqliteLedger, size: int) -> None:
    instants: dict[str, JSON] = {"starts_at": "2026-11-23T12:00:00.000Z", "ends_at": "2026-11-23T13:00:00.000Z"}
    window: dict[str, JSON] = {**instants, "resources": []}
    missing = size - ledger.reader().head(TENANT).size
    futures = [
        ledger.submit(one(*[draft("change_window", dict(window)) for _ in range(min(500, missing - start))]))
        for start in range(0, missing, 500)
    ]
    for future in futures:
        future.result(timeout=60)


def _checkpoint(ledger: SqliteLedger, signer: FileSigner) -> tuple[Key, StoredCheckpoint]:
    head = ledger.reader().head(TENANT)
    text = note.signed(note.checkpoint_text(ORIGIN, head.size, head.root), ORIGIN, signer)
    at = head.newest_at or ""
    ledger.keep(Published(tenant=TENANT, size=head.size, root=head.root, at=at, note=text)).result(timeout=20)
    stored = ledger.reader().checkpoint(TENANT)
    assert stored is not None
    return parse_key(note.vkey(ORIGIN, signer.public)), stored


def _export(ledger: SqliteLedger, signer: FileSigner, folder: Path) -> int:
    key, stored = _checkpoint(ledger, signer)
    return export(ledger.reader(), TENANT, key, stored, folder, lambda _done, _total: None).files


def test_an_export_grows_and_stays_what_others_write(
    log: tuple[SqliteLedger, FileSigner, str], tools: Path, tmp_path: Path
) -> None:
    """At each size: byte for byte Tessera's own directory; fsck, a Go checker, aics-tlog and tlog-scales accept it."""
    assert tools
    ledger, signer, skey = log
    folder, before = tmp_path / "export", -1
    for size in SIZES:
        _grow(ledger, size)
        files = _export(ledger, signer, folder)
        assert files > 0
        fresh = tmp_path / f"fresh-{size}"
        assert _export(ledger, signer, fresh) >= files
        starts = range(0, size, 256)
        entries = [header for start in starts for header in ledger.reader().headers(TENANT, start, start + 256)]
        theirs = tmp_path / f"theirs-{size}"
        others.oneshot(theirs, skey, entries)
        assert others.published(fresh) == others.published(theirs)
        ours = others.published(folder)
        # What a checkpoint of an earlier size needed may be there still; what this one needs is there.
        assert others.published(fresh).items() <= ours.items()
        vkey = folder / "log.vkey"
        assert others.fsck(folder, vkey)
        assert others.checker(folder, vkey, old=tmp_path / f"kept-{before}" if before > 0 else None)
        assert others.aics_audit(folder, vkey)
        assert others.scales_root(folder, vkey)
        assert verifier.check(folder, vkey.read_text()).ok
        (tmp_path / f"kept-{size}").write_bytes((folder / "checkpoint").read_bytes())
        before = size
    assert _export(ledger, signer, folder) == 0


def test_a_proof_is_verified_by_others(log: tuple[SqliteLedger, FileSigner, str], tools: Path, tmp_path: Path) -> None:
    """A .tlog-proof of ours, for the first, a middle and the last entry, and for no other entry."""
    assert tools
    ledger, signer, _ = log
    key, stored = _checkpoint(ledger, signer)
    vkey = tmp_path / "vkey"
    vkey.write_text(key.vkey())
    reader = ledger.reader()
    for index in {0, stored.size // 2, stored.size - 1}:
        hashes = inclusion_proof(subtrees(reader, TENANT), index, stored.size)
        proof, entry = tmp_path / "p.tlog-proof", tmp_path / "entry"
        proof.write_text(note.proof_text(index, hashes, stored.note))
        [header] = reader.headers(TENANT, index, index + 1)
        for data, good in ((header, True), (header + b" ", False)):
            entry.write_bytes(data)
            assert others.checker(None, vkey, proof=proof, entry=entry) is good
            assert others.aics_verify_proof(proof, entry, vkey) is good


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda folder: _flip(folder / "tile/entries/000", 3), "header"),
        (lambda folder: _flip(folder / "tile/entries/002.p/88", 300), "root"),
        (lambda folder: _flip(folder / "tile/0/001", 77), "tile"),
        (lambda folder: _flip(folder / "tile/1/000.p/2", 40), "tile"),
        (lambda folder: _flip(folder / "checkpoint", 40), "checkpoint"),
        (lambda folder: _flip(folder / "log.vkey", -3), "checkpoint"),
        (lambda folder: (folder / "tile/0/000").unlink(), "tile"),
        (lambda folder: (folder / "tile/entries/001").unlink(), "index"),
        (lambda folder: (folder / "checkpoint").unlink(), "storage"),
        (lambda folder: _swap(folder / "tile/entries/000", folder / "tile/entries/001"), "root"),
        (lambda folder: _append(folder / "tile/entries/000"), "index"),
        (lambda folder: _append(folder / "tile/0/000"), "tile"),
    ],
)
def test_a_changed_file_is_named(tmp_path: Path, change: Callable[[Path], object], check: str) -> None:
    """Entries, tiles, checkpoint and key: flipped, swapped, longer or gone."""
    ledger = SqliteLedger(tmp_path / "ledger.db", synchronous="OFF")
    ledger.submit(one(activation())).result(timeout=20)
    _grow(ledger, 600)
    _export(ledger, read_key(others.new_key(ORIGIN)[0], "test"), tmp_path / "export")
    ledger.close()
    assert verifier.check(tmp_path / "export").ok
    change(tmp_path / "export")
    report = verifier.check(tmp_path / "export")
    assert check in {finding.check for finding in report.findings}, report.findings[:3]


def test_a_rewritten_log_is_revealed_by_an_older_checkpoint_only(tmp_path: Path) -> None:
    """Made anew whole and signed with the right key it is faultless, until it is held against one that was kept."""
    signer = read_key(others.new_key(ORIGIN)[0], "test")
    kept = b""
    for name in ("first", "second"):
        ledger = SqliteLedger(tmp_path / f"{name}.db", synchronous="OFF")
        ledger.submit(one(activation())).result(timeout=20)
        _grow(ledger, 300 if name == "first" else 400)
        _export(ledger, signer, tmp_path / name)
        ledger.close()
        kept = kept or (tmp_path / name / "checkpoint").read_bytes()
    vkey = note.vkey(ORIGIN, signer.public)
    assert verifier.check(tmp_path / "second", vkey).ok
    forked = verifier.check(tmp_path / "second", vkey, since=(("kept", kept),))
    assert [finding.check for finding in forked.findings] == ["checkpoint"]
    assert "forked" in forked.findings[0].detail
    newer = (tmp_path / "second" / "checkpoint").read_bytes()
    behind = verifier.check(tmp_path / "first", vkey, since=(("kept", newer),))
    assert "rolled back" in behind.findings[0].detail


@given(st.integers(0, 10**15), st.sampled_from([None, 0, 1, 5, 63]), st.integers(1, 256))
def test_a_path_leads_to_its_tile_and_back(number: int, level: int | None, width: int) -> None:
    """For every tile there is one path, and no other spelling of it."""
    tile = tiles.Tile(level, number, width)
    assert tiles.parse(tile.path) == tile
    for wrong in (tile.path + "/", tile.path.replace("tile/", "tile/0"), f"{tile.path}.p/0", tile.path.upper()):
        with pytest.raises(Malformed):
            tiles.parse(wrong)


@pytest.mark.parametrize(
    "path",
    ["tile/0/1", "tile/0/0001", "tile/0/x000/001", "tile/00/001", "tile/64/001", "tile/0/001.p/256",
     "tile/0/001.p/257", "tile/0/001.p/0",
     "tile/0/001.p/01", "tile/entries/../001", "tile/data/001", "tile/-1/001", "tile/0/x1/001", "tile/0/001/002"],
)  # fmt: skip
def test_no_other_path_is_a_tile(path: str) -> None:
    """As in the specification, digit by digit."""
    with pytest.raises(Malformed):
        tiles.parse(path)


def test_the_tiles_of_the_specification() -> None:
    """70,000 entries have the tiles that the specification counts, and so do 256, 1 and 0."""
    paths = [tile.path for tile in tiles.tiles(70_000)]
    assert len(paths) == 2 * 274 + 3
    assert {"tile/0/272", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"} <= set(paths)
    assert [tile.path for tile in tiles.tiles(256)] == ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]
    assert [tile.path for tile in tiles.tiles(1)] == ["tile/entries/000.p/1", "tile/0/000.p/1"]
    assert list(tiles.tiles(0)) == []


def test_a_foreign_folder_is_left_as_it_is(tmp_path: Path) -> None:
    """Another log's folder, a later one, tiles without a checkpoint: refused, and not a byte of it changed."""
    signer, ledgers = read_key(others.new_key(ORIGIN)[0], "test"), {}
    for name, size in (("one", 300), ("two", 280), ("three", 500)):
        ledgers[name] = SqliteLedger(tmp_path / f"{name}.db", synchronous="OFF")
        ledgers[name].submit(one(activation())).result(timeout=20)
        _grow(ledgers[name], size)
    _export(ledgers["one"], signer, tmp_path / "export")
    before = others.published(tmp_path / "export")
    with pytest.raises(Conflict, match="rolled back"):
        _export(ledgers["two"], signer, tmp_path / "export")
    with pytest.raises(Conflict, match="another log"):
        _export(ledgers["three"], signer, tmp_path / "export")
    stranger = read_key(others.new_key(ORIGIN)[0], "test")
    (tmp_path / "export" / "log.vkey").unlink()
    with pytest.raises(BadRequest, match="not a checkpoint of this log"):
        _export_as(ledgers["one"], stranger, tmp_path)
    (tmp_path / "export" / "checkpoint").unlink()
    with pytest.raises(BadRequest, match="empty folder"):
        _export(ledgers["three"], signer, tmp_path / "export")
    del before["checkpoint"]
    assert {p: d for p, d in _files(tmp_path / "export").items() if p.startswith("tile/")} == before
    for ledger in ledgers.values():
        ledger.close()


def test_the_log_is_served_as_tiles(new_service: Callable[[], Service], tools: Path, tmp_path: Path) -> None:
    """Over HTTP the same bytes as in a folder, for auditors' tokens; caches may keep what cannot change."""
    assert tools
    service = new_service()
    service.env |= {"MUSTER_PUBLIC_URL": "https://muster.example", "MUSTER_CHECKPOINT_SECONDS": "1"}
    service.start()
    service.person("ada")
    for _ in range(300):
        service.decide("ada")
    service.muster("ledger", "export", "--tiles", str(tmp_path / "export"))
    assert others.fsck(tmp_path / "export", tmp_path / "export" / "log.vkey")
    assert (tmp_path / "export" / "checkpoint").read_text().startswith("muster.example/tlog/default\n")
    for path, data in others.published(tmp_path / "export").items():
        answer = service.http("GET", f"/tlog/default/{path}", role="auditor")
        assert (answer.status_code, answer.content) == (200, data), path
        lasting = path != "checkpoint"
        kind, keep = ("application/octet-stream", "max-age=31536000, immutable") if lasting else _MUTABLE
        assert (answer.headers["content-type"], answer.headers["cache-control"]) == (kind, f"private, {keep}")
    for path in ("tile/0/009", "tile/0/000.p/257", "tile/1/001", "tile/entries/001.p/255", "tile/%2e%2e/checkpoint"):
        assert service.http("GET", f"/tlog/default/{path}", role="auditor").status_code == 404, path
    assert service.http("GET", "/tlog/default/checkpoint").status_code == 401
    assert service.http("GET", "/tlog/default/checkpoint", role="gateway").status_code == 403
    assert service.http("GET", "/tlog/other/checkpoint", role="auditor").status_code == 403


def test_an_open_log_is_anybodys(new_service: Callable[[], Service]) -> None:
    """Where it is configured so, without a token, and caches may share it."""
    service = new_service()
    service.env |= {"MUSTER_TLOG_OPEN": "yes", "MUSTER_CHECKPOINT_SECONDS": "1"}
    service.start()

    def checkpoint() -> httpx.Response | None:
        answer = service.http("GET", "/tlog/default/checkpoint")
        return answer if answer.status_code == 200 else None

    assert until(checkpoint, "a checkpoint by itself").headers["cache-control"] == "public, max-age=5"
    assert service.http("GET", "/tlog/nobody/checkpoint").status_code == 404


def test_proofs_come_with_their_checkpoint(new_service: Callable[[], Service], tools: Path, tmp_path: Path) -> None:
    """By command and over HTTP: others verify the proof against the entry's header; consistency leads to older ones."""
    assert tools
    service = new_service().start()
    service.person("ada")
    asked = service.decide("ada")["decision_id"]
    proof, entry, vkey = tmp_path / "p.tlog-proof", tmp_path / "entry", tmp_path / "vkey"
    service.muster("ledger", "prove", asked, "--out", str(proof))
    told = json.loads(service.muster("ledger", "prove", asked, "--json").stdout)
    entry.write_text(told["header"])
    vkey.write_text(told["checkpoint"]["vkey"])
    assert others.checker(None, vkey, proof=proof, entry=entry)
    assert others.aics_verify_proof(proof, entry, vkey)
    served = service.http("GET", f"/v1/ledger/proofs/inclusion?id={asked}&format=tlog-proof", role="auditor")
    assert served.text == proof.read_text()
    assert service.muster("ledger", "prove", uuid7(), want=2).stderr
    old = told["checkpoint"]["size"]
    service.decide("ada")
    new = service.call("auditor", "POST", "/v1/ledger/checkpoint")["size"]
    shown = service.call("auditor", "GET", f"/v1/ledger/proofs/consistency?from={old}")
    assert (shown["from"], shown["to"]) == (old, new)
    roots = [b64decode(shown[name]["root"]) for name in ("old_checkpoint", "checkpoint")]
    assert tree.consistent(old, new, [bytes.fromhex(node) for node in shown["proof"]], *roots)
    assert service.http("GET", f"/v1/ledger/proofs/consistency?from={new + 1}", role="auditor").status_code == 400
    listed = service.call("auditor", "GET", "/v1/ledger/checkpoints?limit=1")
    assert [found["size"] for found in listed["checkpoints"]] == [new]
    assert listed["next"] == new


def _flip(path: Path, byte: int) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)


def _swap(one_path: Path, other: Path) -> None:
    first, second = one_path.read_bytes(), other.read_bytes()
    one_path.write_bytes(second)
    other.write_bytes(first)


def _append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x" * 32)


def _files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _export_as(ledger: SqliteLedger, signer: FileSigner, tmp_path: Path) -> None:
    """With another key than the log was signed by so far."""
    stored = ledger.reader().checkpoint(TENANT)
    assert stored is not None
    key = parse_key(note.vkey(ORIGIN, signer.public))
    export(ledger.reader(), TENANT, key, stored, tmp_path / "export", lambda _done, _total: None)
