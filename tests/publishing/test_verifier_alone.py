"""The verifier as an auditor installs it: alone, in an environment that has no Muster, on an export alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.service.running import ROOT, Service


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`muster-verify` of an environment of its own."""
    folder = tmp_path_factory.mktemp("auditor")
    source = folder / "verifier"  # a build leaves its files beside the source: not in ours
    left = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    shutil.copytree(ROOT / "ledger" / "verifier", source, ignore=left)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    pip = [str(folder / "venv" / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", str(source)]
    subprocess.run(pip, check=True)
    return folder / "venv" / "bin" / "muster-verify"


def _run(alone: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(alone), *words], capture_output=True, text=True, check=False, cwd="/", env={})


def test_the_verifier_needs_nothing_of_the_service(
    alone: Path, new_service: Callable[[], Service], tmp_path: Path
) -> None:
    """Installed alone it checks an archive and a log as tiles, by the key that the auditor holds, offline."""
    service = new_service().start()
    service.person("ada")
    service.train("ada")
    service.decide("ada")
    tiles, archive, kept = tmp_path / "tiles", tmp_path / "archive", tmp_path / "kept"
    kept.write_text(service.muster("ledger", "checkpoint").stdout)
    service.muster("ledger", "export", "--tiles", str(tiles))
    service.muster("ledger", "export", "--out", str(archive), "--subject", "ada")
    vkey = json.loads(service.muster("ledger", "checkpoint", "--json").stdout)["vkey"]
    no_muster = "import importlib.util as u; assert not u.find_spec('engine') and not u.find_spec('ledger')"
    subprocess.run([str(alone.with_name("python")), "-c", no_muster], check=True, cwd="/", env={})
    for path in (tiles, archive):
        done = _run(alone, str(path), "--key", vkey, "--since", str(kept))
        assert done.returncode == 0, done.stderr
        assert "compare it" not in done.stderr
        told = _run(alone, str(path))
        assert told.returncode == 0
        assert "compare it" in told.stderr  # the key came along with what it is to check
        assert json.loads(_run(alone, str(path), "--key", vkey, "--json").stdout)["ok"] is True
    service.muster("ledger", "verify", "--key", vkey)
    assert "names the keys before it" in service.muster("ledger", "verify", "--key", vkey, "--key", vkey, want=2).stderr
    [bundle] = [path for path in (tiles / "tile" / "entries").rglob("*") if path.is_file()]
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    found = _run(alone, str(tiles), "--key", vkey)
    assert found.returncode == 1
    assert "entry " in found.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [(["/nowhere"], 2), ([], 2), (["/tmp", "--key", "/nowhere"], 2), (["/tmp", "--since", "/nowhere"], 2)],
)
def test_what_is_no_export_is_said(alone: Path, words: list[str], code: int) -> None:
    """One sentence and exit code 2, never a traceback."""
    done = _run(alone, *words)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
