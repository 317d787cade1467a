"""What somebody of one tenant could try against another: at least one request for each documented endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.service.running import export, instant

THEIRS = "mia-of-the-others"
HIDDEN = ("hidden-person", "Pacific/Apia")
"""A person whom no request names, and what stands in their directory."""
ROLES = ("admin", "auditor", "author", "gateway", "app", "person")
_SECRETS = (*HIDDEN, "hidden window", "HID-1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One request: parameters of the path, of the query, and body."""

    path: dict[str, str] = field(default_factory=dict)
    query: dict[str, Any] | None = None
    body: Any = None
    known: tuple[str, ...] = ()
    """What of theirs is in what is sent, where that cannot be seen."""

    def filled(self, template: str) -> str:
        """The path of the request."""
        return template.format(**self.path)

    def secrets(self, theirs: dict[str, str]) -> list[str]:
        """What the answer must not hold: all that is theirs and is not in the request itself, or the same for both."""
        sent = f"{self.path} {self.query} {self.body}"
        shared = {theirs[each] for each in ("revision", *self.known)}
        return [each for each in (*_SECRETS, *theirs.values()) if each not in sent and each not in shared]


Attacks = dict[tuple[str, str], tuple[set[int], list[Attack]]]
"""By method and path: which answers there may be beside 401 and 403, and the requests."""


def attacks(theirs: dict[str, str], ours: dict[str, str]) -> Attacks:
    """For every endpoint that is documented."""
    return {
        **_deciding(theirs), **_people(theirs, ours), **_learning(theirs), **_log(theirs), **_operating(theirs, ours),
    }  # fmt: skip


def _deciding(theirs: dict[str, str]) -> Attacks:
    asked = export(THEIRS, approvals=[theirs["approval"]])
    windowed = export(THEIRS, change_window=theirs["window"])
    search = {
        "subject": {"type": "user"}, "action": {"name": "data-export"}, "page": {"limit": 1},
        "resource": {"type": "dataset", "id": "customers"},
    }  # fmt: skip
    going_on = {**search, "page": {"token": theirs["page"]}}
    return {
        ("POST", "/v1/decisions"): ({200}, [Attack(body=asked), Attack(body=windowed)]),
        ("GET", "/v1/decisions/{decision_id}"): (
            {404},
            [Attack(path={"decision_id": theirs[each]}) for each in ("decision", "approval", "window")],
        ),
        ("GET", "/v1/is-certified"): ({200}, [Attack(query={"user": THEIRS, "scope": "data-export"})]),
        ("GET", "/v1/next-required-training"): ({200}, [Attack(query={"user": THEIRS, "action": "data-export"})]),
        ("GET", "/v1/gates"): ({200}, [Attack()]),
        ("POST", "/access/v1/evaluation"): ({200}, [Attack(body=asked)]),
        ("POST", "/access/v1/evaluations"): ({200}, [Attack(body={"evaluations": [asked, windowed]})]),
        ("POST", "/access/v1/search/subject"): ({200, 400}, [Attack(body=search), Attack(body=going_on)]),
        ("POST", "/access/v1/search/resource"): (
            {200, 400},
            [Attack(body={**export(THEIRS), "resource": {"type": "dataset"}})],
        ),
        ("POST", "/access/v1/search/action"): (
            {200},
            [
                Attack(
                    body={"subject": {"type": "user", "id": THEIRS}, "resource": {"type": "dataset", "id": "customers"}}
                )
            ],
        ),
        ("GET", "/.well-known/authzen-configuration"): ({200, 404}, [Attack()]),
        ("GET", "/.well-known/jwks.json"): ({200, 404}, [Attack()]),
        ("GET", "/tenants/{tenant}/jwks.json"): ({200}, [Attack(path={"tenant": "default"})]),
    }


def _people(theirs: dict[str, str], ours: dict[str, str]) -> Attacks:
    soon = instant(timedelta(days=1))
    row = {
        "user": THEIRS, "module": "secure-data-export", "version": "1.0.0", "tier": "completed",
        "passed_at": instant(-timedelta(days=1)), "reason": "test", "provenance": "test",
    }  # fmt: skip
    erasure = {"user": THEIRS, "reason": "gone", "approved_by": [theirs["admin"]]}
    return {
        ("GET", "/v1/subjects/{user}"): ({404}, [Attack(path={"user": THEIRS})]),
        ("PUT", "/v1/subjects/{user}"): ({200}, [Attack(path={"user": "another"}, body={"persona": "engineers"})]),
        ("POST", "/v1/results/import"): ({400, 404}, [Attack(body={"results": [row]})]),
        ("POST", "/v1/approvals"): ({200}, [Attack(body=export(THEIRS))]),
        ("POST", "/v1/requests"): ({404}, [Attack(body=export(THEIRS))]),
        ("GET", "/v1/requests/{request_id}"): ({404}, [Attack(path={"request_id": theirs["request"]})]),
        ("POST", "/v1/requests/{request_id}/withdrawal"): (
            {404}, [Attack(path={"request_id": theirs["request"]}, body={"reason": "r"})],
        ),
        ("POST", "/v1/change-windows"): (
            {200},
            [Attack(body={
                "title": "t", "reason": "r", "starts_at": instant(), "ends_at": soon,
                "resources": [{"type": "dataset", "id": "customers"}],
            })],
        ),
        ("POST", "/v1/waivers"): (
            {404},
            [Attack(body={"user": THEIRS, "scope": "data-export", "reason": "r", "until": soon})],
        ),
        ("POST", "/v1/certifications/{certification_id}/revocation"): (
            {404},
            [Attack(path={"certification_id": theirs["certification"]}, body={"reason": "r"})],
        ),
        ("POST", "/v1/legal-holds"): ({404}, [Attack(body={"user": THEIRS, "event": "placed", "reason": "r"})]),
        ("POST", "/v1/erasures"): ({200, 403}, [
            Attack(body=erasure), Attack(body={**erasure, "approved_by": [ours["admin"]]}),
        ]),
        ("POST", "/v1/sessions"): ({404}, [Attack(body={"user": THEIRS})]),
        ("PUT", "/v1/accommodations/{user}"): (
            {404}, [Attack(path={"user": THEIRS}, body={"time": 25, "reason": "r"})],
        ),
    }  # fmt: skip


def _learning(theirs: dict[str, str]) -> Attacks:
    attempt, module = {"attempt_id": theirs["attempt"]}, {"module": "secure-data-export"}
    answers = {"save": theirs["save"], "answers": {}}
    lowering = {"until": instant(timedelta(days=1)), "reason": "r"}
    regrade = {"module": "secure-data-export", "item": "i", "reason": "r"}
    return {
        ("GET", "/v1/modules/{module}"): ({200}, [Attack(path=module)]),
        ("POST", "/v1/modules/{module}/reading"): ({200, 400}, [Attack(path=module, body={"slides": ["one"]})]),
        ("POST", "/v1/modules/{module}/attempts"): ({200}, [Attack(path=module, body={})]),
        ("GET", "/v1/attempts/{attempt_id}"): ({404}, [Attack(path=attempt)]),
        ("PUT", "/v1/attempts/{attempt_id}/draft"): ({404}, [Attack(path=attempt, body=answers)]),
        ("POST", "/v1/attempts/{attempt_id}/answers"): ({404}, [Attack(path=attempt, body=answers)]),
        ("POST", "/v1/attempts/{attempt_id}/events"): ({404}, [
            Attack(path=attempt, body={"save": theirs["save"], "step": "s", "answer": "a"}),
            Attack(path=attempt, body={"event": "done", "data": {}}),
        ]),
        ("POST", "/v1/regrades"): ({400, 404}, [Attack(body=regrade)]),
        ("POST", "/v1/results/{result_id}/lowering"): (
            {404}, [Attack(path={"result_id": theirs["result"]}, body=lowering)],
        ),
        ("GET", "/v1/training"): ({200, 400, 404}, [Attack(), Attack(query={"user": THEIRS})]),
        ("GET", "/v1/badges/{entry_id}"): ({404}, [Attack(path={"entry_id": theirs["certification"]})]),
        ("POST", "/v1/badges/verification"): (
            {200}, [Attack(body={"badge": theirs["badge"]}, known=("certification", "result"))],
        ),
        ("GET", "/badges/{tenant}/issuer"): ({200}, [Attack(path={"tenant": "default"})]),
        ("GET", "/badges/{tenant}/status/{number}"): ({200}, [Attack(path={"tenant": "default", "number": "0"})]),
        ("GET", "/v1/statements"): ({200}, [Attack(), Attack(query={"user": THEIRS})]),
    }  # fmt: skip


def _log(theirs: dict[str, str]) -> Attacks:
    return {
        ("GET", "/v1/ledger/head"): ({200}, [Attack()]),
        ("GET", "/v1/ledger/checkpoint"): ({200, 404}, [Attack()]),
        ("POST", "/v1/ledger/checkpoint"): ({200}, [Attack()]),
        ("GET", "/v1/ledger/witnesses"): ({200}, [Attack()]),
        ("POST", "/v1/ledger/alarms/{witness}/clearance"): (
            {404}, [Attack(path={"witness": "w"}, body={"reason": "r"})],
        ),
        ("GET", "/v1/ledger/checkpoints"): ({200}, [Attack()]),
        ("POST", "/v1/ledger/key-rotation"): ({403}, [Attack(body={"reason": "r"})]),
        ("POST", "/v1/ledger/archives"): (
            {200},
            [Attack(body={"sha256": "0" * 64, "name": "n", "user": THEIRS})],
        ),
        ("GET", "/v1/ledger/entries"): ({200}, [Attack(query={"limit": 1000})]),
        ("GET", "/v1/ledger/entries/{entry_id}"): (
            {404},
            [
                Attack(path={"entry_id": theirs[each]})
                for each in ("decision", "approval", "window", "result", "request")
            ],
        ),
        ("GET", "/v1/ledger/proofs/inclusion"): ({404}, [Attack(query={"id": theirs["decision"]})]),
        ("GET", "/v1/ledger/proofs/consistency"): ({200}, [Attack(query={"from": 1})]),
        ("GET", "/v1/ledger/verify"): ({200}, [Attack()]),
        ("GET", "/tlog/{tenant}/checkpoint"): ({403}, [Attack(path={"tenant": "default"})]),
        ("GET", "/tlog/{tenant}/tile/{path}"): ({403}, [
            Attack(path={"tenant": "default", "path": each}) for each in ("0/000.p/1", "entries/000.p/1")
        ]),
        ("POST", "/v1/ledger/copies"): (
            {404},
            [Attack(body={"copy": "archive", "name": "n", "sha256": "0" * 64, "user": THEIRS})],
        ),
        ("POST", "/v1/ledger/rebuilds"): ({200, 409}, [Attack(body={"reason": "r"})]),
    }  # fmt: skip


def _operating(theirs: dict[str, str], ours: dict[str, str]) -> Attacks:
    clock = {"first": ours["admin"], "second": theirs["admin"], "reason": "r"}
    return {
        ("POST", "/v1/tokens"): ({200}, [Attack(body={"role": "gateway", "principal": "system:caddy"})]),
        ("GET", "/v1/tokens"): ({200}, [Attack()]),
        ("DELETE", "/v1/tokens/{token_id}"): ({404}, [Attack(path={"token_id": theirs["token"]})]),
        ("POST", "/v1/activations"): ({200}, [Attack(body={"revision": theirs["revision"], "reason": "r"})]),
        ("POST", "/v1/ledger/clock-adjustment"): ({409}, [Attack(body=clock)]),
        ("GET", "/healthz"): ({200}, [Attack()]),
        ("GET", "/readyz"): ({200}, [Attack()]),
        ("GET", "/metrics"): ({200}, [Attack()]),
    }
