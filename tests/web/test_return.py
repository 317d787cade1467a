"""The way back, in a real Chromium behind a real gateway: denied there, sent to the lesson, passed, and back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from engine.access.returning import LIFE_MS, LONGEST, Returns, looks_like
from engine.gateways.check.backend import Backend
from engine.home import Home
from engine.opa.binary import OpaBinary
from ledger.model import Person
from tests.adapters.gateway.conftest import served
from tests.adapters.gateway.edge import Edge
from tests.demo import answers
from tests.gateways import programs, tools
from tests.gateways.waiting import wait_until
from tests.learning.learner import LESSON, SCENARIO
from tests.ports import free_port
from tests.web.conftest import Reader
from tests.web.test_path import choices

HOST = "api.example"
PAGE = "/customers/acme/export-page?tab=2&q=a%2Bb"
NOW = 1_800_000_000_000
ADA = Person("user", "ada")


@dataclass(slots=True)
class Site:
    """An application behind Caddy, which asks Muster."""

    edge: Edge
    backend: Backend
    port: int

    @property
    def page(self) -> str:
        """Where the reader wants to go."""
        return f"http://{HOST}:{self.port}{PAGE}"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, opa_binary: OpaBinary) -> Iterator[Edge]:
    """A service behind gateways."""
    with served(tmp_path_factory.mktemp("return"), opa_binary.path) as running:
        yield running


@pytest.fixture
def site(edge: Edge) -> Iterator[Site]:
    """Caddy on the configuration that is printed for it."""
    tools.install()
    port, backend, key = free_port(), Backend(), edge.keys["caddy"]
    try:
        with programs.short_folder() as folder:
            app = f"http://127.0.0.1:{backend.port}"
            programs.written("caddy", folder, edge.service.url, app, f"127.0.0.1:{port}", key=key)
            with programs.process("caddy", folder, ("127.0.0.1", port), key):
                ready = {"Host": f"{HOST}:{port}", "X-User": "ada"}
                url = f"http://127.0.0.1:{port}{PAGE}"
                wait_until(lambda: httpx.get(url, headers=ready).status_code == 200, "Caddy passes who is trained")
                yield Site(edge, backend, port)
    finally:
        backend.stop()


def session(page: Page, edge: Edge, user: str) -> Reader:
    """The reader comes in from the host's own page, as somebody without a session has to."""
    reader = Reader(edge.service, page, user, "en")
    reader.enter()
    page.locator("main button.main").click()
    return reader


def test_denied_sent_to_the_lesson_passed_and_back(site: Site) -> None:
    """The link survives signing in, two lessons and another denial; it leads to the very address that was denied."""
    service = site.edge.service
    service.person("eve")
    found = next((p for n in ("chromium", "google-chrome") if (p := shutil.which(n))), None)
    assert found is not None, "there is no Chromium: run tests/need.sh"
    rules = [f"--host-resolver-rules=MAP {HOST} 127.0.0.1", "--no-sandbox"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=rules)
        page = browser.new_context(extra_http_headers={"X-User": "eve"}, locale="en-GB").new_page()
        page.goto(site.page)
        assert page.url.startswith(f"{service.url}/learn/modules/{LESSON}?return="), "sent to the lesson"
        back = page.locator("p.back a")
        expect(back).to_have_count(0)
        one = session(page, site.edge, "eve")
        expect(back).to_have_attribute("href", site.page)
        expect(back).to_contain_text(f"Back to what you were doing ({HOST}:{site.port})")
        one.check()
        one.go(f"/learn/modules/{LESSON}")
        expect(back).to_have_attribute("href", site.page)
        page.locator("form:has(input[value=quiz]) button").click()
        for item, option in choices(one, right=True).items():
            page.locator(f"#item-{item} input[value={option}]").check()
        page.locator("button.main").click()
        expect(page.locator("h1")).to_contain_text("✓")
        one.check()
        back.click()
        assert urlsplit(page.url).path.startswith("/learn/modules/"), "the next lesson is missing still"
        expect(back).to_have_attribute("href", site.page)

        one.go(f"/learn/modules/{SCENARIO}")
        page.locator("form:has(input[value=scenario]) button").click()
        for _, choice in answers.way(SCENARIO):
            page.locator(f"input[name=answer][value={choice}]").check()
            page.locator("main button.main").click()
        expect(page.locator("h1")).to_contain_text("✓")
        seen = len(site.backend.seen)
        back.click()
        assert page.url == site.page
        assert [each.target for each in site.backend.seen[seen:] if "export-page" in each.target] == [PAGE]
        assert one.faults == []
        browser.close()


def cookie_of(edge: Edge, user: str) -> str:
    """A session, as the cookie holds it."""
    begun = edge.service.call("app", "POST", "/v1/sessions", {"user": user})
    return str(begun["token"])


def shown(edge: Edge, user: str, word: str, path: str = "/learn") -> str:
    """A page of a user with a word in its address."""
    cookies = {"muster_session": cookie_of(edge, user)}
    answer = httpx.get(edge.service.url + path, params={"return": word}, cookies=cookies)
    assert answer.status_code == 200
    return answer.text


def test_nobody_else_and_no_other_address(edge: Edge) -> None:
    """The word of one reader shows nothing to another; one that was touched, or made up, shows nothing to anybody."""
    browser = [("Accept", "text/html")]
    got = edge.ask("caddy", "bob", method="GET", target=PAGE, more=browser)
    (word,) = parse_qs(urlsplit(got.header("Location") or "").query)["return"]
    link = f'href="https://{HOST}/customers/acme/export-page?tab=2&amp;q=a%2Bb"'
    assert link in shown(edge, "bob", word)
    assert link in shown(edge, "bob", word, f"/learn/modules/{LESSON}")
    assert 'class="back"' not in shown(edge, "ada", word)
    ends, address, mac = word.split(".")
    other = address[:-4] + ("AAAA" if address[-4:] != "AAAA" else "BBBB")
    later = str(int(ends) + 1)
    for forged in (
        f"{ends}.{other}.{mac}", f"{later}.{address}.{mac}", f"{ends}.{address}.{'A' * 22}", "https://evil.example/",
        "", "x" * 5000,
    ):  # fmt: skip
        assert 'class="back"' not in shown(edge, "bob", forged), forged


def test_only_what_could_be_a_word_is_kept(edge: Edge) -> None:
    """In a cookie that no script reads and no other site's request takes along; it goes with the session."""
    got = edge.ask("caddy", "bob", method="GET", target=PAGE, more=[("Accept", "text/html")])
    (word,) = parse_qs(urlsplit(got.header("Location") or "").query)["return"]
    url = f"{edge.service.url}/learn/modules/{LESSON}"
    answer = httpx.get(url, params={"return": word})
    assert answer.status_code == 401
    kept = answer.headers["Set-Cookie"].lower()
    assert kept.startswith(f"muster_return={word.lower()};")
    for said in ("httponly", "samesite=lax", "path=/learn", f"max-age={LIFE_MS // 1000}"):
        assert said in kept
    assert "Set-Cookie" not in httpx.get(url, params={"return": "https://evil.example/"}).headers
    cookies = {"muster_session": cookie_of(edge, "bob"), "muster_return": word}
    assert 'class="back"' in httpx.get(f"{edge.service.url}/learn", cookies=cookies).text
    left = httpx.post(f"{edge.service.url}/learn/leave", cookies=cookies, headers={"Origin": edge.service.url})
    assert any(line.startswith('muster_return=""') for line in left.headers.get_list("set-cookie"))


def test_a_link_with_somebody_elses_word_takes_nothing_away(edge: Edge) -> None:
    """Who is signed in, and is sent another's link, keeps their own way back; a word of their own is kept."""
    words = {}
    for user in ("bob", "fay"):
        edge.service.person(user)
        got = edge.ask("caddy", user, method="GET", target=PAGE, more=[("Accept", "text/html")])
        (words[user],) = parse_qs(urlsplit(got.header("Location") or "").query)["return"]
    cookies = {"muster_session": cookie_of(edge, "bob"), "muster_return": words["bob"]}
    for sent, kept in (("fay", False), ("bob", True)):
        url = f"{edge.service.url}/learn/modules/{LESSON}"
        answer = httpx.get(url, params={"return": words[sent]}, cookies=cookies)
        assert 'class="back"' in answer.text
        assert any(line.startswith("muster_return=") for line in answer.headers.get_list("set-cookie")) is kept


@pytest.fixture(scope="module")
def returns(tmp_path_factory: pytest.TempPathFactory) -> Returns:
    """Of a home of its own."""
    home = Home(Path(tmp_path_factory.mktemp("home")) / "home")
    home.create()
    return Returns(home)


def test_a_word_ends(returns: Returns) -> None:
    """It is good until its instant, and not at it."""
    word = returns.word("default", ADA, "https://api.example/x", NOW)
    assert word is not None
    assert looks_like(word)
    assert returns.address("default", ADA, word, NOW + LIFE_MS - 1) == "https://api.example/x"
    assert returns.address("default", ADA, word, NOW + LIFE_MS) is None


def test_a_word_is_of_one_tenant_and_one_person(returns: Returns) -> None:
    """Whoever else holds it holds nothing."""
    word = returns.word("default", ADA, "https://api.example/x", NOW) or ""
    assert returns.address("other", ADA, word, NOW) is None
    assert returns.address("default", Person("user", "bob"), word, NOW) is None
    assert returns.address("default", Person("system", "ada"), word, NOW) is None


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)", "//evil.example/", "https://user@evil.example/", "https://api.example", "https:///x",
        "https://api.example/a b", "https://api.example/\\evil", "https://api.example/ä", "ftp://api.example/",
        "https://API.example/", "https://api.example/" + "a" * 2000, "https://api.example/\n",
    ],
)  # fmt: skip
def test_what_is_no_address_gets_no_word(returns: Returns, address: str) -> None:
    """Nobody is led to what two readers could read in two ways, or to something that has no end."""
    assert returns.word("default", ADA, address, NOW) is None


def test_the_longest_word_is_read(returns: Returns) -> None:
    """And one that is longer is not looked at."""
    address = "https://api.example/" + "a" * 1980
    word = returns.word("default", ADA, address, NOW) or ""
    assert len(word) <= LONGEST
    assert returns.address("default", ADA, word, NOW) == address
