"""The application behind a gateway: it tells what it was sent, and keeps it."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from dataclasses import dataclass
from typing import Any

from engine.gateways.check.server import Server
from engine.gateways.check.wire import Message, Reader

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that reached the application."""

    message: Message

    @property
    def method(self) -> str:
        """As it came."""
        return self.message.method

    @property
    def target(self) -> str:
        """As it came."""
        return self.message.target

    @property
    def decision(self) -> str | None:
        """The decision that it came with."""
        return self.message.get("muster-decision-id")


class Backend(Server):
    """Answers 200 and JSON: method, target, header lines in order, its body's length. Echoes a websocket's bytes."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(host=host, port=port)
        self.seen: list[Seen] = []
        self.status = 200
        self.start()

    def answer(self, connection: socket.socket, reader: Reader, message: Message) -> bool:
        """Tell what came. It has arrived when its head is there, whatever becomes of its body."""
        with self.lock:
            self.seen.append(Seen(message))
        upgraded = "websocket" in [value.lower() for value in message.all("upgrade")]
        if upgraded:
            self._echo(connection, reader, message)
            return False
        message.body = reader.body(message)
        told: dict[str, Any] = {
            "method": message.method,
            "target": message.target,
            "headers": message.lines,
            "body": len(message.body),
        }
        body = b"" if message.method == "HEAD" else json.dumps(told).encode()
        head = f"HTTP/1.1 {self.status} Told\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        return True

    def _echo(self, connection: socket.socket, reader: Reader, message: Message) -> None:
        key = (message.get("sec-websocket-key") or "") + _GUID
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()  # noqa: S324 - RFC 6455 says so
        connection.sendall(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        connection.sendall(bytes(reader.held))
        while data := connection.recv(65536):
            connection.sendall(data)
