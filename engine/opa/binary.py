"""Which OPA this machine uses: configured, on PATH, in our cache, released, or built, in this order; each is checked.

Refuses versions that were never tried with Muster, and a cached or released file that is not what it should be.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from engine.opa.errors import OpaBinaryError, OpaInstallError, OutOfReach

PINNED: Final = "1.22.2"
SUPPORTED: Final = ">= 1.22.2, < 2"
RELEASES: Final = "https://openpolicyagent.org/downloads"

Progress: TypeAlias = Callable[[str], None]

_LOWEST: Final = (1, 22, 2)
_BEYOND: Final = (2, 0, 0)
_PROBE_SECONDS: Final = 10.0
_VERSION: Final = re.compile(r"^Version: (\d+)\.(\d+)\.(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpaBinary:
    """An OPA that was run once and has a supported version; `sha256` is of the file, lower-case hex."""

    path: Path
    version: str
    sha256: str


def to_stderr(line: str) -> None:
    """Where progress goes if nobody says otherwise."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress is meant for the terminal


def find(
    configured: Path | None,
    cache: Path,
    *,
    release_base: str = RELEASES,
    path_env: str | None = None,
    progress: Progress = to_stderr,
) -> OpaBinary:
    """The OPA to use, installed into `cache` if there is none. A configured one is used or refused, never replaced."""
    if configured is not None:
        return _checked(configured)
    on_path = shutil.which("opa", path=path_env)
    if on_path is not None:
        try:
            return _checked(Path(on_path))
        except OpaBinaryError as exc:
            progress(f"{exc}: it is passed over")
    return install(cache, release_base=release_base, path_env=path_env, progress=progress)


def install(
    cache: Path, *, release_base: str = RELEASES, path_env: str | None = None, progress: Progress = to_stderr
) -> OpaBinary:
    """The pinned OPA in `cache`; put there, if it is not, from the official release or by `go install`."""
    folder = cache / "opa" / PINNED
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder, progress):
            found = _cached(folder, progress)
            if found is not None:
                return found
            with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as staging:
                return _installed(Path(staging), folder, release_base, path_env, progress)
    except OSError as exc:
        raise OpaInstallError(f"the cache {folder} cannot be used: {exc}") from exc


def _installed(staging: Path, folder: Path, release_base: str, path_env: str | None, progress: Progress) -> OpaBinary:
    from engine.opa import gobuild, release  # urllib and ssl: for an installation alone

    try:
        made = release.download(release_base, PINNED, staging, progress)
    except OutOfReach as no_release:
        progress(f"the official release of OPA {PINNED} is out of reach: {no_release}")
        try:
            made = gobuild.build(PINNED, staging, path_env, progress)
        except OutOfReach as no_build:
            raise OpaInstallError(
                f"there is no OPA here ({SUPPORTED}), and none could be installed (release: {no_release}; "
                f"go install: {no_build}): put `opa` on PATH or set MUSTER_OPA_BIN"
            ) from no_build
    made.chmod(0o755)
    try:
        found = _checked(made)
    except OpaBinaryError as exc:
        raise OpaInstallError(f"what was installed cannot be used: {exc}") from exc
    if found.version != PINNED:
        raise OpaInstallError(f"what was installed is OPA {found.version}, not {PINNED}: nothing was kept")
    record = staging / "opa.sha256"
    record.write_text(f"{found.sha256}\n", "ascii")
    # The record goes first: a crash between the two leaves a file that does not match, which is installed anew.
    record.replace(folder / "opa.sha256")
    made.replace(folder / "opa")
    progress(f"installed OPA {PINNED} as {folder / 'opa'}")
    return OpaBinary(path=folder / "opa", version=PINNED, sha256=found.sha256)


def _cached(folder: Path, progress: Progress) -> OpaBinary | None:
    path, record = folder / "opa", folder / "opa.sha256"
    if not path.exists() or not record.exists():
        return None
    if record.read_text("ascii", "replace").strip() != sha256_of(path):
        progress(f"{path} is not the file that was installed there: it is not used, and installed anew")
        return None
    try:
        return _checked(path)
    except OpaBinaryError as exc:
        progress(f"{exc}: it is installed anew")
        return None


def _checked(path: Path) -> OpaBinary:
    """Run the binary once; raise OpaBinaryError with one sentence."""
    path = path.absolute()
    if not path.is_file():
        raise OpaBinaryError(f"OPA at {path}: there is no such file")
    if not os.access(path, os.X_OK):
        raise OpaBinaryError(f"OPA at {path}: it is not executable")
    try:
        said = subprocess.run(
            [path, "version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=True,
            env={"HOME": "/nonexistent"},
        ).stdout.decode("utf-8", "replace")
    except (OSError, subprocess.SubprocessError) as exc:
        raise OpaBinaryError(f"OPA at {path}: `opa version` fails: {exc}") from exc
    match = _VERSION.search(said)
    if match is None:
        raise OpaBinaryError(f"OPA at {path}: it names no release version; supported are {SUPPORTED}")
    version = ".".join(match.groups())
    if not _LOWEST <= tuple(map(int, match.groups())) < _BEYOND:
        raise OpaBinaryError(f"OPA at {path} has version {version}, supported are {SUPPORTED}")
    return OpaBinary(path=path, version=version, sha256=sha256_of(path))


def sha256_of(path: Path) -> str:
    """The file's SHA-256, lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(folder: Path, progress: Progress) -> Iterator[None]:
    """Hold the folder's lock: two installs at once would each take the other's half for a whole."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another process is installing OPA: waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
