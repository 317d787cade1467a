"""The ledger for people, in a real Chromium and by plain HTTP: found, read, checked; and refused to everybody else."""

from __future__ import annotations

import pathlib
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from playwright.sync_api import Dialog, Page, expect

from engine.web import pages, words
from engine.web.logview import Proof
from engine.web.proofpath import WIDTH, Path, drawing, path
from ledger.merkle import root_of
from ledger.model import Entry, StoredCheckpoint
from ledger.verifier.errors import Invalid
from ledger.verifier.note import Checkpoint, opened, parse_key, parse_proof
from ledger.verifier.tree import leaf_hash, root_by_inclusion
from tests.publishing.liar import Handler, Liar, answers, cosignature, sent_text
from tests.service.running import MUSTER, ROOT, Service, until
from tests.web.conftest import Reader
from tests.web.test_path import enter, press_to

LOOKS = [("en", 1000, "light"), ("de", 320, "dark")]
EVIL = "<img src=x onerror=alert(1)>"
NOBODY = "01890a5d-ac96-774b-bcce-b302099a8057"
AT = "2026-03-29T01:30:00.000Z"
FINDING = {"en": "There is no such entry", "de": "Diesen Eintrag gibt es nicht"}


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    """A browser's requests, with a cookie jar."""
    with browser_of(service) as client:
        yield client


def browser_of(service: Service) -> httpx.Client:
    return httpx.Client(base_url=service.url, headers={"Origin": service.url}, follow_redirects=True, timeout=30)


def sign_in(client: httpx.Client, token: str, want: int = 200, back: str = "/ledger") -> httpx.Response:
    """Give a token."""
    answer = client.post("/ledger/enter", data={"token": token, "back": back})
    assert answer.status_code == want
    return answer


def decided(service: Service, user: str) -> str:
    """The evidence ID of a decision that leans on two entries."""
    service.person(user)
    service.train(user)
    return str(service.decide(user)["decision_id"])


def vkey(service: Service) -> str:
    return str(service.call("auditor", "GET", "/v1/ledger/checkpoint")["vkey"])


def proves(service: Service, entry_id: str, data: bytes) -> None:
    """A `.tlog-proof` leads from the entry's header to a root that the log's key has signed."""
    header = service.call("auditor", "GET", f"/v1/ledger/entries/{entry_id}")["header"].encode()
    proof = parse_proof(data)
    said, _ = opened(proof.note, parse_key(vkey(service)))
    assert root_by_inclusion(leaf_hash(header), proof.index, said.size, proof.hashes) == said.root


def shoot(page: Page, name: str) -> None:
    page.screenshot(path=ROOT / "build" / "pages" / f"ledger-{name}.png", full_page=True)


@pytest.mark.parametrize(("locale", "width", "scheme"), LOOKS)
def test_by_keyboard_alone(reader: Callable[..., Reader], locale: str, width: int, scheme: str) -> None:
    """Signed in, searched, read, taken along, signed out: Tab, Enter and letters; axe finds nothing on the way."""
    one = reader(locale, width, scheme)
    page, service = one.page, one.service
    evidence = decided(service, one.user)
    one.go("/ledger")
    shoot(page, f"enter-{locale}")
    one.check()
    press_to(one, page.locator("input[name=token]"))
    page.keyboard.type(service.token("auditor"))
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page).to_have_url(f"{service.url}/ledger")
    shoot(page, f"overview-{locale}")
    one.check()
    press_to(one, page.locator("input[name=q]"))
    page.keyboard.type(evidence)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page).to_have_url(f"{service.url}/ledger/entries/{evidence}")
    expect(page.locator("h1")).to_contain_text("decision")
    shoot(page, f"entry-{locale}")
    one.check()
    press_to(one, page.locator("a[download]"))
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == f"{evidence}.tlog-proof"
    proves(service, evidence, pathlib.Path(download.value.path()).read_bytes())
    enter(one, page.locator("#named ~ ul a"))
    expect(page.locator("h1")).to_contain_text(re.compile("result|certification"))
    enter(one, page.locator("a[rel=next]"))
    one.check()
    one.go("/ledger/find?q=nothing")
    expect(page.locator("h1")).to_have_text(FINDING[locale])
    shoot(page, f"missing-{locale}")
    one.check()
    enter(one, page.locator("form[action='/ledger/leave'] button"))
    one.check()
    one.go(f"/ledger/entries/{evidence}")
    assert page.locator("input[name=token]").count() == 1, "signed out"
    assert page.locator("svg").count() == 0


def test_without_javascript_and_in_another_language(reader: Callable[..., Reader]) -> None:
    """A link from elsewhere leads through the sign-in to its entry; the language changes on the spot."""
    one = reader()
    service, evidence = one.service, decided(one.service, one.user)
    browser = one.page.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False, locale="en-GB")
    page = context.new_page()
    page.goto(f"{service.url}/ledger/entries/{evidence}")
    page.locator("input[name=token]").fill(service.token("auditor"))
    page.locator("main button.main").click()
    expect(page).to_have_url(f"{service.url}/ledger/entries/{evidence}")
    page.locator("details:has(summary:text('exact bytes')) summary").click()
    header = service.call("auditor", "GET", f"/v1/ledger/entries/{evidence}")["header"]
    expect(page.locator("pre", has_text=header)).to_be_visible()
    page.goto(f"{service.url}/ledger?before=5")
    page.locator("button[name=locale]").click()
    expect(page).to_have_url(f"{service.url}/ledger?before=5")
    assert page.get_attribute("html", "lang") == "de"
    context.close()


def test_the_list_beside_the_drawing_is_the_proof(service: Service, http: httpx.Client) -> None:
    """Every hash in full, and computed again by a reader who goes by the list alone, it is the checkpoint's root."""
    evidence = decided(service, "steps-1")
    sign_in(http, service.token("auditor"))
    text = http.get(f"/ledger/entries/{evidence}").text
    listed = text.partition('<ol class="steps">')[2].partition("</ol>")[0]
    leaf, *steps, last = listed.split("<li>")[1:]
    (node,) = _hashes(leaf)
    header = service.call("auditor", "GET", f"/v1/ledger/entries/{evidence}")["header"].encode()
    assert node == leaf_hash(header)
    assert steps
    for step in steps:
        sibling, parent = _hashes(step)
        node = sha256(b"\x01" + (sibling + node if "On the left" in step else node + sibling)).digest()
        assert node == parent
    assert _hashes(last) == [node]
    assert "equals the checkpoint&#39;s root" in last or "equals the checkpoint's root" in last
    drawn = re.findall(r'<text class="hex"[^>]*>([0-9a-f]{12})</text>', text)
    assert len(drawn) == 2 * len(steps) + 1
    assert node.hex()[:12] in drawn


def _hashes(text: str) -> list[bytes]:
    return [bytes.fromhex(found) for found in re.findall(r">([0-9a-f]{64})<", text)]


def test_every_page_has_its_headers_and_the_cookie_its_bounds(service: Service, http: httpx.Client) -> None:
    """The content policy of all pages; the token for these pages alone, no script's, an hour; never in a page."""
    evidence, token = decided(service, "headers-2"), service.token("auditor")
    entered = http.post("/ledger/enter", data={"token": token}, follow_redirects=False)
    assert (entered.status_code, entered.headers["location"]) == (303, "/ledger")
    attributes = {part.strip().lower() for part in entered.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/ledger", "max-age=3600"} <= attributes
    assert "secure" not in attributes, "there is no https here"
    for where in ("/ledger", "/ledger/enter", "/ledger/find?q=x", f"/ledger/entries/{evidence}", "/ledger?before=x",
                  f"/ledger/entries/{evidence}/proof", "/ledger/entries/none/proof"):  # fmt: skip
        answer = http.get(where)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'"), where
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert " style=" not in answer.text
        assert "<script>" not in answer.text
        assert token not in answer.text
        assert not re.search(r'(?:src|href)="(?!/|#)', answer.text), "nothing from elsewhere"
    assert token not in (service.home.parent / f"{service.home.name}.log").read_text()


def test_behind_https_the_cookie_is_secure(new_service: Callable[[], Service]) -> None:
    """With a public address the cookie goes over https alone, and the commands have that address."""
    service = new_service()
    service.env |= {"MUSTER_PUBLIC_URL": "https://muster.example"}
    service.start()
    token = service.token("auditor")
    with browser_of(service) as http:
        entered = http.post("/ledger/enter", data={"token": token}, follow_redirects=False)
        assert "secure" in entered.headers["set-cookie"].lower()
        shown = http.get("/ledger", headers={"Cookie": f"muster_auditor={token}"}).text
        assert "https://muster.example/tlog/default/checkpoint" in shown


def test_a_session_does_not_outlive_its_token(service: Service, http: httpx.Client) -> None:
    """A token of ten minutes is kept for no longer; revoked, it opens nothing from then on."""
    wanted = {"role": "auditor", "principal": "system:short", "expires": "PT10M"}
    made = service.call("admin", "POST", "/v1/tokens", wanted)
    entered = http.post("/ledger/enter", data={"token": made["token"]}, follow_redirects=False)
    age = re.search(r"max-age=(\d+)", entered.headers["set-cookie"].lower())
    assert age is not None
    assert 500 < int(age.group(1)) <= 600
    assert http.get("/ledger").status_code == 200
    service.call("admin", "DELETE", f"/v1/tokens/{made['id']}")
    ended = http.get("/ledger")
    assert ended.status_code == 401
    assert "Your session has ended" in ended.text
    assert not http.cookies.get("muster_auditor")


def test_nobody_else_is_let_in(service: Service, http: httpx.Client) -> None:
    """No session, nonsense, a role that may not, a learner's session, a form of another site: a sentence, no ledger."""
    evidence = decided(service, "refused-1")
    for where in ("/ledger", "/ledger/find?q=1", f"/ledger/entries/{evidence}", f"/ledger/entries/{evidence}/proof"):
        for token in (None, "nonsense", service.token("app")):
            cookies = {"muster_auditor": token} if token else {}
            answer = httpx.get(service.url + where, cookies=cookies, headers={"Accept-Language": "de"})
            assert answer.status_code == 401, where
            assert "Token für die Revision" in answer.text
            assert evidence not in answer.text.replace(f"/ledger/entries/{evidence}", "")
    bearer = httpx.get(f"{service.url}/ledger", headers={"Authorization": f"Bearer {service.token('auditor')}"})
    assert bearer.status_code == 401, "a page takes a cookie and nothing else"
    for token in ("", "nonsense", service.token("auditor")[:-1] + "!", "mst.nobody." + "x" * 80):
        assert "This token is not known" in sign_in(http, token, 401).text
    session = service.call("app", "POST", "/v1/sessions", {"user": "refused-1"})["token"]
    for token in (session, service.token("app"), service.token("gateway"), service.token("author")):
        assert "may not read the ledger" in sign_in(http, token, 403).text
        assert "set-cookie" not in sign_in(http, token, 403).headers
    for origin in ("https://evil.example", "null"):
        form = {"token": service.token("auditor")}
        assert http.post("/ledger/enter", data=form, headers={"Origin": origin}).status_code == 403
        assert http.post("/ledger/leave", headers={"Origin": origin}).status_code == 403
    assert not http.cookies
    for back in ("//evil.example", "https://evil.example", "/learn", "/ledger/entries/../../x", "/ledger\\@evil"):
        answer = http.post(
            "/ledger/enter", data={"token": service.token("auditor"), "back": back}, follow_redirects=False
        )
        assert answer.headers["location"] == "/ledger", back


def test_a_wrong_token_in_the_browser(reader: Callable[..., Reader]) -> None:
    """The same page with a sentence that a screen reader is told; the field is empty again."""
    one = reader("de", 320, "dark")
    one.go("/ledger")
    one.page.locator("input[name=token]").fill("mst.default.wrong")
    one.page.locator("main button.main").click()
    expect(one.page.locator("[role=alert]")).to_contain_text("nicht bekannt")
    expect(one.page.locator("input[name=token]")).to_have_value("")
    shoot(one.page, "wrong-de")
    one.check()


def test_what_people_wrote_stays_text(reader: Callable[..., Reader]) -> None:
    """A user's ID that is HTML, a search that is, invisible characters: shown, never run, on no page."""
    one = reader()
    page, service = one.page, one.service
    dialogs: list[str] = []

    def shut(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", shut)
    asked = {
        "subject": {"type": "user", "id": EVIL},
        "action": {"name": "data-export"},
        "resource": {"type": "dataset", "id": "\u202eevil</pre><script>alert(2)</script>", "properties": {}},
    }
    evidence = service.call("gateway", "POST", "/v1/decisions", asked)["decision_id"]
    one.go("/ledger")
    page.locator("input[name=token]").fill(service.token("auditor"))
    page.locator("main button.main").click()
    one.go(f"/ledger/entries/{evidence}")
    expect(page.locator("#payload ~ details pre").first).to_contain_text(EVIL)
    expect(page.locator("#payload ~ details pre").first).to_contain_text("\\u202eevil</pre>")
    expect(page.locator("dl.facts")).to_contain_text(f"user:{EVIL}")
    one.check()
    page.locator("input[name=q]").fill('"><img src=x onerror=alert(3)>')
    page.locator("form.find button").click()
    expect(page.locator("h1")).to_have_text(FINDING["en"])
    one.check()
    assert page.locator("main img").count() == 0
    assert dialogs == []


def test_a_search_takes_an_id_or_an_index(service: Service, http: httpx.Client) -> None:
    """In any case, with a blank; anything else is a 404 with the search again, and no server's fault."""
    evidence = decided(service, "find-1")
    sign_in(http, service.token("auditor"))
    index = service.call("auditor", "GET", f"/v1/ledger/entries/{evidence}")["index"]
    for asked in (evidence, f" {evidence.upper()} ", str(index), f"#{index}"):
        assert http.get("/ledger/find", params={"q": asked}).url.path == f"/ledger/entries/{evidence}", asked
    for asked in ("", "nothing", NOBODY, "-1", "9" * 18, "²", "\u0000".join("ab"), "../../etc"):
        answer = http.get("/ledger/find", params={"q": asked})
        assert answer.status_code in (404, 400), asked
    for entry in (NOBODY, str(index), evidence.upper(), "%2e%2e%2fx"):
        answer = http.get(f"/ledger/entries/{entry}")
        assert answer.status_code == 404
        if "%" not in entry:
            assert 'name="q"' in answer.text
    first = http.get("/ledger/find", params={"q": "0"})
    assert 'rel="prev"' not in first.text
    assert 'rel="next"' in first.text


def test_checkpoints_are_paged(new_service: Callable[[], Service]) -> None:
    """Ten on a page, the newest first, each once, until the first."""
    service = new_service().start()
    for number in range(12):
        service.person(f"paged-{number}")
        service.call("auditor", "POST", "/v1/ledger/checkpoint")
    sizes: list[int] = [c["size"] for c in service.call("auditor", "GET", "/v1/ledger/checkpoints")["checkpoints"]]
    shown: list[int] = []
    with browser_of(service) as http:
        answer, where = sign_in(http, service.token("auditor")), "/ledger"
        while where:
            answer = http.get(where)
            page = re.findall(r'<p class="head"><strong>([\d,]+) entr', answer.text)
            assert 0 < len(page) <= 10
            shown += [int(size.replace(",", "")) for size in page]
            older = re.search(r'rel="next" href="([^"#]+)', answer.text)
            where = older.group(1) if older else ""
    assert shown == sizes
    assert len(shown) > 10


def test_the_commands_do_what_they_say(service: Service, http: httpx.Client, tmp_path: pathlib.Path) -> None:
    """Each as it is shown, with a folder and an ID put in: they end well, and say what the page says."""
    evidence = decided(service, "commands-1")
    sign_in(http, service.token("auditor"))
    shown = http.get(f"/ledger/entries/{evidence}").text.partition('<ol class="bare commands">')[2]
    found = [_plain(text) for text in re.findall(r"<pre><code>([^<]*)</code></pre>", shown)]
    assert len(found) == 6
    for command in found:
        words = shlex.split(command.replace("DIR", str(tmp_path / "tiles")))
        said = _run(service, words, command, tmp_path)
        if words[0] == "printf":
            fingerprint = re.search(r"<code>((?:[0-9a-f]{4} ){7}[0-9a-f]{4})</code>", http.get("/ledger").text)
            assert fingerprint is not None
            assert said.strip() == fingerprint.group(1).replace(" ", "")
        if words[0] == "curl":
            opened(said.encode(), parse_key(vkey(service)))
    proves(service, evidence, (tmp_path / f"{evidence}.tlog-proof").read_bytes())


def _plain(text: str) -> str:
    for entity, character in (("&#34;", '"'), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, character)
    return text


def _run(service: Service, words: list[str], command: str, folder: pathlib.Path) -> str:
    env = {**service.env, "MUSTER_TOKEN": service.token("auditor")}
    if words[0] in ("printf", "curl"):
        started = ["sh", "-c", command]
    elif words[0] == "muster-verify":
        started, env["PYTHONPATH"] = [sys.executable, "-m", "ledger.verifier", *words[1:]], str(ROOT)
    else:
        started = [MUSTER, *words[1:]]
        del env["MUSTER_TOKEN"]
    done = subprocess.run(started, env=env, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def test_another_tenant_sees_its_own_log_alone(new_service: Callable[[], Service]) -> None:
    """Its sizes, its entries; the first tenant's entry is not there for it, and neither is its address."""
    service = new_service().start()
    evidence = decided(service, "tenant-1")
    service.muster("policy", "activate", "--tenant", "other")
    made = service.muster("token", "create", "--tenant", "other", "--role", "auditor", "--principal", "system:o")
    with browser_of(service) as http:
        first = sign_in(http, made.stdout.strip()).text
        assert "The log of <strong>other</strong>" in first
        assert "localhost/tlog/default" not in first
        assert http.get(f"/ledger/entries/{evidence}").status_code == 404
        assert http.get(f"/ledger/entries/{evidence}/proof").status_code == 404
        assert http.get("/ledger?tenant=default").status_code == 403
        assert http.get("/ledger/find?q=0").status_code == 200
        assert "muster ledger verify --tenant other" in first


def test_an_erased_entry(new_service: Callable[[], Service], reader: Callable[..., Reader]) -> None:
    """It says so, leads to the erasure, shows nothing of the person, and its proof holds."""
    one = reader("de", 320, "dark")
    service = new_service().start()
    one.service = service
    evidence = decided(service, "zoe.quill")
    service.person("boss")
    service.muster("ledger", "erase", "zoe.quill", "--reason", "request 4711", "--approved-by", "boss")
    one.go(f"/ledger/entries/{evidence}")
    one.page.locator("input[name=token]").fill(service.token("auditor"))
    one.page.locator("main button.main").click()
    expect(one.page.locator("p.wait")).to_contain_text("Gelöscht.")
    expect(one.page.locator(".steps .yes")).to_be_visible()
    assert "zoe" not in str(one.page.locator("main").text_content())
    shoot(one.page, "erased-de")
    one.check()
    one.page.locator("#payload ~ p a").click()
    expect(one.page.locator("h1")).to_contain_text("erasure")
    one.check()


def test_an_open_log_shows_all_but_payloads(new_service: Callable[[], Service], reader: Callable[..., Reader]) -> None:
    """Anybody: headers, checkpoints, proofs of what a checkpoint covers; what entries say is for sessions."""
    one = reader()
    service = one.service = new_service()
    service.env |= {"MUSTER_TLOG_OPEN": "yes", "MUSTER_CHECKPOINT_SECONDS": "3600"}
    service.start()
    evidence = decided(service, "open.person")
    page = one.page
    one.go(f"/ledger/entries/{evidence}")
    expect(page.locator("h1")).to_have_text(FINDING["en"])
    covered = service.call("auditor", "POST", "/v1/ledger/checkpoint")["size"]
    late = decided(service, "late.person")
    one.go("/ledger")
    expect(page.locator("dl.facts").first).to_contain_text(f"{covered} entries")
    shoot(page, "open-en")
    one.check()
    one.go(f"/ledger/entries/{evidence}")
    expect(page.locator(".steps .yes")).to_be_visible()
    assert "open.person" not in page.content()
    assert page.locator("#named").count() == 0
    one.check()
    with browser_of(service) as http:
        proves(service, evidence, http.get(f"/ledger/entries/{evidence}/proof").content)
        assert http.get(f"/ledger/entries/{late}").status_code == 404
        assert http.get(f"/ledger/entries/{late}/proof").status_code == 404
        assert http.get("/ledger?tenant=nobody").status_code == 404
        assert http.get("/ledger?tenant=default").status_code == 200
        newest = service.call("auditor", "GET", "/v1/ledger/checkpoint")["size"]
        assert newest == covered, "looking makes no checkpoint"
    page.locator(".bar a").click()
    page.locator("input[name=token]").fill(service.token("auditor"))
    page.locator("main button.main").click()
    one.go(f"/ledger/entries/{late}")
    expect(page.locator("#payload ~ details pre").first).to_contain_text("late.person")
    expect(page.locator(".steps .yes")).to_be_visible()


@pytest.mark.parametrize(("locale", "width", "scheme"), LOOKS)
def test_witnesses_and_an_alarm_that_cannot_be_missed(
    new_service: Callable[[], Service], reader: Callable[..., Reader], tmp_path: pathlib.Path,
    locale: str, width: int, scheme: str,
) -> None:  # fmt: skip
    """Who cosigned, whether the policy is satisfied; a fork's alarm stands first on each page, entry and 404 too."""
    one = reader(locale, width, scheme)
    service, page = new_service(), one.page
    with Liar() as liar:
        policy = tmp_path / "policy"
        lines = liar.line("good", _cosigns) + liar.line("forks", answers(422, b"<b>no such</b> history\n"))
        policy.write_text(lines + "group either any good forks\nquorum either\n")
        service.env |= {"MUSTER_WITNESS_POLICY": str(policy), "MUSTER_CHECKPOINT_SECONDS": "1"}
        service.env["MUSTER_TLOG_OPEN"] = "yes"
        one.service = service.start()
        until(lambda: service.http("GET", "/readyz").json()["alarms"], "the alarm is raised", 60)
        until(lambda: service.call("auditor", "GET", "/v1/ledger/witnesses")["satisfied"], "it is cosigned", 60)
        one.go("/ledger")
        expect(page.locator(".alarm")).to_contain_text("liar.example/forks")
        expect(page.locator("main")).not_to_contain_text("no such")
        one.check()
        one.go("/ledger/enter")
        page.locator("input[name=token]").fill(service.token("auditor"))
        page.locator("main button.main").click()
        for where in ("/ledger", "/ledger/find?q=0", "/ledger/find?q=nothing"):
            one.go(where)
            alarm = page.locator("main > section").first
            expect(alarm).to_contain_text("liar.example/forks")
            expect(alarm).to_contain_text("no such")
            expect(alarm).to_have_css("background-color", "rgb(164, 14, 38)")
            assert page.locator(".alarm b").count() == 0
            one.check()
        one.go("/ledger")
        shoot(page, f"alarm-{locale}")
        expect(page.locator(".checkpoints .yes").first).to_be_visible()
        expect(page.locator(".checkpoints").first).to_contain_text("liar.example/good")


def _cosigns(handler: Handler, body: bytes) -> None:
    """A witness that cosigns whatever it is sent."""
    handler.answer(200, cosignature("good", sent_text(body), 1_900_000_000))


def test_a_changed_entry_cannot_be_missed(new_service: Callable[[], Service]) -> None:
    """A payload, or a header, that somebody changed in the database: the page says what does not fit any more."""
    service = new_service().start()
    evidence, other = decided(service, "changed-1"), decided(service, "changed-2")
    service.call("auditor", "POST", "/v1/ledger/checkpoint")
    service.stop()
    with sqlite3.connect(service.home / "ledger.db") as db:
        index = dict(db.execute("SELECT id, idx FROM entries WHERE tenant = 'default'").fetchall())
        changed = "CAST(replace(CAST(payload AS TEXT), 'changed-1', 'another-1') AS BLOB)"
        db.execute(f"UPDATE payloads SET payload = {changed} WHERE idx = ?", (index[evidence],))  # noqa: S608
        changed = "CAST(replace(CAST(header AS TEXT), 'decision', 'decisiom') AS BLOB)"
        db.execute(f"UPDATE entries SET header = {changed} WHERE idx = ?", (index[other],))  # noqa: S608
    service.start()
    with browser_of(service) as http:
        sign_in(http, service.token("auditor"))
        first, second = (http.get(f"/ledger/entries/{entry}").text for entry in (evidence, other))
        assert "commitment in the header is of another payload" in first
        assert "equals the checkpoint" in first
        assert "commitment in the header is of exactly this" in second
        assert "does not equal the checkpoint" in second


def _proof(leaves: list[bytes], index: int) -> list[bytes]:
    """PATH(m, D[n]) as RFC 6962 section 2.1.1 defines it."""
    if len(leaves) == 1:
        return []
    middle = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < middle:
        return [*_proof(leaves[:middle], index), root_of(leaves[middle:])]
    return [*_proof(leaves[middle:], index - middle), root_of(leaves[:middle])]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 13, 64, 100, 257])
def test_the_way_of_every_entry_leads_to_the_root(size: int) -> None:
    """Drawn whole for each size and index: every node within the drawing, none on another, siblings side by side."""
    leaves = [leaf_hash(b"%d" % n) for n in range(size)]
    for index in range(size):
        proof = _proof(leaves, index)
        way = path(b"%d" % index, index, size, proof)
        assert way.root.hash == root_of(leaves)
        assert (way.root.start, way.root.stop, way.leaf.start) == (0, size, index)
        for level in way.levels:
            assert level.sibling.hash == root_of(leaves[level.sibling.start : level.sibling.stop])
        drawn = drawing(way)
        assert len({(b.x, b.y) for b in drawn.boxes}) == len(drawn.boxes) == 2 * len(proof) + 1
        assert len(drawn.lines) == 2 * len(proof)
        for box in drawn.boxes:
            assert box.x >= 0
            assert box.x + drawn.box_width <= WIDTH
            assert box.y >= 0
            assert box.y + drawn.box_height <= drawn.height
        for one, two in zip(drawn.boxes[0:-1:2], drawn.boxes[1:-1:2], strict=True):
            left, right = sorted((one, two), key=lambda box: box.node.start)
            assert (left.y, left.node.stop) == (right.y, right.node.start)
            assert left.x + drawn.box_width < right.x


@pytest.mark.parametrize(("index", "size", "count"), [(0, 2, 0), (0, 2, 2), (2, 2, 1), (-1, 2, 1), (0, 0, 0)])
def test_a_proof_of_another_length_is_none(index: int, size: int, count: int) -> None:
    """Nothing is drawn that would not verify."""
    with pytest.raises(Invalid):
        path(b"", index, size, [bytes(32)] * count)


def _rendered(locale: str, way: Path) -> str:
    """The page of an entry of a log that nobody has the time to write."""
    stored = StoredCheckpoint(size=way.root.stop, at=AT, log_note="", cosignatures=())
    proof = Proof(
        checkpoint=stored,
        said=Checkpoint("localhost/tlog/default", way.root.stop, way.root.hash),
        hashes=tuple(level.sibling.hash for level in way.levels),
        way=way,
        drawn=drawing(way),
        whole=True,
        signed=True,
    )
    entry = Entry(
        index=way.leaf.start, id=NOBODY, at=AT, kind="decision", tenant="default", header=b"x", payload=None, salt=None,
        about=None,
    )  # fmt: skip
    auditor = SimpleNamespace(signed_in=False, tenant="default", size=way.root.stop, name="", link=lambda p, **_: p)
    return pages._TEMPLATES.get_template("ledger_entry.html").render(
        t=words.Words(locale), locales=words.locales(), here="/ledger", signed_in=False, auditor=auditor, alarms=(),
        q="", entry=entry, header={"pretty": "{}", "raw": "{}", "commitment": "ab" * 32}, payload=None, named=(),
        erased=False, erasure=None, before=entry, after=entry, proof=proof, commands=[],
    )  # fmt: skip


@pytest.mark.parametrize(("locale", "width", "scheme"), LOOKS)
@pytest.mark.parametrize("levels", [2, 24])
def test_small_and_large_trees_are_readable(
    reader: Callable[..., Reader], locale: str, width: int, scheme: str, levels: int
) -> None:
    """Two levels and twenty-four in the page's own template: no sideways scrolling, letters of at least 10 pixels."""
    one = reader(locale, width, scheme)
    size = 2**levels - 1
    way = path(b"x", size // 3, size, [sha256(b"%d" % n).digest() for n in range(levels)])
    html = _rendered(locale, way)
    one.page.route("**/ledger/drawn", lambda route: route.fulfill(body=html, content_type="text/html"))
    one.go("/ledger/drawn")
    one.check()
    shoot(one.page, f"tree-{levels}-{locale}")
    box: Any = one.page.locator("svg text.span").first.bounding_box()
    assert box["height"] >= 10
    overflowing = one.page.evaluate(
        "[...document.querySelectorAll('svg text')].filter((t) => t.getBBox().width > 130).length"
    )
    assert overflowing == 0
    assert one.page.locator(".steps > li").count() == levels + 2
