"""Servers that always answer the same, as fast as Python can: an application behind a gateway, and a constant yes.

python -m benchmarks.constant http PORT | grpc PORT
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final, cast

import grpc
import grpc.aio
import uvloop

from engine.adapters.gateway import messages

ID: Final = "01890000-0000-7000-8000-000000000000"
_ANSWER: Final = (
    f"HTTP/1.1 200 OK\r\nMuster-Decision-Id: {ID}\r\nMuster-Assertion: a.b.c\r\nContent-Length: 2\r\n"
    "Content-Type: text/plain\r\n\r\nok"
).encode()


class Constant(asyncio.Protocol):
    """Answers each head that comes; what gateways and the load generator send comes with its whole body."""

    def __init__(self) -> None:
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        """Some of a request, or several."""
        self._held += data
        while b"\r\n\r\n" in self._held:
            head, _, rest = self._held.partition(b"\r\n\r\n")
            length = _length(head)
            if len(rest) < length:
                return
            self._held = rest[length:]
            self._transport.write(_ANSWER)


def _length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    return 0 if at < 0 else int(head[at + 17 :].partition(b"\r\n")[0])


async def yes(_request: bytes, _context: Any) -> bytes:
    """Envoy's protocol: everybody passes."""
    made: bytes = messages.CheckResponse(status=messages.Status(code=0)).SerializeToString()
    return made


async def _serve(kind: str, port: int) -> None:
    if kind == "grpc":
        server = grpc.aio.server()
        check: Any = grpc.unary_unary_rpc_method_handler(yes)
        handler = grpc.method_handlers_generic_handler(messages.SERVICE, {"Check": check})
        server.add_generic_rpc_handlers((handler,))
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        await server.wait_for_termination()
    else:
        listening = await asyncio.get_running_loop().create_server(Constant, "127.0.0.1", port)
        await listening.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], int(sys.argv[2])))
