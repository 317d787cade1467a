"""The official release of OPA over HTTPS, checked against the `.sha256` that is published beside it.

Quick to say that it is out of reach. A file that does not match its checksum is an error, no reason to look elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import platform
import re
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from engine.opa.errors import OpaInstallError, OutOfReach

_SECONDS: Final = 3.0
"""To resolve, to connect, and between two packets."""

_WHOLE_SECONDS: Final = 300.0
_MAX_BYTES: Final = 256 * 1024 * 1024
_CHUNK: Final = 1024 * 1024
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def download(base: str, version: str, folder: Path, progress: Callable[[str], None]) -> Path:
    """The binary in `folder`; raises OutOfReach, or OpaInstallError if what came is not what was published."""
    machine = _MACHINES.get(platform.machine())
    if platform.system() != "Linux" or machine is None:
        raise OutOfReach(f"there is none for {platform.system()} {platform.machine()}")
    url = f"{base}/v{version}/opa_linux_{machine}_static"
    _require_safe(url)
    try:
        published = _checksum(f"{url}.sha256")
        progress(f"downloading OPA {version} from {url}")
        path = folder / "opa"
        arrived = _fetch(url, path)
    except urllib.error.HTTPError as exc:
        exc.close()
        raise OutOfReach(f"{exc.url} answered {exc.code}") from exc
    except urllib.error.URLError as exc:
        raise OutOfReach(f"{url}: {exc.reason}") from exc
    except (OSError, http.client.HTTPException) as exc:
        raise OutOfReach(f"{url}: {exc or type(exc).__name__}") from exc
    if not hmac.compare_digest(arrived, published):
        path.unlink()
        raise OpaInstallError(
            f"{url} has SHA-256 {arrived}, but {published} is published for it: nothing was installed; "
            "try again, or set MUSTER_OPA_BIN to an OPA that you trust"
        )
    return path


def _checksum(url: str) -> str:
    with _open(url) as response:
        words = response.read(1024).decode("ascii", "replace").split()
    if not words or not re.fullmatch(r"[0-9a-fA-F]{64}", words[0]):
        raise OutOfReach(f"{url} did not answer with a checksum")
    return words[0].lower()


def _fetch(url: str, path: Path) -> str:
    digest, size, until = hashlib.sha256(), 0, time.monotonic() + _WHOLE_SECONDS
    with _open(url) as response, path.open("xb") as file:
        while chunk := response.read(_CHUNK):
            size += len(chunk)
            if size > _MAX_BYTES or time.monotonic() > until:
                raise OutOfReach(f"{url} is larger than {_MAX_BYTES} bytes or takes over {_WHOLE_SECONDS:g} s")
            digest.update(chunk)
            file.write(chunk)
        if size != int(response.headers.get("Content-Length", size)):
            raise OutOfReach(f"{url} broke off after {size} bytes")
    return digest.hexdigest()


def _open(url: str) -> http.client.HTTPResponse:
    _resolve(url)
    response: http.client.HTTPResponse = urllib.request.build_opener(_SafeRedirects).open(url, timeout=_SECONDS)
    return response


def _resolve(url: str) -> None:
    """Give up on a name quickly: a resolver without a network may take half a minute, and takes no timeout."""
    parts = urllib.parse.urlsplit(url)
    if urllib.request.getproxies().get(parts.scheme):
        return  # the proxy resolves
    failed: list[OSError] = []
    done = threading.Event()

    def resolve() -> None:
        try:
            socket.getaddrinfo(parts.hostname, parts.port or 443)
        except OSError as exc:
            failed.append(exc)
        done.set()

    threading.Thread(target=resolve, daemon=True).start()
    if not done.wait(_SECONDS):
        raise OutOfReach(f"{parts.hostname} does not resolve within {_SECONDS:g} s")
    if failed:
        raise failed[0]


def _require_safe(url: str) -> None:
    """HTTPS, or HTTP from this very machine."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise OpaInstallError(f"OPA is downloaded over HTTPS only, not from {url}")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _require_safe(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
