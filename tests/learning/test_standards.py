"""Badges and statements, checked with validators that others wrote."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from openbadgeslib.ob3 import OB3VerificationError, OB3Verifier
from ralph.models.xapi.base.statements import BaseXapiStatement

from tests.learning.learner import Learner
from tests.service.running import Service


@pytest.fixture
def certified(new_learner: Callable[..., Learner]) -> Learner:
    """A learner who is certified for data exports."""
    learner = new_learner("badge")
    learner.pass_quiz()
    learner.play()
    return learner


def held(learner: Learner) -> str:
    """The evidence ID of the certification."""
    scopes = learner.call("GET", "/v1/training")["scopes"]
    return str(next(s for s in scopes if s["scope"] == "data-export")["evidence"][0])


def badge_of(learner: Learner, entry: str) -> str:
    """The badge of a certification."""
    answer = learner.service.http("GET", f"/v1/badges/{entry}", role=learner.role)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vc+jwt"
    return answer.text


def verifier(service: Service) -> OB3Verifier:
    """Somebody else's verifier, with the issuer's key as it is published."""
    [key] = service.http("GET", "/badges/default/issuer").json()["jwks"]["keys"]
    raw = base64.urlsafe_b64decode(key["x"] + "=" * (-len(key["x"]) % 4))
    public = Ed25519PublicKey.from_public_bytes(raw)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return OB3Verifier(pem)


def downloader(service: Service) -> Callable[..., bytes]:
    """Fetches from the running service what a badge points to."""

    def download(url: str, *_: Any, **__: Any) -> bytes:
        return service.http("GET", url.removeprefix(service_base(service))).content

    return download


def service_base(service: Service) -> str:
    """What the badges' addresses begin with: the service listens on a port of chance, its settings name port 0."""
    return "http://" + service.env["MUSTER_LISTEN"]


def test_a_badge_passes_somebody_elses_verifier(certified: Learner) -> None:
    """Signature, structure, dates and status of an Open Badges 3.0 credential; and its evidence is in the log."""
    service = certified.service
    text = badge_of(certified, held(certified))
    assert badge_of(certified, held(certified)) == text, "made again from the ledger, it is the same text"
    credential = verifier(service).verify(text, check_status=True, download=downloader(service))
    assert credential.expiration_date is not None
    told = service.http("POST", "/v1/badges/verification", json={"badge": text}).json()
    assert told["standing"] == "valid"
    assert certified.user not in json.dumps(told["credential"]), "the person's ID does not stand in clear"
    for evidence in told["credential"]["evidence"]:
        path = evidence["id"].removeprefix(service_base(service))
        assert service.call("auditor", "GET", path)["kind"] in ("certification", "result")
        proof = evidence["narrative"].split()[-1].removeprefix(service_base(service))
        assert service.call("auditor", "GET", proof)["id"] in path


def test_a_revoked_badge_says_so_to_everybody(certified: Learner) -> None:
    """The status list has its bit: the other verifier refuses it, and so do we; a new badge after renewal is good."""
    service, entry = certified.service, held(certified)
    text = badge_of(certified, entry)
    service.call("admin", "POST", f"/v1/certifications/{entry}/revocation", {"reason": "test"})
    with pytest.raises(OB3VerificationError, match="revocation"):
        verifier(service).verify(text, check_status=True, download=downloader(service))
    assert service.http("POST", "/v1/badges/verification", json={"badge": text}).json()["standing"] == "revoked"


def test_a_forged_badge_is_refused(certified: Learner) -> None:
    """One changed character, no signature, another issuer, no badge at all: 400, and why."""
    service = certified.service
    text = badge_of(certified, held(certified))
    header, payload, signature = text.split(".")
    flipped = "A" if signature[5] != "A" else "B"
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    for forged in (
        f"{header}.{payload}.{signature[:5]}{flipped}{signature[6:]}",
        f"{none}.{payload}.",
        f"{header}.{payload[:-4]}.{signature}",
        "no badge",
        "..",
    ):
        answer = service.http("POST", "/v1/badges/verification", json={"badge": forged})
        assert answer.status_code == 400, answer.text


def test_a_badge_is_its_owners(new_learner: Callable[..., Learner], certified: Learner) -> None:
    """Another learner cannot fetch it; an auditor can; a badge of something else is not there."""
    entry = held(certified)
    other = new_learner("other")
    assert other.service.http("GET", f"/v1/badges/{entry}", role=other.role).status_code == 403
    assert other.service.http("GET", f"/v1/badges/{entry}", role="auditor").status_code == 200
    attempt = other.begin()["attempt_id"]
    assert other.service.http("GET", f"/v1/badges/{attempt}", role="auditor").status_code == 404
    assert other.service.http("GET", "/badges/nobody/issuer").status_code == 404
    assert other.service.http("GET", "/badges/default/status/7").status_code == 404


def test_statements_pass_somebody_elses_model(new_learner: Callable[..., Learner]) -> None:
    """One statement for each result and certification: IDs are evidence IDs, registration is the attempt.

    The model knows xAPI 1.0.3; of what is used here version 2.0 changes the version's number alone.
    """
    learner = new_learner("xapi")
    failed = learner.fail()
    passed = learner.pass_quiz()
    learner.play()
    page = learner.service.call("auditor", "GET", f"/v1/statements?user={learner.user}")
    statements = page["statements"]
    assert page["more"] == ""
    for statement in statements:
        assert statement["version"] == "2.0.0"
        BaseXapiStatement(**{**statement, "version": "1.0.3"})
    by_id = {s["id"]: s for s in statements}
    assert by_id[failed["result_id"]]["verb"]["id"].endswith("/failed")
    score = by_id[passed["result_id"]]["result"]["score"]
    assert score == {"raw": 4, "min": 0, "max": 4, "scaled": 1.0}
    assert by_id[passed["result_id"]]["context"]["registration"]
    assert [s["verb"]["id"].rpartition("/")[2] for s in statements] == [
        "failed", "passed", "certified", "passed", "certified", "certified",
    ]  # fmt: skip


def test_statements_are_paged(new_learner: Callable[..., Learner]) -> None:
    """Page by page it is the same list."""
    learner = new_learner("pages")
    learner.pass_quiz()
    learner.play()
    whole = learner.service.call("auditor", "GET", f"/v1/statements?user={learner.user}")["statements"]
    found, path = [], f"/v1/statements?limit=1&user={learner.user}"
    while path:
        page = learner.service.call("auditor", "GET", path)
        found += page["statements"]
        path = page["more"]
    assert found == whole
