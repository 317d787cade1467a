"""Other people's transparency-log tools as functions that say yes or no of a log's directory.

Owns how each tool must be run so that its answer can be believed. A tool that could not be run at all is an error here
and never a no: otherwise a test that expects a refusal would pass on a machine without the tool.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.service.running import until

TESSERA: Final = "v1.0.4"
SECONDS: Final = 120.0
_REFUSED: Final = 10  # what our scripts exit with: Python itself ends with 1 where it cannot import, say
_SUCCESS: Final = re.compile(r"^I\d{4} \S+ +\d+ fsck\.go:\d+\] Successfully fsck'd log with size \d+ and root ", re.M)

_SCRIPT: Final = """
import sys
from pathlib import Path
{imports}
try:
{body}
except Exception as exc:
    print(f"refused: {{exc!r}}", file=sys.stderr)
    sys.exit(10)
"""
_AUDIT: Final = """
    folder, vkey = Path(sys.argv[1]), aics_tlog.read_vkey_file(Path(sys.argv[2]).read_text())
    note = aics_tlog.parse_note((folder / "checkpoint").read_bytes())
    found = aics_tlog.verify_checkpoint(note, vkey, expected_origin=vkey.name)
    assert found.ok, found.error
    aics_tlog.audit_tiles(aics_tlog.FileSystemTileReader(folder), found.size, found.root)
"""
# aics-tlog does not read .tlog-proof files: its frame is cut here, and everything in it judged there.
_PROOF: Final = """
    head, checkpoint = Path(sys.argv[1]).read_text().split("\\n\\n", 1)
    first, *lines = head.split("\\n")
    assert first == "c2sp.org/tlog-proof@v1"
    lines = lines[1:] if lines[0].startswith("extra ") else lines
    word, index = lines[0].split(" ")
    assert word == "index" and index == str(int(index))
    vkey = aics_tlog.read_vkey_file(Path(sys.argv[3]).read_text())
    witnesses = [aics_tlog.parse_vkey(text) for text in sys.argv[4:]]
    note = aics_tlog.parse_note(checkpoint)
    found = aics_tlog.verify_checkpoint(note, vkey, witnesses, len(witnesses), expected_origin=vkey.name)
    assert found.ok, found.error
    path = [b64_decode(line) for line in lines[1:]]
    assert aics_tlog.verify_leaf_inclusion(Path(sys.argv[2]).read_bytes(), int(index), found.size, path, found.root)
"""
_SCALES: Final = """
    reader = TilesReader(LocalBackend(Path(sys.argv[1]).absolute()))
    checkpoint = reader.get_checkpoint()
    checkpoint.verify(Vkey.from_string(Path(sys.argv[2]).read_text().strip()))
    assert reader.calculate_root_hash() == checkpoint.root_hash, "the tiles have another root"
    for index in {*range(0, checkpoint.size, max(1, checkpoint.size // 512)), checkpoint.size - 1} - {-1}:
        path = reader.get_inclusion_proof(index, checkpoint.size)
        path.check(leaf_hash(reader.get_entry(index)), checkpoint.root_hash)
"""


def home() -> Path:
    """Where `install.sh` puts the tools."""
    return Path(os.environ.get("MUSTER_CACHE", Path.home() / ".cache" / "muster")) / "tlog"


def install() -> None:
    """Install what is missing; an error where that is not possible."""
    script = Path(__file__).with_name("install.sh")
    done = subprocess.run([script], env={**os.environ, "PYTHON": sys.executable}, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, f"{script.name} failed ({done.returncode}): {done.stderr.decode()}"


def new_key(name: str) -> tuple[str, str]:
    """A log's fresh Ed25519 key: (skey, vkey)."""
    key = Ed25519PrivateKey.generate()
    public = b"\x01" + key.public_key().public_bytes_raw()
    key_id = hashlib.sha256(name.encode() + b"\n" + public).hexdigest()[:8]
    identity = f"{name}+{key_id}"
    secret = base64.b64encode(b"\x01" + key.private_bytes_raw()).decode()
    return f"PRIVATE+KEY+{identity}+{secret}", f"{identity}+{base64.b64encode(public).decode()}"


def oneshot(directory: Path, skey: str, entries: Sequence[bytes]) -> None:
    """Write a log by Tessera's own writer, or add to one that it has written; its `.state/` is no part of the log."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        key, waiting = Path(folder) / "skey", Path(folder) / "entries"
        key.touch(0o600)
        key.write_text(skey)
        waiting.mkdir()
        for number, entry in enumerate(entries):
            (waiting / f"{number:08d}").write_bytes(entry)  # taken in the order of their names
        words = (f"--storage_dir={directory.absolute()}", f"--private_key={key}", "--entries=*")
        done = _run([_tessera("posix-oneshot"), *words], cwd=waiting)
    assert done.returncode == 0, f"posix-oneshot: {done.stderr}"


def published(directory: Path) -> dict[str, bytes]:
    """What a log's directory publishes now, by path: the checkpoint, and what `tile/` has but partial tiles outgrown.

    Those are left out because Tessera leaves some: its writer takes what comes in a tenth of a second as a batch.
    """
    tiles = {path for path in (directory / "tile").rglob("*") if path.is_file()}
    partial = {path for path in tiles if path.parent.suffix == ".p"}
    widest = {path.parent: max(path.parent.iterdir(), key=lambda one: int(one.name)) for path in partial}
    outgrown = {path for path in partial if path.parent.with_suffix("") in tiles or widest[path.parent] != path}
    files = [directory / "checkpoint", *sorted(tiles - outgrown)]
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def fsck(directory: Path, vkey: Path, *, seconds: float = SECONDS) -> bool:
    """Tessera's fsck; its exit status is 0 whatever it found, and some damage makes it wait for ever: that is a no."""
    _there(directory, vkey)
    words = ("-ui=false", "-N=64", f"-public_key={vkey}", f"-storage_url=file://{directory.absolute()}")
    try:
        done = _run([_tessera("fsck"), *words], seconds=seconds)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and _SUCCESS.search(done.stderr) is not None


def checker(
    directory: Path | None,
    vkey: Path,
    *,
    proof: Path | None = None,
    entry: Path | None = None,
    old: Path | None = None,
    witnesses: Sequence[str] = (),
) -> bool:
    """Our checker on Go's libraries: a directory, and how a .tlog-proof and an older checkpoint stand to it.

    Every witness must have cosigned the proof's checkpoint, or the directory's where no proof is given.
    """
    _there(directory, vkey, proof, entry, old)
    named = {"dir": directory, "vkey": vkey, "proof": proof, "entry": entry, "old": old}
    words = [f"-{name}={path}" for name, path in named.items() if path is not None]
    return _said(_run([home() / "checker", *words, *(f"-witness={witness}" for witness in witnesses)]), refused=1)


def aics_audit(directory: Path, vkey: Path) -> bool:
    """aics-tlog on a whole directory: checkpoint, every tile, every bundle."""
    _there(directory, vkey)
    return _python("import aics_tlog", _AUDIT, directory, vkey)


def aics_verify_proof(proof: Path, entry: Path, vkey: Path, *, witnesses: Sequence[str] = ()) -> bool:
    """aics-tlog on a .tlog-proof and the entry's raw bytes; every witness must have cosigned."""
    _there(proof, entry, vkey)
    imports = "import aics_tlog\nfrom aics_tlog.note import b64_decode"
    return _python(imports, _PROOF, proof, entry, vkey, *witnesses)


def scales_root(directory: Path, vkey: Path) -> bool:
    """tlog-scales: the signature, the root that the tiles have, and some 512 entries' inclusion."""
    _there(directory, vkey)
    imports = (
        "from tlog_scales.backend import LocalBackend\nfrom tlog_scales.reader import TilesReader\n"
        "from tlog_scales.signing import Vkey\nfrom tlog_scales.tiles import leaf_hash"
    )
    return _python(imports, _SCALES, directory, vkey)


def scales_proof(directory: Path, index: int) -> bytes:
    """A .tlog-proof of an entry, made by tlog-scales from tiles that it does not check."""
    done = _run([home() / "venv" / "bin" / "tlog-tiles", "gen-proof", str(directory.absolute()), str(index)])
    assert done.returncode == 0, f"tlog-tiles: {done.stderr}"
    return done.stdout.encode()


@dataclass(slots=True)
class Witness:
    """A real aics-witness on a loopback port; its key, its store and its port outlive a restart."""

    folder: Path
    name: str
    vkey: str
    url: str = ""
    process: subprocess.Popen[bytes] | None = None

    def trust(self, log_vkey: str) -> None:
        """Cosign for this log too, or for another key of a log; begins at the next start."""
        self._command("add-log", "--origin", log_vkey.split("+")[0], "--vkey", log_vkey)

    def start(self) -> Witness:
        """Serve; returns when it listens."""
        assert self.process is None, "it runs"
        log = self.folder / "witness.log"
        at = log.stat().st_size if log.exists() else 0
        listen = self.url.removeprefix("http://") or "127.0.0.1:0"
        with log.open("ab") as out:
            words = [*_aics_witness("serve", self.folder), "--listen", listen]
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

        def listening() -> str | None:
            assert self.process is not None
            said = log.read_bytes()[at:].decode()
            assert self.process.poll() is None, f"the witness ended: {said}"
            found = re.search(r"listening on (http://\S+) ", said)
            return found.group(1) if found else None

        try:
            self.url = until(listening, "the witness listens")
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """End it as an operator does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def _command(self, word: str, *words: str) -> str:
        done = _run([*_aics_witness(word, self.folder), *words])
        assert done.returncode == 0, f"aics-witness {word}: {done.stderr}"
        return done.stdout.strip()


@contextmanager
def aics_witness(
    log_vkeys: str | Sequence[str], folder: Path, *, name: str = "witness.example/w1"
) -> Iterator[Witness]:
    """A running witness that trusts these logs; in a folder that one has used before it is that one again."""
    folder.mkdir(parents=True, exist_ok=True)
    witness = Witness(folder=folder, name=name, vkey="")
    witness.vkey = witness._command("init", "--name", name)
    for log_vkey in [log_vkeys] if isinstance(log_vkeys, str) else log_vkeys:
        witness.trust(log_vkey)
    try:
        yield witness.start()
    finally:
        witness.stop()


def _tessera(name: str) -> Path:
    return home() / f"tessera-{TESSERA}" / name


def _aics_witness(word: str, folder: Path) -> list[str | Path]:
    return [home() / "venv" / "bin" / "aics-witness", word, "--config", folder / "witness.json"]


def _there(*paths: Path | None) -> None:
    for path in paths:
        assert path is None or path.exists(), f"there is no {path}"


def _python(imports: str, body: str, *words: str | Path) -> bool:
    script = _SCRIPT.format(imports=imports, body=body)
    return _said(_run([home() / "venv" / "bin" / "python", "-I", "-c", script, *words]), refused=_REFUSED)


def _run(
    words: Sequence[str | Path], *, cwd: Path | None = None, seconds: float = SECONDS
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=cwd, timeout=seconds, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def _said(done: subprocess.CompletedProcess[str], refused: int) -> bool:
    assert done.returncode in {0, refused}, f"the tool failed ({done.returncode}): {done.stdout}{done.stderr}"
    return done.returncode == 0
