"""A client of Envoy's authorization by somebody else's messages (xds-protos); run by the Python that has them.

python grpc_client.py ADDRESS KEY USER TARGET    prints the code, the denial's status, and the headers to overwrite
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

import grpc

auth: Any = importlib.import_module("envoy.service.auth.v3.external_auth_pb2")
stubs: Any = importlib.import_module("envoy.service.auth.v3.external_auth_pb2_grpc")
context: Any = importlib.import_module("envoy.service.auth.v3.attribute_context_pb2")
base: Any = importlib.import_module("envoy.config.core.v3.base_pb2")


def main(address: str, key: str, user: str, target: str) -> None:
    """One call."""
    lines = {":path": target, "x-user": user, "x-ticket": "REQ-1"}
    headers = [base.HeaderValue(key=name, raw_value=value.encode()) for name, value in lines.items()]
    http = context.AttributeContext.HttpRequest(
        method="POST", path=target, host="api.example", header_map=base.HeaderMap(headers=headers)
    )
    asked = context.AttributeContext(request=context.AttributeContext.Request(http=http))
    with grpc.insecure_channel(address) as channel:
        stub = stubs.AuthorizationStub(channel)
        metadata = [("muster-gateway-key", key)]
        answer = stub.Check(auth.CheckRequest(attributes=asked), metadata=metadata, timeout=20)
    overwrite = base.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    told = {
        "code": answer.status.code,
        "status": answer.denied_response.status.code,
        "headers": sorted(o.header.key for o in answer.ok_response.headers if o.append_action == overwrite),
        "decision": answer.dynamic_metadata["decision_id"],
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
