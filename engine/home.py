"""The home directory: keys, ledger, bundles, and the lock that says who writes.

    home/             0700
      version         the home's format; a newer one is refused
      keys/           bundle.pem (signs bundles), bundle.pub.pem, log.pem (signs checkpoints),
                      badge.pem (signs badges): 0600
      ledger.db       the ledger (SQLite)
      checkpoints/    the newest checkpoint of each tenant, beside the ledger: a start behind it is refused
      bundles/        every revision that ever decided
      checked/        notes of which of them were checked, by which OPA: may be removed
      content/        every version of every module that was ever in force
      opa/            every OPA binary that ever decided
      lock            held with flock by the one process that writes; holds its runtime folder's path
      demo.env        tokens for the demo, made by `make run`: 0600

The control socket (for the operator's own commands) lives in a short runtime folder outside the home, because
socket paths are limited to about 100 bytes.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from engine.errors import SetupError

FORMAT = 1


class Busy(SetupError):
    """Another process holds the home, or does not answer; the same command may go through later."""


CONTROL_SOCKET = "control.sock"


@dataclass(frozen=True, slots=True)
class Home:
    """Paths inside a home directory."""

    path: Path

    @property
    def database(self) -> Path:
        return self.path / "ledger.db"

    @property
    def bundles(self) -> Path:
        return self.path / "bundles"

    @property
    def checked(self) -> Path:
        return self.path / "checked"

    @property
    def content(self) -> Path:
        return self.path / "content"

    @property
    def bundle_key(self) -> Path:
        return self.path / "keys" / "bundle.pem"

    @property
    def badge_key(self) -> Path:
        return self.path / "keys" / "badge.pem"

    @property
    def log_key(self) -> Path:
        return self.path / "keys" / "log.pem"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def bundle_public_key(self) -> Path:
        return self.path / "keys" / "bundle.pub.pem"

    def derived_key(self, purpose: str) -> bytes:
        """32 secret bytes for one purpose, the same in every process of this home; raises SetupError."""
        try:
            loaded = serialization.load_pem_private_key(self.badge_key.read_bytes(), password=None)
        except (OSError, ValueError) as exc:
            raise SetupError(f"the key {self.badge_key} cannot be read: restore it from a backup ({exc})") from exc
        raw = loaded.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=f"muster/{purpose}/v1".encode()).derive(raw)

    def exists(self) -> bool:
        """Whether `muster init` has been here."""
        return (self.path / "version").exists()

    def check(self) -> None:
        """Refuse a home that is not there or that a newer version made."""
        if not self.exists():
            raise SetupError(f"there is no home at {self.path}: run `muster init`")
        try:
            text = (self.path / "version").read_bytes().decode("ascii").strip()
            newer = int(text) > FORMAT
        except (OSError, ValueError) as exc:
            raise SetupError(f"{self.path}/version is not a format's number: restore it from a backup ({exc})") from exc
        if newer:
            raise SetupError(
                f"the home at {self.path} has format {text}, this Muster knows up to {FORMAT}: use the newer Muster"
            )
        if not self.database.is_file() or self.database.stat().st_size == 0:
            raise SetupError(f"the ledger {self.database} is gone: restore it from a backup, nothing else replaces it")

    def create(self) -> None:
        """Make folders and keys. Never overwrites a key; `finish` comes last, so that a broken start is seen."""
        if self.exists():
            raise SetupError(f"there is a home at {self.path} already: nothing was changed")
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            (self.path / "keys").mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise SetupError(f"cannot make a home at {self.path}: {exc.strerror}") from exc
        for name in ("bundle", "log", "badge"):
            _make_key(self.path / "keys" / f"{name}.pem", self.path / "keys" / f"{name}.pub.pem")

    def finish(self) -> None:
        """Mark the home as made."""
        write_private(self.path / "version", f"{FORMAT}\n")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads (0600), whole or not at all, and durable when this returns."""
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def make_private_key(path: Path) -> None:
    """A new Ed25519 key as PEM (PKCS 8)."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(path, pem.decode())


def _make_key(private: Path, public: Path) -> None:
    if not private.exists():
        make_private_key(private)
    loaded = serialization.load_pem_private_key(private.read_bytes(), password=None)
    write_private(
        public,
        loaded.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    )


@dataclass(slots=True)
class HomeLock:
    """The right to write to a home; taken before anything of it is opened, held until `release`."""

    home: Home
    runtime: Path = field(init=False)
    _fd: int = field(init=False)

    def __post_init__(self) -> None:
        self._fd = os.open(self.home.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            holder = running(self.home)
            os.close(self._fd)
            who = f" (process {holder.pid})" if holder else ""
            raise Busy(f"another Muster{who} is running on the home {self.home.path}: stop it first") from exc
        _sweep(_read_lock(self.home))
        self.runtime = Path(tempfile.mkdtemp(prefix="muster-", dir=_runtime_root()))
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, json.dumps({"pid": os.getpid(), "runtime": str(self.runtime)}).encode(), 0)

    def release(self) -> None:
        """Give the lock back and remove the runtime folder."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)
        shutil.rmtree(self.runtime, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Running:
    """The service that holds a home now."""

    pid: int
    runtime: Path

    @property
    def control(self) -> Path:
        return self.runtime / CONTROL_SOCKET


def running(home: Home) -> Running | None:
    """Who holds the home's lock now, if anyone: a lock file left by a dead process does not count."""
    try:
        fd = os.open(home.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_lock(home)
    finally:
        os.close(fd)
    return None


def _read_lock(home: Home) -> Running | None:
    try:
        value = json.loads((home.path / "lock").read_text("utf-8"))
        return Running(pid=int(value["pid"]), runtime=Path(value["runtime"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _sweep(left: Running | None) -> None:
    """Remove the runtime folder of a process that was killed before it could."""
    if left is not None and left.runtime.name.startswith("muster-") and left.runtime.parent == _runtime_root():
        shutil.rmtree(left.runtime, ignore_errors=True)


def _runtime_root() -> Path:
    root = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if root.is_absolute() and root.is_dir() and len(str(root)) < 50 and os.access(root, os.W_OK):
        return root
    return Path("/tmp")  # noqa: S108 - mkdtemp makes a 0700 folder of its own there; socket paths must be short


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What a worker is given by the process that holds the home: a private folder, and the ledger's socket."""

    runtime: Path
    socket: Path

    @property
    def witnesses(self) -> Path:
        """Where the worker that submits checkpoints tells the others how its witnesses do."""
        return self.socket.with_name("witnesses.json")

    @property
    def callers(self) -> Path:
        """Where all workers count how often each caller asks."""
        return self.socket.with_name("callers")
