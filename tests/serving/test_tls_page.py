"""The page about TLS is run: each command as it stands there, with the output that stands there."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from engine import settings
from engine.serving import crowd, renewing, wire
from tests.docs.test_auditing import steps
from tests.service.conftest import new_service, template
from tests.service.running import MUSTER, ROOT, Service
from tests.serving.secure import Secure

__all__ = ["new_service", "template"]
PAGE = (ROOT / "docs" / "tls.md").read_text("utf-8")


def test_every_command_of_the_page_prints_what_it_says(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """In their order, beside a service that takes clients with a certificate and without."""
    service = Secure.of(new_service())
    folder = tmp_path / "tls"
    service.authority.client("gateway-1").write(folder, "client")
    service.issued().write(folder)
    (folder / "other.key").touch(0o600)
    (folder / "other.key").write_text(service.issued().key_pem)
    (folder / "ca.pem").write_text(service.authority.pem)
    beside = dict(service.env)
    service.env |= {"MUSTER_TLS_CLIENT_CA": str(folder / "ca.pem"), "MUSTER_TLS_CLIENT": "optional"}
    service.start()
    for name in ("MUSTER_TLS_CERT", "MUSTER_TLS_KEY"):
        beside.pop(name)
    path = f"{Path(MUSTER).parent}:{os.environ['PATH']}"
    told = list(steps(PAGE))
    assert len(told) >= 7
    for step in told:
        done = subprocess.run(
            ["bash", "-c", step.command], cwd=tmp_path, env={**beside, "PATH": path, "MUSTER_URL": service.url},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.stdout.replace(str(tmp_path), "/tmp").strip() == step.printed.strip(), f"$ {step.command}"
    service.stop()


def test_the_page_says_the_numbers_that_hold() -> None:
    """Its bounds are the ones in force, and its settings exist."""
    assert wire.HEAD_SECONDS == 10
    assert (wire.WHOLE_SECONDS, wire.TAKE_SECONDS, wire.TAKE_BYTES) == (60, 60, 48 * 1024)
    assert f"{crowd.MOST:,}" in PAGE
    assert renewing.LOOK_SECONDS == 3
    assert settings.CLEAR_TEXT_WORDS in PAGE
    named = set(re.findall(r"MUSTER_[A-Z_]+", PAGE)) - {"MUSTER_URL"}
    assert {f"MUSTER_{key.upper()}" for key in settings.KEYS} >= named
    assert {f"MUSTER_{key.upper()}" for key in settings.KEYS if key.startswith("tls_")} <= named
