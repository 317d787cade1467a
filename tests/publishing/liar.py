"""A server of the tests' own that plays witnesses: each path is one, and answers as a test tells it to."""

from __future__ import annotations

import base64
import hashlib
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.verifier.note import COSIGNATURE, Key

Act: TypeAlias = "Callable[[Handler, bytes], None]"
SIZE = "text/x.tlog.size"


class Handler(BaseHTTPRequestHandler):
    """One request; `/NAME/add-checkpoint` is for the witness NAME, `/NAME/HASH/checkpoint` what it shows."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """Let the witness act."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name = self.path.split("/")[1]
        self.server.liar.asked.append((name, body))
        self.server.liar.acts[name](self, body)

    def do_GET(self) -> None:
        """Show what the witness is told to show, and count who comes by a redirect."""
        name = self.path.split("/")[1]
        self.server.liar.asked.append((name, b""))
        shown = self.server.liar.shows.get(name)
        self.answer(200 if shown else 404, shown or b"nothing\n")

    def answer(self, status: int, body: bytes, kind: str = "text/plain", **headers: str) -> None:
        """A whole answer."""
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # every witness is asked at once; with 5 the kernel lets some wait for seconds
    liar: Liar

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up on a liar does right."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Liar:
    """The server, what each witness does, and who was asked what."""

    def __init__(self) -> None:
        self.acts: dict[str, Act] = {}
        self.shows: dict[str, bytes] = {}
        self.asked: list[tuple[str, bytes]] = []
        self.over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.liar = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Liar:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def line(self, name: str, act: Act) -> str:
        """A policy's line for the witness, which acts so from now on."""
        self.acts[name] = act
        return f"witness {name} {key(name).vkey()} http://127.0.0.1:{self._server.server_port}/{name}\n"


def secret(name: str) -> Ed25519PrivateKey:
    """A witness's key, always the same."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def key(name: str) -> Key:
    """Its public half."""
    return Key(f"liar.example/{name}", COSIGNATURE, secret(name).public_key().public_bytes_raw())


def cosignature(name: str, text: str, when: int, signer: str | None = None) -> bytes:
    """The line of a witness over a checkpoint's text, signed by another one's key if so wanted."""
    signature = secret(signer or name).sign(f"cosignature/v1\ntime {when}\n{text}".encode())
    body = key(name).id + when.to_bytes(8) + signature
    return f"\u2014 {key(name).name} {base64.b64encode(body).decode()}\n".encode()


def sent_text(body: bytes) -> str:
    """The checkpoint's text in an add-checkpoint request."""
    note = body.decode().split("\n\n", 1)[1]
    return note.split("\n\n")[0] + "\n"


def answers(status: int, body: bytes, kind: str = "text/plain", **headers: str) -> Act:
    """A witness that always answers the same."""
    return lambda handler, _: handler.answer(status, body, kind, **headers)


def hangs(liar: Liar) -> Act:
    """A witness that takes the request and answers nothing while the server lives."""

    def act(handler: Handler, _: bytes) -> None:
        liar.over.wait(60)
        handler.close_connection = True

    return act


def drips(liar: Liar) -> Act:
    """A witness that begins an answer and sends one byte at a time, so that no read ever takes long."""

    def act(handler: Handler, _: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        with suppress(OSError):
            while not liar.over.wait(0.2):
                handler.wfile.write(b"x")
                handler.wfile.flush()
        handler.close_connection = True

    return act
