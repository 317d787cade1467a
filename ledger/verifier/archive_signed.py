"""What is signed in an evidence archive, and by which key: the manifest with every file, and the checkpoint."""

from __future__ import annotations

from hashlib import sha256

from . import archive_files as files
from . import note
from .archive_run import Run, need
from .errors import Invalid
from .note import Key, Note
from .policy import Policy


def signed_text(manifest_sha256: str) -> str:
    """What the log's key signs for an archive: two lines, so that it can never be taken for a checkpoint of three."""
    return f"muster.evidence/v1\n{manifest_sha256}\n"


def read_manifest(run: Run) -> bytes | None:
    """The bytes of the manifest, which the run knows from here on; None, with a finding, where it is none."""
    try:
        data = files.small(run.folder, files.MANIFEST)
        run.manifest = files.manifest(data)
    except Invalid as exc:
        run.found(None, None, "manifest", f"{files.MANIFEST}: {exc}")
        return None
    return data


def read_files(run: Run) -> None:
    """Every file as the manifest has it, all of them, and no other."""
    listed = run.manifest["files"]
    proved = run.manifest["completeness"]["proved"]
    wanted = {*files.ALWAYS, *(files.COMPLETE if proved else ())}
    for name in sorted(wanted - listed.keys()):
        run.found(None, None, "file", f"the manifest does not list {name}")
    for name in sorted(listed.keys() - wanted):
        run.found(None, None, "file", f"the manifest lists {name}, which this archive does not have")
    for name in sorted(
        {path.name for path in run.folder.iterdir()} - listed.keys() - {files.MANIFEST, files.SIGNATURE}
    ):
        run.found(None, None, "file", f"{name} is there, and not in the manifest")
    for name in sorted(wanted & listed.keys()):
        try:
            run.digests[name], size = files.digest(run.folder, name, listed[name]["bytes"])
        except Invalid as exc:
            run.found(None, None, "file", str(exc))
            continue
        if (run.digests[name], size) != (listed[name]["sha256"], listed[name]["bytes"]):
            detail = f"{size} bytes of SHA-256 {run.digests[name]}; the manifest says"
            detail += f" {listed[name]['bytes']} of {listed[name]['sha256']}"
            run.found(None, None, "file", f"{name} is not the one of the manifest: {detail}")


def read_checkpoint(run: Run) -> Note | None:
    """The checkpoint that all proofs lead to; who signed it is judged when the log's keys are known."""
    text = run.manifest["checkpoint"].encode()
    if "checkpoint" in run.digests and run.digests["checkpoint"] != sha256(text).hexdigest():
        run.found(None, None, "checkpoint", "the file `checkpoint` is not the manifest's")
    try:
        parsed = note.parse(text)
        run.said = note.parse_checkpoint(parsed.text)
    except Invalid as exc:
        run.found(None, None, "checkpoint", str(exc))
        return None
    if run.said.origin != run.manifest["origin"]:
        run.found(None, None, "checkpoint", f"it is of {run.said.origin}, the archive of {run.manifest['origin']}")
    return parsed


def signing_key(run: Run) -> Key | None:
    """The key that the log names for this checkpoint, if what the auditor holds leads to it."""
    here = run.small("log.vkey", lambda data: note.parse_key(note.key_text(data)))
    named = run.keys.newest
    if named is None:
        run.found(None, None, "key", "the archive holds no entry of the log that names its key")
    elif here is not None and here != named:
        run.found(None, None, "key", f"log.vkey is {here.vkey()}, the log names {named.vkey()}")
    if not run.vkeys:
        if here is not None:
            run.told.append(f"the key came with the archive: compare it with one from elsewhere: {here.vkey()}")
        return named or here
    try:
        trusted, *former = [note.parse_key(text) for text in run.vkeys]
    except Invalid as exc:
        run.found(None, None, "key", f"the key that was given: {exc}")
        return named or here
    for given in (trusted, *former):
        if given not in run.keys.known():
            run.found(None, None, "key", f"the log does not name the key that was given, {given.vkey()}")
    if trusted not in run.keys.known():
        return trusted
    if trusted != named and named is not None:
        run.told.append(f"the key that was given has handed over since, to {named.vkey()}")
    return named


def check_signature(run: Run, data: bytes, key: Key | None) -> None:
    """That the log's key signed this manifest."""
    try:
        signed = note.parse(files.small(run.folder, files.SIGNATURE))
        need(signed.text == signed_text(sha256(data).hexdigest()), "it is of another manifest than this one")
        need(_made_by(key, signed), f"it is not one of {key.vkey() if key else 'any key that is known'}")
    except Invalid as exc:
        run.found(None, None, "signature", f"{files.SIGNATURE}: {exc}")


def check_checkpoint(run: Run, checkpoint: Note, key: Key | None, policy: bytes | None) -> None:
    """That the log's key signed the checkpoint, and the quorum of a policy cosigned it."""
    try:
        need(_made_by(key, checkpoint), f"it is not signed by {key.vkey() if key else 'any key that is known'}")
        need(key is not None and key.name == run.said.origin, f"it is of {run.said.origin}, the key is not")
    except Invalid as exc:
        run.found(None, None, "checkpoint", str(exc))
    if policy is None:
        return
    try:
        need(Policy.parse(policy).satisfied(checkpoint), "the quorum of the policy has not cosigned it")
    except Invalid as exc:
        run.found(None, None, "witness", f"the checkpoint of {run.said.size} entries: {exc}")


def size_of(kept: tuple[str, bytes]) -> int | None:
    """The size of a checkpoint that was kept; None where it is none, which `compare` tells."""
    try:
        return note.parse_checkpoint(note.parse(kept[1]).text).size
    except Invalid:
        return None


def compare(run: Run, where: str, data: bytes) -> None:
    """A checkpoint that was kept elsewhere: the log has to begin with it."""
    try:
        signed = note.parse(data)
        old = note.parse_checkpoint(signed.text)
        need(bool(note.verify(signed, run.keys.known())), "it is not signed by a key of this log")
    except Invalid as exc:
        run.found(None, None, "checkpoint", f"{where}: {exc}")
        return
    run.roots[run.said.size] = run.said.root
    if old.size > run.said.size:
        detail = f"{where} has {old.size} entries, the archive's {run.said.size}: rolled back, or kept later"
        run.found(None, None, "checkpoint", detail)
    elif old.size not in run.roots:
        run.told.append(f"{where} cannot be compared by an archive of another size: check the log's tiles by it")
    elif run.roots[old.size] != old.root:
        run.found(None, None, "checkpoint", f"{where}: the first {old.size} entries are other ones: forked")


def _made_by(key: Key | None, signed: Note) -> bool:
    return key is not None and key in note.verify(signed, [key])
