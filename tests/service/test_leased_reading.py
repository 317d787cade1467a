"""A leased decision is read like a whole one: over HTTP, by `muster explain`, and on the ledger's pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.service.leased import leasing
from tests.service.running import Service

_OWN = {"decision_id", "index", "at", "now", "request_id", "dropped", "leans_on"}
_TEXTS = {
    "en": ("Answered by a lease.", "The whole decision, put together from both"),
    "de": ("Durch eine Lease beantwortet.", "Die ganze Entscheidung, aus beiden zusammengesetzt"),
}


@dataclass(frozen=True)
class Leased:
    """A running service, and the IDs of a whole decision and of those that say that they are leased from it."""

    service: Service
    first: str
    leased: str
    forged: str
    of_nothing: str


@pytest.fixture(scope="module")
def told(new_service: Callable[[], Service]) -> Leased:
    """One right lease, one of a leased decision, one of nothing."""
    service = new_service().start()
    service.person("ada")
    service.train("ada")
    first = service.decide("ada")["decision_id"]
    service.token("auditor")
    service.stop()
    with leasing(service.home) as leaser:
        leased = leaser.lease(first)
        forged = leaser.forge(first, leans_on=leased)
        of_nothing = leaser.forge(first, leans_on="01890000-0000-7000-8000-000000000000")
    return Leased(service.start(), first, leased, forged, of_nothing)


def _read(told: Leased, decision: str, want: int = 200) -> Any:
    return told.service.call("auditor", "GET", f"/v1/decisions/{decision}", want=want)


def test_a_leased_decision_has_the_shape_of_a_whole_one(told: Leased) -> None:
    """The same fields; what is not its own is the first's."""
    first, leased = _read(told, told.first), _read(told, told.leased)
    assert first.keys() == leased.keys()
    assert {name for name in first if first[name] != leased[name]} == _OWN
    assert first["leans_on"] is None
    assert leased["leans_on"] == told.first
    assert leased["request_id"] == "leased"
    assert leased["dropped"] == ["/context/colour"] != first["dropped"]
    assert first["now"] < leased["now"] <= leased["at"]


def test_explain_says_by_whose_lease_it_was_answered(told: Leased) -> None:
    """And of a whole decision nothing of the kind."""
    done = told.service.muster("explain", told.leased)
    assert f"  answered by the lease of decision {told.first}\n" in done.stdout
    assert "ALLOW" in done.stdout
    assert told.leased in done.stdout
    assert "lease" not in told.service.muster("explain", told.first).stdout


def test_a_lease_of_nothing_is_a_sentence(told: Leased) -> None:
    """Neither an answer nor a traceback, where a log was forged."""
    for decision in (told.forged, told.of_nothing):
        assert "muster ledger verify" in _read(told, decision, want=503)["detail"]


@pytest.mark.parametrize("locale", sorted(_TEXTS))
def test_the_page_of_a_leased_decision_shows_the_whole(told: Leased, locale: str) -> None:
    """With the facts of its first, a way there, and its own payload as it is."""
    said, whole = _TEXTS[locale]
    headers = {"Origin": told.service.url, "Accept-Language": locale}
    with httpx.Client(base_url=told.service.url, headers=headers, follow_redirects=True, timeout=30) as client:
        client.post("/ledger/enter", data={"token": told.service.token("auditor"), "back": "/ledger"})
        page = client.get(f"/ledger/entries/{told.leased}").text
        assert said in page
        assert whole in page
        assert f"/ledger/entries/{told.first}" in page
        blocks = re.findall(r'<pre class="long".*?</pre>', page, re.DOTALL)
        assert ["&#34;facts&#34;" in block for block in blocks] == [True, False]
        assert said not in client.get(f"/ledger/entries/{told.first}").text
        for decision in (told.forged, told.of_nothing):
            answer = client.get(f"/ledger/entries/{decision}")
            assert answer.status_code == 200
            assert said in answer.text
            assert "muster replay" in answer.text
            assert whole not in answer.text


def test_an_erased_lease_is_gone(told: Leased) -> None:
    """With the person; last, since nothing of them is left."""
    wanted = {"user": "ada", "reason": "asked for", "approved_by": ["system:dpo"]}
    told.service.call("admin", "POST", "/v1/erasures", wanted)
    for decision in (told.first, told.leased):
        assert "erased" in _read(told, decision, want=410)["detail"]
