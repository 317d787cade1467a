"""The examples of docs/clients.md as they are started: each endpoint runs after a yes only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.adapters.gateway.edge import EXPORT, Edge
from tests.clients.conftest import KITS, Serve, timed, uvicorn
from tests.clients.raw import GARBAGE, RawServer
from tests.service.running import until

EXAMPLES = KITS / "javascript" / "examples"
PAGE = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
JSON_DOCUMENT = "application/problem+json"
ASKING: dict[str, tuple[str, ...]] = {"python": uvicorn("app"), "javascript": ("node", str(EXAMPLES / "app.js"))}
LANGUAGES = ("python", "javascript", "go")
BOTH = pytest.mark.parametrize("language", ASKING)
ALL = pytest.mark.parametrize("language", LANGUAGES)


def export(url: str, user: str | None, method: str = "POST", **headers: str) -> httpx.Response:
    """One request to an application that asks."""
    signed_in = {"X-Signed-In": user} if user is not None else {}
    return httpx.request(
        method, url + "/customers/acme/export?ticket=REQ-1", headers={**signed_in, **headers}, timeout=30
    )


@BOTH
def test_denied_trained_allowed(edge: Edge, serve: Serve, language: str) -> None:
    """403 with what to do, and after training 200; the decisions stand in the log, under the request's own ID."""
    url, user = serve(*ASKING[language]), f"app-{language}"
    edge.service.person(user)
    no = export(url, user, **{"X-Request-ID": f"r-{language}"})
    assert (no.status_code, no.headers["content-type"], no.headers["cache-control"]) == (403, JSON_DOCUMENT, "no-store")
    problem = no.json()
    assert problem["type"] == "urn:muster:problem:denied"
    assert problem["denials"][0]["remedy"]["href"].startswith(edge.service.url + "/learn/")
    assert "requirement" not in problem["denials"][0]
    record = edge.record(problem["decision_id"])
    assert (record["answer"]["allow"], record["request_id"]) == (False, f"r-{language}")
    assert no.headers["muster-decision-id"] == problem["decision_id"]
    edge.service.train(user)
    yes = export(url, user)
    assert yes.status_code == 200, yes.text
    assert edge.record(yes.json()["by"])["answer"]["allow"] is True


@BOTH
def test_a_browser_is_sent_to_the_remedy(edge: Edge, serve: Serve, language: str) -> None:
    """Only a GET that asks for a page, and only to a host of the list."""
    url = serve(*ASKING[language])
    sent = export(url, "bob", "GET", **PAGE)
    assert (sent.status_code, sent.content) == (303, b"")
    assert sent.headers["location"].startswith(edge.service.url + "/learn/")
    assert export(url, "bob", "POST", **PAGE).status_code == 403
    assert export(url, "bob", "GET", Accept="application/json, text/html").status_code == 403
    assert export(url, "ada", "GET", **PAGE).status_code == 200


@BOTH
def test_a_browser_is_sent_to_no_other_host(serve: Serve, raw: RawServer, language: str) -> None:
    """A remedy somewhere else is told, and not followed."""
    marked = (*ASKING[language], *(("--header", "x-case:elsewhere") if language == "python" else ("elsewhere",)))
    got = export(serve(*marked, MUSTER_URL=raw.url("no-elsewhere")), "ada", "GET", **PAGE)
    assert (got.status_code, got.headers["content-type"], "location" in got.headers) == (403, JSON_DOCUMENT, False)
    assert got.json()["denials"][0]["remedy"]["href"] == "https://elsewhere.example/learn"


@BOTH
def test_nobody_is_401_and_is_not_asked_about(edge: Edge, serve: Serve, language: str) -> None:
    """Without somebody there is no question."""
    size = edge.size()
    got = export(serve(*ASKING[language]), None)
    assert (got.status_code, got.headers["content-type"]) == (401, JSON_DOCUMENT)
    assert got.headers["www-authenticate"].startswith("Bearer")
    assert edge.size() == size


@BOTH
@pytest.mark.parametrize("name", ["hang", "text-true", "302", "429", "503-told", "401", "both", "closed"])
def test_what_could_not_be_decided_is_503(serve: Serve, raw: RawServer, language: str, name: str) -> None:
    """Never 200 and never 500, soon, and without what went wrong inside."""
    marked = (*ASKING[language], *(("--header", f"x-case:{name}") if language == "python" else (name,)))
    url = serve(*marked, MUSTER_URL=raw.url(name))
    got, seconds = timed(lambda: export(url, "ada"))
    assert (got.status_code, got.headers["content-type"], seconds < 2) == (503, JSON_DOCUMENT, True), got.text
    assert got.headers["retry-after"] == ("7" if name == "429" else "1")
    wanted = GARBAGE[name][1] if name in GARBAGE else "timeout"
    assert got.json()["cause"] in (wanted, "unreachable" if name == "closed" else wanted)
    assert raw.url("") not in got.text


@pytest.mark.parametrize(("user", "code", "word"), [("ada", 0, "yes"), ("bob", 1, "/learn/"), ("nobody", 1, "no: ")])
def test_the_script_that_asks(settings: dict[str, str], user: str, code: int, word: str) -> None:
    """Prints its answer; its exit code is that of `muster decide`."""
    words = [sys.executable, str(KITS / "python" / "examples" / "ask.py"), user]
    done = subprocess.run(words, env=settings, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, word in done.stdout) == (code, True), done.stdout + done.stderr
    away = {**settings, "MUSTER_URL": "http://127.0.0.1:9"}
    done = subprocess.run(words, env=away, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout.startswith("not decided, so no: unreachable")) == (3, True)


# Behind a gateway.


@pytest.fixture
def behind(serve: Serve, binary: Path, language: str) -> str:
    """The backend of a language, when it has its keys."""
    words = {
        "python": uvicorn("behind"),
        "javascript": ("node", str(EXAMPLES / "behind.js")),
        "go": (str(binary),),
    }[language]
    url = serve(*words)
    headers = {"Muster-Assertion": "a.b.c", "Muster-Decision-Id": "x"}
    until(lambda: httpx.post(url + "/", headers=headers).status_code != 503, "the keys are there")
    return url


Headers = list[tuple[str, str]]


def passed(edge: Edge, target: str = EXPORT) -> Headers:
    """What a gateway adds to a request that was allowed."""
    got = edge.ask("caddy", "ada", target=target)
    assert got.status == 200, got.body
    return [(name, str(got.header(name))) for name in ("Muster-Assertion", "Muster-Decision-Id")]


@ALL
def test_what_passed_the_gate_is_let_in(edge: Edge, behind: str, language: str) -> None:
    """And the backend knows who it is, and by which decision; the path counts as it came."""
    for target in (EXPORT, EXPORT.replace("acme", "%61cme")):
        headers = passed(edge, target)
        got = httpx.post(httpx.URL(behind + target), headers=headers)
        assert got.status_code == 200, (language, got.text)
        assert (got.json()["for"], got.json()["by"]) == ("ada", headers[1][1])


@ALL
def test_what_did_not_pass_is_refused(edge: Edge, behind: str, language: str) -> None:
    """Without an assertion, with one of another request, with two, or under another spelling: 403, each time."""
    good = passed(edge)
    proof, decision = good
    wrong: list[tuple[str, str, Headers]] = [
        ("POST", EXPORT, []),
        ("POST", EXPORT, [proof]),
        ("POST", EXPORT, [decision]),
        ("POST", EXPORT, [proof, ("Muster-Decision-Id", "0193-1")]),
        ("POST", EXPORT, [proof, proof, decision]),
        ("POST", EXPORT, [*good, ("Muster_Assertion", "x")]),
        ("POST", EXPORT, [("Muster_Assertion", proof[1]), ("Muster_Decision_Id", decision[1])]),
        ("POST", EXPORT, [("Muster-Assertion", proof[1][:-8] + "AAAAAAAA"), decision]),
        ("GET", EXPORT, good),
        ("POST", "/customers/evil/exports/customers?to=x", good),
        ("POST", EXPORT.replace("acme", "%61cme"), good),
        ("POST", "/" + EXPORT, good),
    ]
    for method, target, headers in wrong:
        got = httpx.request(method, behind + target, headers=headers)
        assert got.status_code in ((403, 400) if "_" in str(headers) else (403,)), (language, target, headers)
        if got.status_code == 403:
            assert got.headers["content-type"] == JSON_DOCUMENT
            assert got.json()["type"] == "urn:muster:problem:not-through-the-gate"
    assert httpx.post(behind + EXPORT, headers=good).status_code == 200


@ALL
def test_without_keys_nothing_is_let_in(edge: Edge, serve: Serve, binary: Path, raw: RawServer, language: str) -> None:
    """503 and when to come again, while the service has never been reached; no request waits for it."""
    words = {
        "python": (*uvicorn("behind"), "--header", "x-case:keys"),
        "javascript": ("node", str(EXAMPLES / "behind.js"), "keys"),
        "go": (str(binary), "keys"),
    }[language]
    url = serve(*words, MUSTER_URL=raw.url("hang"))
    got, seconds = timed(lambda: httpx.post(url + EXPORT, headers=passed(edge)))
    assert (got.status_code, got.headers["retry-after"], seconds < 1) == (503, "1", True)
    assert (got.headers["content-type"], json.loads(got.content)["status"]) == (JSON_DOCUMENT, 503)
