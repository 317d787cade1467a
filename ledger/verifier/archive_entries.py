"""The entries of an evidence archive: each in the log by its proof, each opened by its payload and salt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import canonical, entries, leases
from .archive_run import Run, hashes, is_index, need, octets
from .entries import Header
from .errors import Invalid
from .tree import leaf_hash, root_by_inclusion


def read(run: Run) -> None:
    """Every entry of the archive, each with its proof."""
    proofs = _proofs(run)
    proof = next(proofs, None)
    last = -1
    for number, start, line in run.lines("entries.ndjson"):
        value = canonical.parse(line)
        if value is None or value.keys() != {"index", "header", "payload", "salt"} or not is_index(value["index"]):
            run.found(None, None, "entry", f"entries.ndjson: line {number} is not an entry")
            continue
        index = value["index"]
        if index <= last:
            run.found(index, None, "entry", f"entries.ndjson: line {number} is there twice, or not in its place")
            continue
        while proof is not None and proof[0] < index:
            run.found(proof[0], None, "proof", "the proof is of an entry that is not here")
            proof = next(proofs, None)
        path = proof[1] if proof is not None and proof[0] == index else None
        if path is not None:
            proof = next(proofs, None)
        last = index
        _entry(run, index, value, path, (start, len(line)))
    while proof is not None:
        run.found(proof[0], None, "proof", "the proof is of an entry that is not here")
        proof = next(proofs, None)


def _proofs(run: Run) -> Iterator[tuple[int, list[bytes]]]:
    last = -1
    for number, _, line in run.lines("proofs.ndjson"):
        value = canonical.parse(line)
        try:
            index, path = _proof(value)
            need(index > last, "it is there twice, or not in its place")
        except Invalid as exc:
            run.found(None, None, "proof", f"proofs.ndjson: line {number}: {exc}")
            continue
        last = index
        yield index, path


def _entry(run: Run, index: int, value: dict[str, Any], proof: list[bytes] | None, room: tuple[int, int]) -> None:
    data = str(value["header"]).encode()
    header = entries.header(data)
    run.counted["entries"] += 1
    root = root_by_inclusion(leaf_hash(data), index, run.said.size, proof) if proof is not None else None
    if root != run.said.root:
        detail = "it has no proof" if proof is None else "the proof does not lead from it to the checkpoint's root"
        run.found(index, header.id if header else None, "proof", detail)
    if header is None:
        run.found(index, None, "header", "the header is not one that the format has, in its canonical form")
        return
    run.ids.take(index, header.id)
    if header.tenant != run.manifest["tenant"]:
        run.found(index, header.id, "header", f"the entry is of the tenant {header.tenant}")
    payload = _payload(run, index, header, value)
    person = entries.named(header.kind, payload) if payload is not None else None
    if payload is not None:
        _about(run, index, header, person)
    if header.kind == "log.key" and payload is not None:
        for wrong in run.keys.take(index, payload):
            run.found(index, header.id, "key", wrong)
    leans = str(payload["leans_on"]) if payload is not None and leases.is_leased(header.kind, payload) else None
    named = person or (None, None)
    run.scratch.execute(
        "INSERT INTO opened VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (index, header.id, header.kind, *named, *room, payload is not None, value["header"], leans),
    )


def _payload(run: Run, index: int, header: Header, value: dict[str, Any]) -> dict[str, Any] | None:
    if value["payload"] is None and value["salt"] is None:
        run.counted["erased"] += 1
        return None
    payload = str(value["payload"]).encode()
    try:
        salt = octets(value["salt"], 16, "the salt")
        whole = entries.opens(header.commitment, salt, payload)
        need(whole, "payload and salt are not what the header commits to")
    except Invalid as exc:
        run.found(index, header.id, "commitment", str(exc))
    found = entries.payload(payload)
    if found is None:
        run.found(index, header.id, "payload", "the payload is no canonical JSON object")
    return found


def _about(run: Run, index: int, header: Header, named: tuple[str, str] | None) -> None:
    """The tag of an entry, where the person's key is known."""
    person = run.person
    if person is None:
        return
    marked = entries.tag(person.key, header.id) == header.tag
    if marked and named is not None and named != person.named:
        run.found(index, header.id, "about", "by its tag the entry is about the person, by its payload it is not")
    elif named == person.named and not marked and (header.tag is not None or index > person.first):
        run.found(index, header.id, "tag", "the entry is about the person, and its tag is not of their key")


def _proof(value: dict[str, Any] | None) -> tuple[int, list[bytes]]:
    if value is None or value.keys() != {"index", "proof"} or not is_index(value["index"]):
        raise Invalid("it is not a proof")
    return value["index"], hashes(value["proof"])
