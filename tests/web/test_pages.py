"""The pages by plain HTTP: who comes in, what every answer carries, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from babel import Locale

from engine.web import words
from tests.demo import answers
from tests.learning.learner import COURSE, LESSON, Learner
from tests.learning.test_secrets import plain, secrets_of
from tests.service.running import Service


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    """A browser's requests, with a cookie jar."""
    origin = {"Origin": service.url}
    with httpx.Client(base_url=service.url, headers=origin, follow_redirects=True, timeout=30) as client:
        yield client


def enter(service: Service, http: httpx.Client, user: str) -> None:
    """Come in by a ticket."""
    service.person(user)
    href = service.call("app", "POST", "/v1/sessions", {"user": user})["href"]
    ticket = href.partition("ticket=")[2]
    assert http.get(href).status_code == 200
    assert http.post("/learn/enter", data={"ticket": ticket}).status_code == 200
    assert http.post("/learn/enter", data={"ticket": ticket}).status_code == 401, "a ticket is good once"


def test_a_ticket_is_good_once_and_a_link_alone_uses_nothing(service: Service, http: httpx.Client) -> None:
    """A mail program that looks at the link does not use it up; the button does."""
    enter(service, http, "ticket-1")
    page = http.get("/learn")
    assert page.status_code == 200
    cookie = next(c for c in http.cookies.jar if c.name == "muster_session")
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.path == "/learn"


def test_every_page_has_its_headers(service: Service, http: httpx.Client) -> None:
    """A strict content policy, no sniffing, nothing stored; errors too."""
    enter(service, http, "headers-1")
    for path in ("/learn", f"/learn/modules/{LESSON}", "/learn/modules/none", "/learn/none", "/badges/verify"):
        answer = http.get(path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"].startswith("text/html")
        assert " style=" not in answer.text
        assert "<script>" not in answer.text


@pytest.mark.parametrize("path", ["/learn", f"/learn/modules/{LESSON}", "/learn/policies/POL-DA-003"])
def test_nobody_is_let_in_without_a_session(service: Service, path: str) -> None:
    """No cookie, another role's token, nonsense: 401 and a page that says what to do."""
    for token in (None, "nonsense", service.token("admin"), service.token("app")):
        cookies = {"muster_session": token} if token else {}
        answer = httpx.get(service.url + path, cookies=cookies, headers={"Accept-Language": "de"})
        assert answer.status_code == 401
        assert "Deine Sitzung ist zu Ende" in answer.text
    bearer = httpx.get(service.url + path, headers={"Authorization": f"Bearer {service.token('admin')}"})
    assert bearer.status_code == 401, "a page takes a cookie and nothing else"


def test_a_form_of_another_site_is_refused(service: Service, http: httpx.Client) -> None:
    """Another origin, none at all, or a form of another kind: nothing is begun."""
    enter(service, http, "csrf-1")
    path = f"/learn/modules/{LESSON}/attempts"
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": ""},
    ):
        answer = http.post(path, data={"strand": "quiz"}, headers=headers)
        assert answer.status_code == 403, headers
    assert http.post(path, content=b"strand=quiz", headers={"Content-Type": "text/plain"}).status_code == 400
    assert http.post(path, content=b"a=" + b"x" * 70_000,
                     headers={"Content-Type": "application/x-www-form-urlencoded"}).status_code == 413  # fmt: skip
    body = http.post("/learn/locale", data={"locale": "de", "back": "//evil.example"}, follow_redirects=False)
    assert body.headers["location"] == "/learn"


def test_media_in_parts_and_nothing_else(service: Service, http: httpx.Client) -> None:
    """A clip by ranges; a key, a path that leads out, a stranger: not."""
    enter(service, http, "media-1")
    digest = service.call("author", "GET", f"/v1/modules/{LESSON}")["digest"]
    base = f"/learn/media/{LESSON}/{digest}"
    whole = http.get(f"{base}/masked-preview.webm")
    assert whole.headers["content-type"] == "video/webm"
    assert "immutable" in whole.headers["cache-control"]
    part = http.get(f"{base}/masked-preview.webm", headers={"Range": "bytes=10-19"})
    assert part.status_code == 206
    assert part.content == whole.content[10:20]
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
    assert http.get(f"{base}/masked-preview.webm", headers={"Range": "bytes=-5"}).content == whole.content[-5:]
    assert http.get(f"{base}/masked-preview.webm", headers={"Range": f"bytes={len(whole.content)}-"}).status_code == 416
    assert http.get(f"{base}/masked-preview.de.vtt").text.startswith("WEBVTT")
    for path in (
        f"{base}/..%2fkeys.yaml",
        f"{base}/../keys.yaml",
        f"{base}/keys.yaml",
        f"/learn/media/{LESSON}/x/y.webm",
    ):
        assert http.get(path).status_code in (404, 503), path
    assert httpx.get(f"{service.url}{base}/masked-preview.webm").status_code == 401


def test_anothers_attempt_and_badge_are_refused(service: Service, http: httpx.Client) -> None:
    """A page shows one's own."""
    service.person("owner-1")
    owner = Learner(service, "owner-1")
    owner.sign_in()
    attempt = owner.begin()
    enter(service, http, "other-1")
    path = f"/learn/attempts/{attempt['attempt_id']}"
    assert http.get(path).status_code == 403
    assert http.post(f"{path}/answers", data={"save": attempt["save"]}).status_code == 403
    owner.pass_quiz()
    entry = next(e for e in owner.call("GET", "/v1/training")["history"] if e["kind"] == "certification")
    assert http.get(f"/learn/badges/{entry['id']}").status_code == 403
    assert http.get(f"/learn/badges/{entry['id']}/download").status_code == 403
    for number in ("-1", "1", "9" * 30):
        assert http.get(f"/badges/default/status/{number}").status_code == 404, "a status list that is not begun"


def test_no_page_before_passing_reveals_an_answer(service: Service, http: httpx.Client) -> None:
    """Every page of every module, quiz begun, saved, failed: no reason, no later state, no end of any scenario."""
    enter(service, http, "bytes-1")
    seen: list[str] = []
    modules = sorted(p.name for p in (answers.source() / "modules").iterdir())
    for module in modules:
        seen.append(http.get(f"/learn/modules/{module}").text)
        lesson = service.call("author", "GET", f"/v1/modules/{module}")
        seen += [http.get(f"/learn/modules/{module}/slides/{s['id']}").text for s in lesson["slides"]]
        for strand in lesson["strands"]:
            begun = http.post(f"/learn/modules/{module}/attempts", data={"strand": strand["strand"]})
            seen.append(begun.text)
            if strand["kind"] == "quiz" and begun.status_code == 200:
                save = begun.text.partition('name="save" value="')[2].partition('"')[0]
                seen.append(http.post(f"{begun.url.path}/answers", data={"save": save}).text)
    http.post("/learn/locale", data={"locale": "de", "back": "/learn"})
    seen.append(http.get("/learn").text)
    everything = [plain(text) for text in seen]
    found = [
        (module, what)
        for module in modules
        for what, text in secrets_of(module)
        if any(plain(text) in e for e in everything)
    ]
    assert not found
    assert len(seen) > len(modules) * 2


def test_a_course_is_taken_part_by_part(service: Service, http: httpx.Client) -> None:
    """What comes later is locked and says why; each part opens the next; the last one completes it, with a badge."""
    user = "course-1"
    enter(service, http, user)
    learner = Learner(service, user)
    learner.sign_in()
    parts = answers.document(COURSE, "course.yaml")["parts"]
    page = http.get(f"/learn/modules/{COURSE}")
    assert page.text.count("locked") >= len(parts) - 1
    last_quiz = next(p for p in reversed(parts) if p["kind"] == "quiz")
    assert learner.begin(COURSE, want=409, strand=last_quiz["id"])["reason"] == "not-yet"
    late = [p for p in parts if p["kind"] == "lesson"][-1]
    refused = http.get(f"/learn/modules/{COURSE}/slides/{late['slides'][0]}")
    assert refused.status_code == 409
    for part in parts:
        if part["kind"] == "lesson":
            next_one = part["slides"][0]
            for slide in part["slides"]:
                assert next_one == slide, "Next leads from slide to slide of the part"
                shown = http.get(f"/learn/modules/{COURSE}/slides/{slide}")
                assert shown.status_code == 200
                next_one = shown.text.partition('rel="next" href="')[2].partition('"')[0].rpartition("/")[2]
            assert next_one == "", "and out of it at its end"
        elif part["kind"] == "quiz":
            learner.pass_quiz(COURSE, strand=part["id"])
        else:
            learner.walk(learner.begin(COURSE, strand=part["id"]))
    history = learner.call("GET", "/v1/training")["history"]
    course = next(e for e in history if e["kind"] == "result" and e["source"] == "course")
    assert course["passed"] is True
    assert course["part"] is None
    facts: Any = service.call("admin", "GET", f"/v1/subjects/{user}")["modules"]
    assert facts[COURSE]["completed"]["evidence"] == course["id"]
    badge = http.get(f"/learn/badges/{course['id']}")
    assert badge.status_code == 200
    assert service.call("auditor", "GET", f"/v1/ledger/entries/{course['id']}")["kind"] == "result"
    service.muster("ledger", "verify")


def test_the_languages_are_whole() -> None:
    """The same keys, and the plural forms that each language needs."""
    found = {code: words.texts(code) for code in words.locales()}
    assert set(found) == {"de", "en"}
    assert {*found["en"]} == {*found["de"]}
    for code, texts in found.items():
        categories = {*Locale.parse(code).plural_form.tags, "other"}
        for key, text in texts.items():
            other = found["en"][key]
            assert isinstance(text, dict) == isinstance(other, dict), key
            if isinstance(text, dict):
                assert {*text} == categories, key
            names = {f for t in (text.values() if isinstance(text, dict) else [text]) for f in _fields(str(t))}
            wanted = {f for t in (other.values() if isinstance(other, dict) else [other]) for f in _fields(str(t))}
            assert names == wanted, key


def _fields(text: str) -> set[str]:
    return {part.partition("}")[0] for part in text.split("{")[1:]}


def test_plurals_and_dates_are_the_languages_own() -> None:
    """One minute, two minutes; a date in words; a day in the reader's zone."""
    en, de = words.Words("en"), words.Words("de", "Europe/Berlin")
    assert (en("minutes", n=1), en("minutes", n=5)) == ("1 minute", "5 minutes")
    assert (de("minutes", n=1), de("minutes", n=5)) == ("1 Minute", "5 Minuten")
    assert de.date("2026-12-31T23:30:00.000Z") == "1. Januar 2027"
    assert en.date("2026-12-31T23:30:00.000Z") == "31 December 2026"
    assert de.moment("2026-07-01T10:00:00.000Z") == "1. Juli 2026, 12:00 (Europe/Berlin)"
    assert en.days("2026-01-01T00:00:00.000Z", "2026-01-02T12:00:00.000Z") == "1 day left"
    assert words.choose("fr", "de-AT,en;q=0.5") == "de"


def test_the_words_of_the_templates_are_there() -> None:
    """Each `t("...")` of a template is a key."""
    folder = Path(words.__file__).with_name("templates")
    known = yaml.safe_load((words.FOLDER / "en.yaml").read_text("utf-8"))
    for path in folder.glob("*.html"):
        for key in re.findall(r'\bt\("([^"]+)"', path.read_text("utf-8")):
            if not key.endswith("-"):
                assert key in known, f"{path.name}: {key}"
