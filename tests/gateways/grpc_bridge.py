"""Envoy's gRPC asks, brought to the stand-in: `Authorization/Check` here, one HTTP request there, its answer back.

Run by the environment that has grpcio and Envoy's message types (`install.sh`), never imported:
`grpc_bridge.py LISTEN PDP_PORT [CA CERTIFICATE KEY]`. It prints a line when it listens. The stand-in gets a POST
whose body is JSON: method, path, host, the header lines, the metadata of the call, the peer's certificate.
"""

from __future__ import annotations

import http.client
import importlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# Their types are not in the project's environment: they are loaded by name.
grpc: Any = importlib.import_module("grpc")
auth: Any = importlib.import_module("envoy.service.auth.v3.external_auth_pb2")
base: Any = importlib.import_module("envoy.config.core.v3.base_pb2")

_CODES = {401: 16, 403: 7, 503: 14}
_HOP = {"content-length", "connection", "transfer-encoding", "content-type"}


def main(listen: str, pdp: str, *tls: str) -> None:
    """Serve until the standard input ends."""
    server = grpc.server(ThreadPoolExecutor(32))
    handler = grpc.unary_unary_rpc_method_handler(
        lambda request, context: check(request, context, int(pdp)),
        request_deserializer=auth.CheckRequest.FromString,
        response_serializer=auth.CheckResponse.SerializeToString,
    )
    service = "envoy.service.auth.v3.Authorization"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Check": handler}),))
    if tls:
        ca, certificate, key = (Path(path).read_bytes() for path in tls)
        credentials = grpc.ssl_server_credentials([(key, certificate)], ca, require_client_auth=True)
        server.add_secure_port(listen, credentials)
    else:
        server.add_insecure_port(listen)
    server.start()
    print("listening", flush=True)  # noqa: T201 - who started it waits for this line
    sys.stdin.read()
    server.stop(0)


def check(request: Any, context: Any, pdp: int) -> Any:
    """One ask: an answer of the stand-in that cannot be read is the call's failure."""
    http_request = request.attributes.request.http
    raw = [(h.key, h.raw_value.decode("latin-1") or h.value) for h in http_request.header_map.headers]
    told = {
        "method": http_request.method,
        "path": http_request.path,
        "host": http_request.host,
        "headers": raw or sorted(http_request.headers.items()),
        "body": len(http_request.body) + len(http_request.raw_body),
        "metadata": [[key, str(value)] for key, value in context.invocation_metadata()],
        "certificate": request.attributes.source.certificate,
    }
    connection = http.client.HTTPConnection("127.0.0.1", pdp, timeout=60)
    try:
        connection.request("POST", "/v1/forward-auth", json.dumps(told), {"Muster-Test-Bridge": "1"})
        answer = connection.getresponse()
        body = answer.read().decode()
    except (OSError, http.client.HTTPException) as exc:
        context.abort(grpc.StatusCode.UNAVAILABLE, f"no answer: {exc!r}")
        raise
    finally:
        connection.close()
    return answered(answer.status, answer.getheaders(), body)


def answered(status: int, headers: list[tuple[str, str]], body: str) -> Any:
    """The stand-in's answer as a CheckResponse."""
    response = auth.CheckResponse()
    allowed = status == 200
    response.status.code = 0 if allowed else _CODES.get(status, 7)
    into = response.ok_response.headers if allowed else response.denied_response.headers
    if not allowed:
        response.denied_response.status.code = status
        response.denied_response.body = body
    for name, value in headers:
        if name.lower() not in _HOP - ({"content-type"} if not allowed else set()):
            option = into.add()
            option.header.key, option.header.value = name.lower(), value
            option.append_action = base.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    return response


if __name__ == "__main__":
    main(*sys.argv[1:])
