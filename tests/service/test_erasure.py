"""Erasure: nothing of a person is left in any file of the home, and everybody else's answers stay what they were."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import apsw
import orjson
import pytest

from ledger import canonical, entry
from ledger.merkle import Frontier, leaf_hash
from ledger.sqlite import SqliteLedger
from tests.ledger.builders import BY, draft, one
from tests.service.running import Service, export, instant, until

ZOE = "zoe.quill@example.org"
REASON = "request 4711"


@pytest.fixture(scope="module")
def erased(new_service: Callable[[], Service]) -> tuple[Service, dict[str, Any], dict[str, Any]]:
    """A service in which Zoe was subject, approver and activator, and was erased; the report, and what she had."""
    service = new_service().start()
    for user in (ZOE, "ann", "boss"):
        service.person(user)
    service.train(ZOE)
    service.train("ann")
    had: dict[str, Any] = {"own": service.decide(ZOE)["decision_id"], "before": service.decide("ann")["decision_id"]}
    asked = export("ann", customer="globex")
    had["approval"] = service.call(f"user:{ZOE}", "POST", "/v1/approvals", asked)["approval_id"]
    asked["context"]["approvals"] = [had["approval"]]
    had["approved"] = service.call("gateway", "POST", "/v1/decisions", asked)["decision_id"]
    wanted = {"role": "admin", "principal": f"user:{ZOE}"}
    service.tokens["zoe-admin"] = service.call("admin", "POST", "/v1/tokens", wanted)["token"]
    revision = service.call("auditor", "GET", "/v1/ledger/head")["active_revision"]
    service.call("zoe-admin", "POST", "/v1/activations", {"revision": revision, "reason": "as it was"})
    service.call("admin", "PUT", "/v1/subjects/ann", {"persona": "engineers", "customer": "acme", "manager": ZOE})
    waiver = {"user": "ann", "scope": "data-export", "reason": f"asked for by {ZOE}", "until": _tomorrow()}
    had["mention"] = service.call("admin", "POST", "/v1/waivers", waiver)["waiver_id"]
    had["checkpoint"] = service.muster("ledger", "checkpoint").stdout
    done = service.muster("ledger", "erase", ZOE, "--reason", REASON, "--approved-by", "boss", "--json")
    return service, json.loads(done.stdout), had


def test_the_report_says_what_was_erased_and_what_was_not(
    erased: tuple[Service, dict[str, Any], dict[str, Any]],
) -> None:
    """Indices only, in the log; others' entries that name the person are listed."""
    service, report, had = erased
    [recorded] = report["entries"]
    entry = service.call("auditor", "GET", f"/v1/ledger/entries/{recorded['id']}")
    payload = json.loads(entry["payload"])
    assert len(payload["indices"]) == report["erased"] > 8
    assert payload["reason"] == REASON
    assert ZOE not in entry["payload"]
    assert [mention["id"] for mention in report["mentions"]] == [had["mention"]]
    assert report["files"] == []


def test_no_file_of_the_home_holds_the_person(erased: tuple[Service, dict[str, Any], dict[str, Any]]) -> None:
    """As text, base64, hex and SHA-256, in free pages too; but for what the command itself listed."""
    service, report, _ = erased
    listed = [
        service.call("auditor", "GET", f"/v1/ledger/entries/{mention['id']}")["payload"].encode()
        for mention in report["mentions"]
    ]
    for path in [*service.home.rglob("*"), service.home.parent / f"{service.home.name}.log"]:
        if path.is_file():
            data = path.read_bytes()
            for payload in listed:
                data = data.replace(payload, b"")
            for needle in _spellings(ZOE):
                assert needle not in data, f"{path} holds {needle!r}"


def test_the_tree_stays_whole_and_others_replay_exactly(
    erased: tuple[Service, dict[str, Any], dict[str, Any]], tmp_path: Path
) -> None:
    """Verified against a checkpoint from before; what leaned on the erased approver is given again, and said so."""
    service, report, had = erased
    kept = tmp_path / "kept"
    kept.write_text(had["checkpoint"])
    found = json.loads(service.muster("ledger", "verify", "--since", str(kept), "--json").stdout)
    assert found["ok"], found
    assert found["erased"] == report["erased"]
    replay = json.loads(service.muster("replay", "--json").stdout)
    assert replay["findings"] == []
    assert replay["erased"] >= 1
    assert replay["leaning_on_erased"] == 1
    for kind, leaning in (("before", 0), ("approved", 1)):
        one = json.loads(service.muster("replay", "--id", had[kind], "--json").stdout)
        assert (one["replayed"], one["leaning_on_erased"], one["findings"]) == (1, leaning, [])


def test_what_was_theirs_says_erased(erased: tuple[Service, dict[str, Any], dict[str, Any]]) -> None:
    """The record is 410, the person unknown, their token nobody's, and their approval counts no more."""
    service, _, had = erased
    assert service.http("GET", f"/v1/decisions/{had['own']}", role="auditor").status_code == 410
    assert service.http("GET", f"/v1/subjects/{ZOE}", role="admin").status_code == 404
    assert service.http("GET", "/v1/ledger/head", role="zoe-admin").status_code == 401
    answer = service.call("gateway", "POST", "/v1/decisions", export(ZOE))
    assert answer["allow"] is False
    assert service.muster("explain", had["own"], want=None).returncode in (1, 2)


def test_no_session_begins_behind_an_erasure(new_service: Callable[[], Service]) -> None:
    """Hosts that begin sessions while their person is erased: what is told as begun stands before it."""
    service, ended = new_service().start(), threading.Event()
    service.person("boss")
    headers = {"Authorization": f"Bearer {service.token('app')}", "Content-Type": "application/json"}
    begun = [0] * 8

    def go_on(mine: int) -> None:
        with closing(http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=30)) as connection:
            while not ended.is_set():
                connection.request("POST", "/v1/sessions", '{"user": "ida"}', headers)
                answer = connection.getresponse()
                told = answer.read()
                assert answer.status in (200, 404, 503), told
                begun[mine] += answer.status == 200

    def erase() -> int | None:
        wanted = {"user": "ida", "reason": "asked for", "approved_by": ["user:boss"]}
        done = service.http("POST", "/v1/erasures", role="admin", json=wanted)
        return int(done.json()["entries"][0]["index"]) if done.status_code == 200 else None

    at = []
    with ThreadPoolExecutor(len(begun)) as pool:
        beginning = [pool.submit(go_on, i) for i in range(len(begun))]
        try:
            for _ in range(4):
                service.person("ida")
                enough = sum(begun) + 24
                until(partial(_more, begun, enough), "sessions begin")
                at.append(until(erase, "the person is erased"))
        finally:
            ended.set()
        for one_of in beginning:
            one_of.result()
    service.stop()
    with closing(sqlite3.connect(f"file:{service.home / 'ledger.db'}?mode=ro", uri=True)) as ledger:
        found = "SELECT idx, payload FROM payloads WHERE about_id = 'ida' AND idx > ?"
        assert ledger.execute(found, (at[-1],)).fetchall() == []


def _more(counts: list[int], than: int) -> bool:
    return sum(counts) > than


def test_whoever_comes_again_begins_anew(new_service: Callable[[], Service]) -> None:
    """After an erasure the same ID is a new person; a second erasure takes what has come since."""
    service = new_service().start()
    for _ in range(2):
        service.person("eve")
        service.train("eve")
        assert service.decide("eve")["allow"] is True
        service.person("boss")
        service.muster("ledger", "erase", "eve", "--reason", "gone", "--approved-by", "boss")
    again = json.loads(
        service.muster("ledger", "erase", "eve", "--reason", "gone", "--approved-by", "boss", "--json").stdout
    )
    assert again["erased"] == 0
    service.muster("ledger", "verify")
    assert json.loads(service.muster("replay", "--json").stdout)["findings"] == []


def test_the_entry_says_of_nobody_who_it_was(new_service: Callable[[], Service]) -> None:
    """Also where the caller sent a key: neither its digest nor that of the request stands in the log."""
    service = new_service().start()
    for user in ("eve", "boss"):
        service.person(user)
    wanted = {"user": "eve", "reason": "gone", "approved_by": ["boss"]}
    headers = {"Idempotency-Key": "k1"}
    for count in (1, 0):
        done = service.call("admin", "POST", "/v1/erasures", wanted, headers=headers)
        assert len(done["entries"]) == count
        for recorded in done["entries"]:
            payload = json.loads(service.call("auditor", "GET", f"/v1/ledger/entries/{recorded['id']}")["payload"])
            assert payload.keys() == {"indices", "reason", "approved_by", "by"}


@pytest.mark.parametrize("what", ["a denial", "an erasure"])
def test_an_erasure_of_some_entries_of_somebody_is_named(new_service: Callable[[], Service], what: str) -> None:
    """Whoever can write the database and takes what does not suit them: all of a person goes, or nothing."""
    service = new_service().start()
    for user in ("ann", "eve", "boss"):
        service.person(user)
    denied = service.decide("ann")
    done = json.loads(
        service.muster("ledger", "erase", "eve", "--reason", "gone", "--approved-by", "boss", "--json").stdout
    )
    index = service.call("auditor", "GET", f"/v1/ledger/entries/{denied['decision_id']}")["index"]
    service.stop()
    taken = index if what == "a denial" else done["entries"][0]["index"]
    path = service.home / "ledger.db"
    ledger = SqliteLedger(path)
    payload: dict[str, Any] = {"indices": [taken], "reason": "gone", "approved_by": [], "by": BY}
    ledger.submit(one(draft("change_window", {"starts_at": "", "ends_at": "", "resources": []}))).result(20)
    ledger.close()
    _take_away(path, taken, payload)
    found = json.loads(service.muster("ledger", "verify", "--json", want=1).stdout)["findings"]
    assert (taken, "erasure") in {(finding["index"], finding["check"]) for finding in found}


def test_what_stands_against_an_erasure(new_service: Callable[[], Service]) -> None:
    """A legal hold, a reason that names the person, nobody who agreed, one person where two are needed."""
    service = new_service()
    service.env["MUSTER_ERASURE_PEOPLE"] = "2"
    service.start()
    for user in ("eve", "boss", "chief"):
        service.person(user)
    for user in ("boss", "chief"):
        wanted = {"role": "admin", "principal": f"user:{user}"}
        service.tokens[user] = service.call("admin", "POST", "/v1/tokens", wanted)["token"]
    both = ["--approved-by", service.tokens["boss"], "--approved-by", service.tokens["chief"]]
    service.muster("ledger", "hold", "eve", "--reason", "case 12")
    refused = service.muster("ledger", "erase", "eve", "--reason", "gone", *both, want=2)
    assert "legal hold" in refused.stderr
    service.muster("ledger", "hold", "eve", "--reason", "case 12 is closed", "--release")
    for arguments, words in [
        (["--reason", "eve asked", *both], "names the person"),
        (["--reason", "gone", *both[:2]], "two people"),
        (["--reason", "gone", *both[:2], *both[:2]], "two people"),
        (["--reason", "gone", "--approved-by", "boss", "--approved-by", "chief"], "two people"),
        (["--reason", "gone", "--approved-by", "nobody"], "agreed"),
        (["--reason", "gone", "--approved-by", "eve"], "agreed"),
    ]:
        assert words in service.muster("ledger", "erase", "eve", *arguments, want=2).stderr
    assert (
        "two people"
        in service.muster("ledger", "erase", "eve", "--reason", "gone", "--approved-by", "system:dpo", want=2).stderr
    )
    done = service.muster("ledger", "erase", "eve", "--reason", "gone", *both, "--json")
    assert json.loads(done.stdout)["erased"] > 0
    service.muster("ledger", "verify")


def _take_away(path: Path, index: int, payload: dict[str, Any]) -> None:
    """Turn the newest entry into an erasure of another one, with everything that follows from it."""
    db = apsw.Connection(str(path))
    newest, header, salt = db.execute(
        "SELECT e.idx, e.header, p.salt FROM entries e JOIN payloads p USING (tenant, idx) ORDER BY e.idx DESC LIMIT 1"
    ).get
    fields = orjson.loads(header)
    data = canonical.encode(payload)
    fields |= {"kind": "erasure", "commitment": entry.commitment(salt, data)}
    header = canonical.encode(fields)
    with db:
        db.execute("DELETE FROM payloads WHERE idx = ?", (index,))
        db.execute("DELETE FROM objects WHERE name LIKE 'change_window/%'")
        db.execute("UPDATE payloads SET payload = ? WHERE idx = ?", (data, newest))
        db.execute("UPDATE entries SET header = ?, leaf = ? WHERE idx = ?", (header, leaf_hash(header), newest))
        frontier = Frontier()
        for (leaf,) in db.execute("SELECT leaf FROM entries ORDER BY idx"):
            assert isinstance(leaf, bytes)
            for done in frontier.append(leaf):
                db.execute("UPDATE nodes SET hash = ? WHERE level = ? AND idx = ?", (done.hash, done.level, done.index))
        db.execute("UPDATE heads SET frontier = ?", (frontier.to_bytes(),))
    db.close()


def _spellings(text: str) -> Iterator[bytes]:
    raw = text.encode()
    yield raw
    yield raw.hex().encode()
    yield hashlib.sha256(raw).hexdigest().encode()
    yield hashlib.sha256(raw).digest()
    for lead in range(3):  # whatever stands before it, base64 shows it in one of three ways
        coded = base64.b64encode(b"\0" * lead + raw)
        yield coded[4 if lead else 0 : len(coded) - 4]


def _tomorrow() -> str:
    return instant(timedelta(days=1))


def test_what_is_acknowledged_after_an_erasure_outlives_a_stranger_and_a_kill(
    new_service: Callable[[], Service],
) -> None:
    """The search for what is left of a person costs SQLite none of its locks: or else the next program that opens and
    closes the database deletes the log of writes, with all that was answered since."""
    service = new_service().start()
    for user in ("zoe", "boss", "ann"):
        service.person(user)
    service.muster("ledger", "erase", "zoe", "--reason", REASON, "--approved-by", "boss", "--json")
    with closing(sqlite3.connect(service.home / "ledger.db")) as stranger:
        assert stranger.execute("SELECT count(*) FROM entries").fetchone()[0] > 0
    answered = [service.decide("ann", ticket=f"REQ-{n}")["decision_id"] for n in range(3)]
    service.kill()
    service.start()
    for decision in answered:
        assert service.call("auditor", "GET", f"/v1/decisions/{decision}")["answer"]["verdict"] == "deny"
    service.muster("ledger", "verify")
    service.stop()
