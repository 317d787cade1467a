"""Values for Envoy: `ext_authz` over gRPC (Muster's own 503 is told as it is) or over HTTP (its words are lost)."""

from __future__ import annotations

from typing import Final

from engine.gateways import shared
from engine.gateways.wishes import ASK_PATH, Place, Tls, Wishes

_TYPES: Final = "type.googleapis.com/envoy.extensions"


def values(wishes: Wishes) -> dict[str, str]:
    """What `envoy-grpc.yaml` or `envoy-http.yaml` needs; raises BadRequest."""
    shared.no_inner(wishes, "envoy")
    muster, backend = wishes.muster, shared.plain_backend(wishes, "envoy")
    return {
        "listen_host": wishes.listen.host or "0.0.0.0",  # noqa: S104 - asked for by whoever writes `:PORT`
        "listen_port": str(wishes.listen.port),
        "domains": ", ".join(f'"{name}{port}"' for name in wishes.names for port in ("", ":*")) or '"*"',
        "other_hosts": _other_hosts() if wishes.names else "",
        "ask_path": ASK_PATH,
        "ask_uri": "http://muster" if muster.path else muster.url,
        "secret": _secret(wishes) if wishes.key_file else "",
        "key": _key() if wishes.key_file else "",
        "backend_discovery": _discovery(backend),
        "backend_address": _address(backend),
        "muster_discovery": _discovery(muster),
        "muster_address": _address(muster),
        "tls": _tls(wishes.tls, muster, wishes.over) if wishes.tls else "",
        "connect": f"{shared.CONNECT_MS / 1000}s",
        "answer": f"{shared.ANSWER_MS / 1000}s",
        "idle": f"{shared.IDLE_SECONDS}s",
        "undecided": shared.problem("undecided"),
    }


def _other_hosts() -> str:
    return (
        '- name: other_hosts\n  domains: ["*"]\n  typed_per_filter_config:\n    envoy.filters.http.ext_authz:\n'
        f'      "@type": {_TYPES}.filters.http.ext_authz.v3.ExtAuthzPerRoute\n      disabled: true\n'
        '  routes:\n    - match: {prefix: "/"}\n      direct_response:\n        status: 421\n'
        f"        body: {{inline_string: '{shared.problem('host')}'}}"
    )


def _secret(wishes: Wishes) -> str:
    """The key's file is read by Envoy, at start."""
    return f'secrets:\n  - name: muster_key\n    generic_secret: {{secret: {{filename: "{wishes.key_file}"}}}}\n'


def _key() -> str:
    """The key is put into what goes to Muster, behind everything that sees a client's request."""
    return (
        "# The gateway's key goes into the ask, where no client's header is any more.\n"
        "http_filters:\n"
        "  - name: envoy.filters.http.credential_injector\n"
        "    typed_config:\n"
        f'      "@type": {_TYPES}.filters.http.credential_injector.v3.CredentialInjector\n'
        "      overwrite: true\n"
        "      credential:\n"
        "        name: envoy.http.injected_credentials.generic\n"
        "        typed_config:\n"
        f'          "@type": {_TYPES}.http.injected_credentials.generic.v3.Generic\n'
        "          credential: {name: muster_key}\n"
        "          header: muster-gateway-key\n"
        "  - name: envoy.filters.http.upstream_codec\n"
        "    typed_config:\n"
        f'      "@type": {_TYPES}.filters.http.upstream_codec.v3.UpstreamCodec'
    )


def _discovery(place: Place) -> str:
    """How a cluster finds its host: a name may have addresses of two families, of which one may lead nowhere."""
    return "type: STATIC" if place.path or place.is_ip else "type: STRICT_DNS\ndns_lookup_family: V4_PREFERRED"


def _address(place: Place) -> str:
    if place.path:
        return f'pipe: {{path: "{place.path}"}}'
    return f'socket_address: {{address: "{place.host}", port_value: {place.port}}}'


def _tls(tls: Tls, muster: Place, over: str) -> str:
    """A transport socket: believe this authority and this name only, and show the gateway's certificate."""
    lines = [
        "transport_socket:",
        "  name: envoy.transport_sockets.tls",
        "  typed_config:",
        f'    "@type": {_TYPES}.transport_sockets.tls.v3.UpstreamTlsContext',
        *([] if muster.is_ip else [f'    sni: "{muster.host}"']),
        "    common_tls_context:",
        f"      alpn_protocols: [{'h2' if over == 'grpc' else 'http/1.1'}]",
    ]
    if tls.cert:
        lines += [
            "      tls_certificates:",
            f'        - certificate_chain: {{filename: "{tls.cert}"}}',
            f'          private_key: {{filename: "{tls.key}"}}',
        ]
    lines += [
        "      validation_context:",
        f'        trusted_ca: {{filename: "{tls.ca}"}}',
        "        match_typed_subject_alt_names:",
        f"          - san_type: {'IP_ADDRESS' if muster.is_ip else 'DNS'}",
        f'            matcher: {{exact: "{muster.host}"}}',
    ]
    return "\n".join(lines)
