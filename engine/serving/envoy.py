"""Envoy's listener: external authorization over gRPC, beside HTTP, in the same process and loop."""

from __future__ import annotations

import logging
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from engine.access.certificate import ClientCertificate, presented
from engine.adapters.gateway import answers, envoy, messages
from engine.adapters.gateway.answers import Answer
from engine.adapters.gateway.asks import Ask, Unclear
from engine.api.envelope import request_id_of
from engine.api.gateway import KEY_HEADER, Credentials, Gateways
from engine.home import Busy
from engine.serving.certificates import Pair
from engine.serving.renewing import Certificates

_log = logging.getLogger(__name__)
_MOST_BYTES: Final = 4 << 20  # more is an error of gRPC's own, which could be taken for an allow
_ASKS_FOR_NONE: Final = (
    "gRPC asks for a client's certificate only where it requires one, so at MUSTER_ENVOY_LISTEN a gateway is known by "
    "its key alone; for certificates there set `require`"
)
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MOST_BYTES),
    ("grpc.max_send_message_length", _MOST_BYTES),
    ("grpc.so_reuseport", 1),
    ("grpc.keepalive_permit_without_calls", 1),
)


class Authorization:
    """`envoy.service.auth.v3.Authorization`. What it is asked is read here and not by gRPC, whose own errors could be
    taken for an allow (`failure_mode_allow`)."""

    def __init__(self, gateways: Gateways) -> None:
        self._gateways = gateways

    def handler(self) -> grpc.GenericRpcHandler:
        """Its one call."""
        check: Any = grpc.unary_unary_rpc_method_handler(self.check)
        return grpc.method_handlers_generic_handler(messages.SERVICE, {"Check": check})

    async def check(self, data: bytes, context: Any) -> bytes:
        """Answer one CheckRequest by a CheckResponse."""
        try:
            answer = await self._answered(messages.CheckRequest.FromString(data), context)
        except DecodeError:
            answer = answers.undecided(None, "malformed", "this is no CheckRequest")
        except Exception:  # noqa: BLE001 - raised again it would be gRPC's own error
            _log.exception("a CheckRequest was not answered, because of a fault of this service")
            answer = answers.undecided(None, "fault", "not answered, because of a fault of this service")
        made: bytes = envoy.response(answer).SerializeToString()
        return made

    async def _answered(self, request: Any, context: Any) -> Answer:
        """The gateway's key is in the call's metadata."""
        ask, headers = envoy.ask(request)
        keys = [
            value if isinstance(value, bytes) else value.encode("latin-1", "replace")
            for name, value in context.invocation_metadata() or ()
            if name.encode("latin-1", "replace") == KEY_HEADER
        ]

        def read(kind: str) -> Ask | Unclear:
            return ask if kind == "envoy-grpc" else Unclear(f"a gateway of this kind ({kind}) does not ask over gRPC")

        return await self._gateways.asked(
            Credentials(keys=keys, certificate=_certificate(context)),
            request_id_of(headers),
            read,
            lambda namespace: envoy.verified(request, namespace),
        )


def _certificate(context: Any) -> ClientCertificate | None:
    """The client's certificate, which gRPC has verified where it is there."""
    chain = tuple(pem.decode("ascii") for pem in context.auth_context().get("x509_pem_cert", ()))
    return presented({"extensions": {"tls": {"client_cert_chain": chain}}}) if chain else None


def credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """What is offered in a handshake: the service's own certificate, as it is then."""
    return grpc.dynamic_ssl_server_credentials(
        _configuration(certificates.pair),
        lambda: _configuration(certificates.pair),
        require_client_authentication=certificates.tls.client_required,
    )


def _configuration(pair: Pair) -> grpc.ServerCertificateConfiguration:
    roots = None if pair.client_ca is None else pair.client_ca.encode()
    return grpc.ssl_server_certificate_configuration([(pair.key.encode(), "".join(pair.chain).encode())], roots)


async def serve(gateways: Gateways, address: str, certificates: Certificates | None) -> grpc.aio.Server:
    """Listen at `host:port` or `unix:PATH`; raises Busy."""
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((Authorization(gateways).handler(),))
    try:
        if certificates is not None and not address.startswith("unix:"):
            if certificates.tls.client_ca is not None and not certificates.tls.client_required:
                _log.warning("MUSTER_TLS_CLIENT=optional: %s", _ASKS_FOR_NONE)
            server.add_secure_port(address, credentials(certificates))
        else:
            server.add_insecure_port(address)
    except RuntimeError as exc:
        raise Busy(f"cannot listen on {address} for Envoy; choose another MUSTER_ENVOY_LISTEN") from exc
    await server.start()
    return server
