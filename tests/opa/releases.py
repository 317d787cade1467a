"""A local server of releases, with what can be wrong about one."""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SCRIPT = b'#!/bin/sh\necho "Version: 1.22.2"\n'


@dataclass(slots=True)
class Releases:
    """What is served: bytes by path, `location` for redirects, `hang` for paths that are never answered."""

    base: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    location: dict[str, str] = field(default_factory=dict)
    hang: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    truncated: bool = False
    slow: threading.Event | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def publish(self, machine: str, content: bytes = SCRIPT, checksum: str | None = None) -> str:
        """Serve a release; returns its path."""
        path = f"/v1.22.2/opa_linux_{machine}_static"
        self.files[path] = content
        self.files[f"{path}.sha256"] = f"{checksum or hashlib.sha256(content).hexdigest()}  opa\n".encode()
        return path


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Releases]:
    """A server on the loopback, over TLS if a certificate (with its key) is given."""
    releases = Releases()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            releases.asked[self.path] += 1
            if self.path in releases.hang:
                releases.ended.wait()
                return
            if releases.slow is not None:
                releases.slow.wait(10)
            if self.path in releases.location:
                self.send_response(302)
                self.send_header("Location", releases.location[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = releases.files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            sent = content or b""
            self.wfile.write(sent[:-5] if releases.truncated else sent)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        releases.base = f"{scheme}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield releases
        finally:
            releases.ended.set()
            server.shutdown()
            thread.join()
