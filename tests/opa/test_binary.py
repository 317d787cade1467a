"""Finding and installing OPA: the order of places, and what is refused in each. Nothing here leaves this machine."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import platform
import socket
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from engine.opa import binary, gobuild, release
from engine.opa.binary import OpaBinary
from engine.opa.errors import OpaBinaryError, OpaInstallError
from tests.opa.releases import SCRIPT, Releases, serving

MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]

GO = """#!/bin/sh
case "$1" in
version) echo "go version go{version} linux/amd64" ;;
install)
    test "$CGO_ENABLED" = 0 && test "$2" = github.com/open-policy-agent/opa@v1.22.2 || exit 3
    {then}
    printf '#!/bin/sh\\necho "Version: 1.22.2"\\n' > "$GOBIN/opa" && chmod 755 "$GOBIN/opa" ;;
esac
"""


def program(path: Path, text: str) -> Path:
    """A script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o755)
    return path


def opa(path: Path, version: str) -> Path:
    """A program that calls itself an OPA of a version."""
    return program(path, f'#!/bin/sh\necho "Version: {version}"\n')


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The local server is reached directly."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def releases() -> Iterator[Releases]:
    """A local server of releases."""
    with serving() as served:
        yield served


@pytest.fixture
def said() -> list[str]:
    """What was said on the way."""
    return []


def test_the_configured_one_is_used(tmp_path: Path, said: list[str]) -> None:
    """A configured OPA goes before one on PATH."""
    path = opa(tmp_path / "mine" / "opa", "1.30.1")
    opa(tmp_path / "path" / "opa", "1.22.2")
    found = binary.find(path, tmp_path / "cache", path_env=str(tmp_path / "path"), progress=said.append)
    assert found == OpaBinary(path=path, version="1.30.1", sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    assert not said


@pytest.mark.parametrize(
    ("text", "mode", "sentence"),
    [
        (None, 0, "no such file"),
        ("#!/bin/sh\necho Version: 1.22.2\n", 0o644, "not executable"),
        ("#!/bin/sh\necho Version: 1.22.1\n", 0o755, "version 1.22.1, supported are >= 1.22.2, < 2"),
        ("#!/bin/sh\necho Version: 2.0.0\n", 0o755, "version 2.0.0, supported are"),
        ("#!/bin/sh\necho Version: 1.23.0-dev\n", 0o755, "names no release version"),
        ("#!/bin/sh\nexit 4\n", 0o755, "`opa version` fails"),
        ("not a program", 0o755, "`opa version` fails"),
    ],
    ids=["absent", "mode", "old", "new", "dev", "fails", "garbage"],
)
def test_a_wrong_configured_one_is_refused(text: str | None, mode: int, sentence: str, tmp_path: Path) -> None:
    """A configured OPA that cannot be used is an error, even if there is a good one on PATH."""
    path = tmp_path / "mine"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    opa(tmp_path / "path" / "opa", "1.22.2")
    with pytest.raises(OpaBinaryError, match=sentence):
        binary.find(path, tmp_path / "cache", path_env=str(tmp_path / "path"))


def test_the_one_on_path_is_used_if_it_is_supported(tmp_path: Path, said: list[str]) -> None:
    """A supported OPA on PATH is used; nothing is installed."""
    path = opa(tmp_path / "path" / "opa", "1.22.2")
    found = binary.find(None, tmp_path / "cache", path_env=str(tmp_path / "path"), progress=said.append)
    assert found.path == path
    assert not (tmp_path / "cache").exists()


def test_an_old_one_on_path_is_passed_over(tmp_path: Path, releases: Releases, said: list[str]) -> None:
    """An unsupported OPA on PATH is named and passed over."""
    opa(tmp_path / "path" / "opa", "0.70.0")
    releases.publish(MACHINE)
    found = binary.find(
        None, tmp_path / "c", release_base=releases.base, path_env=str(tmp_path / "path"), progress=said.append
    )
    assert found.path == tmp_path / "c" / "opa" / "1.22.2" / "opa"
    assert "version 0.70.0" in said[0]
    assert "passed over" in said[0]


def test_the_release_is_installed_once(tmp_path: Path, releases: Releases, said: list[str]) -> None:
    """The release goes into the cache, 0755, checked; from then on the cache is used, and is checked again."""
    path = releases.publish(MACHINE)
    first = binary.install(tmp_path, release_base=releases.base, path_env="", progress=said.append)
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o755
    assert first == binary.install(tmp_path, release_base=releases.base, path_env="", progress=said.append)
    assert releases.asked[path] == 1
    assert {p.name for p in first.path.parent.iterdir()} == {"opa", "opa.sha256", ".lock"}
    first.path.write_bytes(SCRIPT + b"# changed\n")
    again = binary.install(tmp_path, release_base=releases.base, path_env="", progress=said.append)
    assert again == first
    assert releases.asked[path] == 2
    assert any("not the file that was installed" in line for line in said)


def test_two_installs_at_once_are_one(tmp_path: Path, releases: Releases) -> None:
    """The second waits for the first and takes what it installed."""
    path = releases.publish(MACHINE)
    releases.slow = threading.Event()
    said: list[str] = []

    def progress(line: str) -> None:
        said.append(line)
        if "waiting" in line and releases.slow is not None:
            releases.slow.set()

    def install(_: int) -> OpaBinary:
        return binary.install(tmp_path, release_base=releases.base, path_env="", progress=progress)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(install, range(2))
    assert first == second
    assert releases.asked[path] == 1


def test_a_wrong_checksum_is_an_error(tmp_path: Path, releases: Releases, said: list[str]) -> None:
    """What does not match its published checksum is not kept, and no other way is tried in silence."""
    releases.publish(MACHINE, checksum="0" * 64)
    program(tmp_path / "path" / "go", GO.format(version="1.26.8", then=":"))
    with pytest.raises(OpaInstallError, match="nothing was installed"):
        binary.install(tmp_path, release_base=releases.base, path_env=str(tmp_path / "path"), progress=said.append)
    assert [p.name for p in (tmp_path / "opa" / "1.22.2").iterdir()] == [".lock"]


@pytest.mark.parametrize("wrong", ["404", "no-checksum", "hang", "hang-later", "unreachable", "truncated"])
def test_a_release_out_of_reach_is_said_quickly(
    wrong: str, tmp_path: Path, releases: Releases, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever keeps the release from us, one sentence says so soon, and what to do; nothing is left behind."""
    monkeypatch.setattr(release, "_SECONDS", 0.3)
    base = releases.base
    path = releases.publish(MACHINE)
    if wrong == "404":
        del releases.files[path]
    elif wrong == "no-checksum":
        releases.files[f"{path}.sha256"] = b"<html>sign in to the network</html>"
    elif wrong == "hang":
        releases.hang.add(f"{path}.sha256")
    elif wrong == "hang-later":
        releases.hang.add(path)
    elif wrong == "unreachable":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            base = f"http://127.0.0.1:{free.getsockname()[1]}"
    else:
        releases.truncated = True
    began = time.monotonic()
    with pytest.raises(OpaInstallError, match=r"put `opa` on PATH or set MUSTER_OPA_BIN"):
        binary.install(tmp_path, release_base=base, path_env="", progress=said.append)
    assert time.monotonic() - began < 3.0
    assert "out of reach" in said[-1]
    assert [p.name for p in (tmp_path / "opa" / "1.22.2").iterdir()] == [".lock"]


def test_a_release_of_another_version_is_an_error(tmp_path: Path, releases: Releases, said: list[str]) -> None:
    """What calls itself another version than the one asked for is not kept."""
    releases.publish(MACHINE, b'#!/bin/sh\necho "Version: 1.23.0"\n')
    with pytest.raises(OpaInstallError, match=r"not 1\.22\.2"):
        binary.install(tmp_path, release_base=releases.base, path_env="", progress=said.append)
    assert [p.name for p in (tmp_path / "opa" / "1.22.2").iterdir()] == [".lock"]


def test_only_https_is_asked(tmp_path: Path, said: list[str]) -> None:
    """Plain HTTP is refused but on this very machine."""
    with pytest.raises(OpaInstallError, match="HTTPS only"):
        binary.install(tmp_path, release_base="http://192.0.2.1/downloads", path_env="", progress=said.append)


def test_a_redirect_to_http_is_refused(tmp_path: Path, releases: Releases, said: list[str]) -> None:
    """A redirect cannot lead away from HTTPS; one on this machine is followed."""
    path = releases.publish(MACHINE)
    releases.files["/elsewhere"] = SCRIPT
    releases.location[path] = f"{releases.base}/elsewhere"
    assert binary.install(tmp_path / "a", release_base=releases.base, path_env="", progress=said.append)
    releases.location[path] = "http://192.0.2.1/opa"
    with pytest.raises(OpaInstallError, match=r"HTTPS only.*192\.0\.2\.1"):
        binary.install(tmp_path / "b", release_base=releases.base, path_env="", progress=said.append)


def test_https_is_verified(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A release over HTTPS is installed if its server's certificate is trusted, and out of reach if not."""
    certificate = self_signed(tmp_path)
    with serving(certificate) as releases:
        releases.publish(MACHINE)
        with pytest.raises(OpaInstallError, match="CERTIFICATE_VERIFY_FAILED"):
            binary.install(tmp_path / "a", release_base=releases.base, path_env="", progress=said.append)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert binary.install(tmp_path / "a", release_base=releases.base, path_env="", progress=said.append)


def test_without_a_release_it_is_built(tmp_path: Path, releases: Releases, said: list[str]) -> None:
    """Where no release can be had, `go install` builds the pinned version, and says that it takes a while."""
    program(tmp_path / "path" / "go", GO.format(version="1.26.8", then=":"))
    found = binary.install(tmp_path, release_base=releases.base, path_env=str(tmp_path / "path"), progress=said.append)
    assert found.path == tmp_path / "opa" / "1.22.2" / "opa"
    assert any("takes about a minute" in line for line in said)


def test_a_build_shows_progress(
    tmp_path: Path, releases: Releases, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it builds, it says so again and again; the build here goes on until it has been said twice."""
    monkeypatch.setattr(gobuild, "_SAY_SECONDS", 0.05)
    go_on = tmp_path / "go-on"
    program(tmp_path / "path" / "go", GO.format(version="1.26.8", then=f"while ! test -e {go_on}; do :; done"))

    def progress(line: str) -> None:
        said.append(line)
        if sum("still building" in each for each in said) == 2:
            go_on.touch()

    assert binary.install(tmp_path, release_base=releases.base, path_env=str(tmp_path / "path"), progress=progress)


@pytest.mark.parametrize(
    ("version", "then", "sentence"),
    [("1.25.4", ":", r"needs Go 1\.26"), ("1.27.0", "echo no such module >&2; exit 1", "no such module")],
    ids=["old", "fails"],
)
def test_a_build_that_cannot_be(
    version: str, then: str, sentence: str, tmp_path: Path, releases: Releases, said: list[str]
) -> None:
    """An old Go, or a build that fails, is named in the one sentence that says what to do."""
    program(tmp_path / "path" / "go", GO.format(version=version, then=then))
    with pytest.raises(OpaInstallError, match=f"{sentence}.*set MUSTER_OPA_BIN"):
        binary.install(tmp_path, release_base=releases.base, path_env=str(tmp_path / "path"), progress=said.append)


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A cache in the place of a file is one sentence, not a traceback."""
    (tmp_path / "cache").touch()
    with pytest.raises(OpaInstallError, match="cannot be used"):
        binary.install(tmp_path / "cache")


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    encoding = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain) + certificate.public_bytes(encoding)
    )
    return path
