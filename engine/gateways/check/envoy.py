"""The stand-in over gRPC: `envoy.service.auth.v3.Authorization/Check`, answered by the same plans.

Envoy goes by the code of the status alone: what the plan does not say is made here as Muster makes it, and what Muster
never says (bytes that are no message, an error of gRPC, an empty response) can be said as well.
"""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from engine.adapters.gateway.messages import (
    OVERWRITE_IF_EXISTS_OR_ADD,
    SERVICE,
    CheckRequest,
    CheckResponse,
    DeniedHttpResponse,
    HeaderValue,
    HeaderValueOption,
    HttpRequest,
    HttpStatus,
    OkHttpResponse,
    Status,
)
from engine.gateways.check.asks import Check
from engine.gateways.check.pdp import Answers, Plan, told

_CODES: Final = {200: 0, 401: 16, 403: 7, 503: 14}
_STOP_SECONDS: Final = 5.0


class GrpcPdp(Answers):
    """Answers over gRPC, on a port or a Unix socket."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        path: Path | None = None,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        super().__init__()
        self.host, self.port, self.path, self.credentials = host, port, path, credentials
        self._server: grpc.Server | None = None
        self._peers: set[str] = set()
        self.start()

    @property
    def connections(self) -> int:
        """How many have brought an ask."""
        return len(self._peers)

    def start(self) -> None:
        """Listen; on TCP on the port of before, if it had one. Raises OSError: a file that is there is not replaced."""
        assert self._server is None, "it runs"
        if self.path is not None and self.path.exists():
            raise OSError(errno.EADDRINUSE, "Address already in use", str(self.path))
        server = grpc.server(ThreadPoolExecutor(64), options=[("grpc.so_reuseport", 0)])
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._check)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Check": handler}),))
        try:
            if self.credentials is None:
                port = server.add_insecure_port(self._address())
            else:
                port = server.add_secure_port(self._address(), self.credentials)
        except RuntimeError as exc:
            raise OSError(errno.EADDRINUSE, "Address already in use") from exc
        if self.path is None:
            self.port = port
        server.start()
        self._server = server

    def stop(self) -> None:
        """End, and cut all connections."""
        if self._server is not None:
            self._go.set()
            self._server.stop(0).wait(_STOP_SECONDS)
            self._server = None
            if self.path is not None:
                self.path.unlink(missing_ok=True)

    def cut(self) -> None:
        """Close the connections: gRPC can that only by stopping, so for a moment nobody listens."""
        self.stop()
        self.start()

    def _address(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def _check(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        """One ask, as bytes: what cannot be read is answered like all else."""
        self._peers.add(context.peer())
        plan, decision = self.give(_read(request, context))
        if plan.how == "garbage":
            return b"\xff\xff\xff\xff"
        if plan.how == "empty":
            return b""
        if plan.how != "answer":
            context.abort(grpc.StatusCode.UNAVAILABLE, "no answer")
        made: bytes = _response(plan, decision).SerializeToString()
        return made


def _read(request: bytes, context: grpc.ServicerContext) -> Check:
    try:
        http = CheckRequest.FromString(request).attributes.request.http
    except DecodeError:
        http = HttpRequest()
    raw = [(h.key, (h.raw_value or h.value.encode()).decode("latin-1")) for h in http.header_map.headers]
    return Check(
        raw=request,
        first=f"Check {http.method} {http.path}",
        lines=raw or sorted(http.headers.items()),
        body=http.raw_body or http.body,
        method_told=http.method,
        target_told=http.path,
        host_told=http.host,
        metadata=[(str(key), str(value)) for key, value in context.invocation_metadata() or ()],
    )


def _response(plan: Plan, decision: str) -> Any:
    status = Status(code=_CODES.get(plan.status, 7))
    headers = [
        HeaderValueOption(
            header=HeaderValue(key=name.lower(), value=value),
            append_action=OVERWRITE_IF_EXISTS_OR_ADD,
        )
        for name, value in told(plan, decision).items()
    ]
    if plan.status == 200:
        return CheckResponse(status=status, ok_response=OkHttpResponse(headers=headers))
    denied = DeniedHttpResponse(status=HttpStatus(code=plan.status), headers=headers, body=plan.body)
    return CheckResponse(status=status, denied_response=denied)
