"""A server that says byte for byte what a case says, and the cases: answers of which none but the first are a yes."""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

YES: dict[str, Any] = {
    "decision_id": "0193-1",
    "allow": True,
    "verdict": "allow",
    "mode": "enforce",
    "gate": "data-export",
    "denials": [],
    "obligations": [],
    "valid_until": None,
}
DENIAL = {
    "code": "c",
    "title": "t",
    "message": "m",
    "requirement": {},
    "remedy": {"kind": "lesson", "href": "/learn/x"},
}
ELSEWHERE = {**DENIAL, "remedy": {"kind": "lesson", "href": "https://elsewhere.example/learn"}}
NO = {**YES, "allow": False, "verdict": "deny", "denials": [DENIAL]}


def answer(body: bytes | str, status: str = "200 OK", kind: str = "application/json", more: str = "") -> bytes:
    """A whole answer, as bytes."""
    data = body.encode() if isinstance(body, str) else body
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n{more}Connection: close\r\n\r\n"
    )
    return head.encode() + data


def changed(**members: Any) -> bytes:
    """A yes, changed; `...` leaves a member out."""
    value = {name: member for name, member in {**YES, **members}.items() if member is not ...}
    return answer(json.dumps(value))


_TEXT = json.dumps(YES)
_PROBLEM = json.dumps({"title": "x", "cause": "opa-timeout", "decision_id": "0193-2", "detail": "x"})
BELIEVED: dict[str, tuple[bytes, bool]] = {
    "yes": (changed(), True),
    "newer": (changed(something_new=[1, {"a": None}]), True),
    "charset": (answer(_TEXT, kind="application/json; charset=utf-8"), True),
    "no": (answer(json.dumps(NO)), False),
    "no-elsewhere": (answer(json.dumps({**NO, "denials": [ELSEWHERE]})), False),
    "shadow": (answer(json.dumps({**NO, "mode": "shadow", "allow": True})), True),
}
GARBAGE: dict[str, tuple[bytes, str]] = {
    "text-true": (changed(allow="true"), "bad-answer"),
    "one": (changed(allow=1), "bad-answer"),
    "null": (changed(allow=None), "bad-answer"),
    "list": (changed(allow=[True]), "bad-answer"),
    "no-allow": (changed(allow=...), "bad-answer"),
    "no-id": (changed(decision_id=...), "bad-answer"),
    "odd-id": (changed(decision_id="a\r\nb"), "bad-answer"),
    "allow-of-a-deny": (changed(verdict="deny"), "bad-answer"),
    "allow-with-denials": (changed(denials=[DENIAL]), "bad-answer"),
    "deny-that-allows": (changed(verdict="deny", denials=[DENIAL]), "bad-answer"),
    "odd-mode": (changed(mode="off"), "bad-answer"),
    "no-denials": (changed(denials=...), "bad-answer"),
    "denial-of-nothing": (changed(allow=False, verdict="deny", denials=[{}]), "bad-answer"),
    "authzen": (answer('{"decision": true}'), "bad-answer"),
    "bare-true": (answer("true"), "bad-answer"),
    "in-a-list": (answer(f"[{_TEXT}]"), "bad-answer"),
    "empty": (answer(""), "bad-answer"),
    "half": (answer(_TEXT[:40]), "bad-answer"),
    "two-values": (answer(_TEXT + _TEXT), "bad-answer"),
    "cut-off": (answer(_TEXT + " " * 9).replace(b" " * 9, b""), "bad-answer"),
    "html": (answer("<html>true</html>", kind="text/html"), "bad-answer"),
    "json-as-html": (answer(_TEXT, kind="text/html"), "bad-answer"),
    "no-type": (answer(_TEXT).replace(b"Content-Type: application/json\r\n", b""), "bad-answer"),
    "gzip": (answer(_TEXT, more="Content-Encoding: gzip\r\n"), "bad-answer"),
    "not-utf-8": (answer(_TEXT.encode().replace(b"data", b"\xff")), "bad-answer"),
    "both": (answer(_TEXT.replace('"allow": true', '"allow": false, "allow": true')), "bad-answer"),
    "both-escaped": (answer(_TEXT.replace('"allow": true', '"allow": false, "\\u0061llow": true')), "bad-answer"),
    "both-inside": (answer(_TEXT.replace("null}", 'null, "x": [{"a": 1, "a": 2}]}')), "bad-answer"),
    "deep": (answer('{"a":' + "[" * 100_000 + "]" * 100_000 + "}"), "bad-answer"),
    "nan": (answer(_TEXT.replace("null", "NaN")), "bad-answer"),
    "huge": (answer(_TEXT.replace("{", "{" + " " * 10_000_000, 1)), "bad-answer"),
    "201": (answer(_TEXT, "201 Created"), "bad-answer"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "bad-answer"),
    "206": (answer(_TEXT, "206 Partial Content"), "bad-answer"),
    "302": (answer(_TEXT, "302 Found", more="Location: /yes/v1/decisions\r\n"), "bad-answer"),
    "307": (answer(_TEXT, "307 Temporary Redirect", more="Location: /yes/v1/decisions\r\n"), "bad-answer"),
    "400": (answer(_TEXT, "400 Bad Request"), "refused"),
    "401": (answer(_TEXT, "401 Unauthorized"), "refused"),
    "403": (answer(_TEXT, "403 Forbidden"), "refused"),
    "404": (answer("<h1>not here</h1>", "404 Not Found", "text/html"), "refused"),
    "429": (answer(_TEXT, "429 Too Many Requests", more="Retry-After: 7\r\n"), "rate"),
    "500": (answer(_TEXT, "500 Internal Server Error"), "bad-answer"),
    "503": (answer(_TEXT, "503 Service Unavailable"), "undecided"),
    "503-told": (answer(_PROBLEM, "503 Service Unavailable", "application/problem+json"), "opa-timeout"),
    "no-http": (b"SSH-2.0-OpenSSH_9\r\n\r\n", "bad-answer"),
    "http-0.9": (_TEXT.encode(), "bad-answer"),
    "closed": (b"", "bad-answer"),
    "only-a-head": (answer("").replace(b"Content-Length: 0", b"Content-Length: 9"), "bad-answer"),
}
SLOW = ("hang", "drip-head", "drip-body")


@dataclass(slots=True)
class RawServer:
    """Answers a request for `/NAME/...` with the case of that name; `seen`: first lines, `heads`: questions."""

    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    seen: list[str] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def url(self, name: str) -> str:
        """The address of a case."""
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/{name}"

    def questions(self, since: int) -> list[str]:
        """The first lines of the questions among what was seen; backends fetch keys beside them."""
        return [line for line in self.seen[since:] if line.startswith("POST ")]

    def __enter__(self) -> Self:
        self.threads.append(threading.Thread(target=self._accept))
        self.threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(10)
        self.listener.close()

    def _accept(self) -> None:
        while not self.ended.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self.threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            try:
                head = b""
                while b"\r\n\r\n" not in head:
                    part = connection.recv(65_536)
                    if not part:
                        return
                    head += part
                if head.startswith(b"POST "):
                    self.heads.append(head)
                self.seen.append(head.split(b"\r\n")[0].decode())
                self._say(connection, self.seen[-1].split("/")[1])
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65_536):
                    pass
            except OSError:
                return

    def _say(self, connection: socket.socket, name: str) -> None:
        if name not in SLOW:
            connection.sendall(BELIEVED[name][0] if name in BELIEVED else GARBAGE[name][0])
            return
        dripped = {"hang": b"", "drip-head": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 99, "drip-body": changed()}[name]
        deadline = time.monotonic() + 4
        for byte in dripped:
            connection.sendall(bytes([byte]))
            if self.ended.wait(0.03) or time.monotonic() > deadline:
                return
        self.ended.wait(max(0.0, deadline - time.monotonic()))
