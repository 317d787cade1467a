"""Over TLS: only to a service whose certificate is believed, whatever the environment says."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import pytest
from muster_client import Client, Entity, Undecided

from tests.clients.javascript import node
from tests.service.running import Service
from tests.serving.secure import Secure

CONTEXT = {"destination": "warehouse://analytics", "ticket": "REQ-1", "columns": ["customer_id"]}


def test_a_token_goes_to_whom_is_believed(new_service: Callable[[], Service]) -> None:
    """With the authority that signed the service's certificate there is an answer, without it none, in both kits."""
    service = Secure.of(new_service())
    try:
        service.start()
        service.person("ada")
        _held_against(service)
    finally:
        service.stop()


def _held_against(service: Secure) -> None:
    url, token = service.url.replace("127.0.0.1", "localhost"), service.token("gateway")
    assert url.startswith("https://")
    dataset = Entity("dataset", "customers", {"customer": "acme"})
    trusts: list[ssl.SSLContext | bool] = [service.context, True]
    for verify in trusts:
        with Client(url, token=token, verify=verify, timeout=5) as client:
            if verify is not True:
                assert client.decide("ada", "data-export", dataset, CONTEXT).verdict == "deny"
                continue
            with pytest.raises(Undecided) as undecided:
                client.decide("ada", "data-export", dataset, CONTEXT)
            assert undecided.value.cause == "unreachable"
    asked = {"what": "ask", "url": url, "token": token, "user": "ada", "context": CONTEXT, "timeoutMs": 5000}
    trusted, stranger = node([{**asked, "ca": service.authority.pem}, asked])
    assert (trusted["verdict"], stranger["undecided"]) == ("deny", "unreachable")
