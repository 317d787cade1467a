"""What the ledger's pages tell: a log, its checkpoints and witnesses, an entry, and its proof, computed again here.

Values for the templates, read from the ledger. Whatever in them was written by somebody else is plain text, and is
escaped where it is rendered. What cannot be read or does not verify is told as such; nothing here repairs anything.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any, Final

from fastapi import Request

from engine.decide import joined
from engine.publishing.alarms import Alarm
from engine.publishing.checkpoints import Checkpoints
from engine.publishing.outside import subtrees
from engine.runtime import DEFAULT_TENANT
from engine.web.auditor import Auditor
from engine.web.proofpath import Drawing, Path, drawing, path
from ledger.entry import commitment, parse_header
from ledger.errors import LedgerError
from ledger.ids import is_uuid7
from ledger.merkle import inclusion_proof
from ledger.model import JSON, Entry, StoredCheckpoint
from ledger.verifier.errors import Invalid
from ledger.verifier.note import Checkpoint, opened, parse
from ledger.verifier.tree import leaf_hash, root_by_inclusion

PAGE: Final = 10
_MOST_NAMED: Final = 50
_MOST_TRIED: Final = 500
"""What a payload may make us look up: most IDs in it are of tokens and people, and not of entries."""
_LOOKED_AHEAD: Final = 20_000
"""How far behind an erased entry its erasure is looked for: what is further off is found by the entry's index there."""
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")
_UNSEEN: Final = re.compile("[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A checkpoint of a list. `said` is None where the stored note is none; `satisfied` where there is no policy."""

    stored: StoredCheckpoint
    said: Checkpoint | None
    witnesses: tuple[str, ...]
    satisfied: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """An entry's proof to a checkpoint. `whole` where the root it leads to is the checkpoint's.

    `signed` where the key that the log names now has signed the checkpoint.
    """

    checkpoint: StoredCheckpoint
    said: Checkpoint
    hashes: tuple[bytes, ...]
    way: Path
    drawn: Drawing
    whole: bool
    signed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What an entry says, and whether its header's commitment opens to it."""

    text: str
    salt: str
    opens: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The decision that a leased one leans on, and what the two say together.

    `entry` is None where it is not there, `text` where it is no whole decision, or was erased.
    """

    entry: Entry | None
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Another entry that an entry's payload names, and where."""

    where: str
    entry: Entry


def identity(auditor: Auditor) -> dict[str, str] | None:
    """What the log is called and who signs it; None before its first checkpoint."""
    key = auditor.services.checkpoints.key(auditor.tenant)
    if key is None:
        return None
    digest = sha256(key.vkey().encode()).hexdigest()[:32]
    short = " ".join(digest[n : n + 4] for n in range(0, len(digest), 4))
    return {"origin": key.name, "vkey": key.vkey(), "fingerprint": short}


def checkpoints(auditor: Auditor, before: int) -> tuple[list[Shown], int | None]:
    """A page of checkpoints of a size below `before`, the newest first, and where the next page begins."""
    found = auditor.services.runtime.reader.checkpoints(auditor.tenant, before, PAGE + 1)
    following = found[PAGE - 1].size if len(found) > PAGE else None
    return [_shown(auditor, stored) for stored in found[:PAGE]], following


def _shown(auditor: Auditor, stored: StoredCheckpoint) -> Shown:
    policy = auditor.services.witnesses.policy
    try:
        said: Checkpoint | None = Checkpoints.read(stored)
        satisfied = policy.satisfied(parse(stored.note.encode())) if policy is not None else None
    except Invalid:
        said, satisfied = None, False
    names = tuple(line.split(" ")[1] for line in stored.cosignatures)
    return Shown(stored=stored, said=said, witnesses=names, satisfied=satisfied)


def alarms(auditor: Auditor) -> tuple[Alarm, ...]:
    """The alarms of a fork that stand."""
    return auditor.services.witnesses.alarms.of(auditor.tenant)


def commands(auditor: Auditor, request: Request, entry_id: str | None = None) -> list[tuple[str, str]]:
    """What to type to check it oneself: (key of the sentence, command). Each works as it stands."""
    known, tenant = identity(auditor), auditor.tenant
    of = f" --tenant {shlex.quote(tenant)}" if tenant != DEFAULT_TENANT else ""
    bearer = "" if auditor.services.runtime.settings.log.open else '-H "Authorization: Bearer $MUSTER_TOKEN" '
    wanted = entry_id or "ID"
    told = [
        ("ledger-check-verify", f"muster ledger verify{of}"),
        ("ledger-check-prove", f"muster ledger prove {wanted}{of} --out {wanted}.tlog-proof"),
        ("ledger-check-export", f"muster ledger export{of} --tiles DIR"),
        ("ledger-check-curl", f"curl -fsS {bearer}{_base(auditor, request)}/tlog/{tenant}/checkpoint"),
    ]
    if known is not None:
        quoted = shlex.quote(known["vkey"])
        told.append(("ledger-check-offline", f"muster-verify DIR --key {quoted}"))
        told.append(("ledger-check-fingerprint", f"printf %s {quoted} | sha256sum | cut -c-32"))
    return told


def _base(auditor: Auditor, request: Request) -> str:
    """Where the service is reached: its public address, or where this very page was."""
    settings, host = auditor.services.runtime.settings, request.headers.get("host", "")
    if settings.public_url is None and _HOST.fullmatch(host):
        return f"{request.url.scheme}://{host}"
    return settings.base_url


def pretty(value: JSON) -> str:
    """JSON to be read. What cannot be seen, or turns the order of what can, stands as its escape."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def header(entry: Entry) -> dict[str, Any]:
    """An entry's header: pretty, as its bytes are, and the commitment; raises Malformed where it is none."""
    parsed, raw = parse_header(entry.header), entry.header.decode()
    return {"pretty": pretty(json.loads(raw)), "raw": raw, "commitment": parsed.commitment}


def payload(entry: Entry) -> Payload | None:
    """What an entry says; None where it was erased."""
    if entry.payload is None or entry.salt is None:
        return None
    opens = commitment(entry.salt, entry.payload) == parse_header(entry.header).commitment
    return Payload(text=pretty(json.loads(entry.payload)), salt=entry.salt.hex(), opens=opens)


def lease(auditor: Auditor, entry: Entry) -> Lease | None:
    """What a leased decision leans on; None for any other entry."""
    if entry.kind != "decision" or entry.payload is None or not joined.is_leased(entry.value):
        return None
    first = auditor.services.runtime.reader.entry(auditor.tenant, str(entry.value["leans_on"]))
    if first is None or first.kind != "decision" or first.payload is None or joined.is_leased(first.value):
        return Lease(entry=first, text=None)
    return Lease(entry=first, text=pretty(joined.whole(entry.value, first.value)))


def named(auditor: Auditor, entry: Entry) -> list[Named]:
    """The entries that a payload names, each once, in the order of the payload, at most so many."""
    told = json.loads(entry.payload) if entry.payload is not None else None
    places: dict[str, str] = {}
    for where, text in islice(_ids("", told), _MOST_TRIED):
        places.setdefault(text, where)
    reader = auditor.services.runtime.reader
    found = ((reader.entry(auditor.tenant, text), where) for text, where in places.items() if text != entry.id)
    return list(islice((Named(where=where, entry=other) for other, where in found if other), _MOST_NAMED))


def _ids(where: str, value: JSON) -> Iterator[tuple[str, str]]:
    """Every value that could be an entry's ID, with its place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _ids(f"{where}.{key}" if where else key, inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _ids(f"{where}[{number}]", inner)
    elif is_uuid7(value):
        yield where, str(value)


def erasure(auditor: Auditor, entry: Entry) -> Entry | None:
    """The entry that says that this one was erased, if it is not too far behind it."""
    reader = auditor.services.runtime.reader
    stop = min(entry.index + _LOOKED_AHEAD, auditor.size)
    for found in reader.of_kind(auditor.tenant, ["erasure"], entry.index + 1, stop):
        indices = found.value["indices"] if found.payload is not None else None
        if isinstance(indices, list) and entry.index in indices:
            return found
    return None


async def proof(auditor: Auditor, entry: Entry) -> Proof | None:
    """An entry's proof, checked here; None where it cannot even be made: the stored tree is broken.

    Who is signed in gets a checkpoint made where none covers the entry yet, as by the API; others see only what is.
    """
    found = auditor.services.checkpoints
    if auditor.signed_in:
        stored = await found.covering(auditor.tenant, entry.index + 1)
    else:
        stored = found.newest(auditor.tenant)
    try:
        said = found.read(stored)
        tree = subtrees(auditor.services.runtime.reader, auditor.tenant)
        hashes = inclusion_proof(tree, entry.index, said.size)
        way = path(entry.header, entry.index, said.size, hashes)
    except (Invalid, LedgerError):
        return None
    return Proof(
        checkpoint=stored,
        said=said,
        hashes=tuple(hashes),
        way=way,
        drawn=drawing(way),
        whole=root_by_inclusion(leaf_hash(entry.header), entry.index, said.size, hashes) == said.root,
        signed=_signed(auditor, stored),
    )


def _signed(auditor: Auditor, stored: StoredCheckpoint) -> bool:
    key = auditor.services.checkpoints.key(auditor.tenant)
    try:
        return key is not None and opened(stored.note.encode(), key)[0].size == stored.size
    except Invalid:
        return False
