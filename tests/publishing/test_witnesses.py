"""Witnesses over real HTTP: cosignatures are kept and served, nobody is waited for, and a fork cannot be missed.

The witnesses that do right are aics-witness, which nobody here wrote; those that lie are the tests' own.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine import settings
from engine.cli.main import parser
from engine.errors import SetupError
from engine.publishing.witnesses import read_policy
from ledger.verifier.note import Key, opened, parse, parse_key
from ledger.verifier.policy import Policy
from tests.ports import free_port
from tests.publishing import liar as liars
from tests.publishing.liar import SIZE, Handler, Liar, answers, cosignature, drips, hangs, sent_text
from tests.service.running import Service, until
from tests.thirdparty import tools
from tests.thirdparty.tools import Witness, aics_witness

NewService = Callable[[], Service]
TRY_SECONDS = 60.0
"""A witness that failed is asked again after a while that grows."""


def quick(service: Service, tmp: Path, policy: str | None) -> None:
    """Checkpoints as fast as they come, and a policy."""
    service.env |= {"MUSTER_CHECKPOINT_SECONDS": "1", "MUSTER_CHECKPOINT_ENTRIES": "1"}
    service.env.pop("MUSTER_WITNESS_POLICY", None)
    if policy is not None:
        file = tmp / "policy"
        file.write_text(policy)
        service.env["MUSTER_WITNESS_POLICY"] = str(file)


def log_key(service: Service) -> str:
    """The key of a log whose service does not run yet."""
    return str(json.loads(service.muster("ledger", "checkpoint", "--json").stdout)["vkey"])


def line(witness: Witness, name: str) -> str:
    """A policy's line for a real witness."""
    return f"witness {name} {witness.vkey} {witness.url}\n"


def checkpoint(service: Service) -> Any:
    return service.call("auditor", "GET", "/v1/ledger/checkpoint")


def standing(service: Service) -> dict[str, Any]:
    """Each witness as the service tells of it, by the policy's name."""
    told = service.call("auditor", "GET", "/v1/ledger/witnesses")
    return {each["called"]: each for each in told["witnesses"]}


def newest(service: Service, witnesses: list[str]) -> Any:
    """The checkpoint of the whole log, once these have cosigned it."""
    found = checkpoint(service)
    return found if (found["size"], found["witnesses"]) == (size(service), witnesses) else None


def satisfied(service: Service) -> bool:
    return service.call("auditor", "GET", "/v1/ledger/witnesses")["satisfied"] is True


def size(service: Service) -> int:
    return int(service.call("auditor", "GET", "/v1/ledger/head")["size"])


def ready(service: Service) -> Any:
    return service.http("GET", "/readyz").json()


def metric(service: Service, name: str, witness: str) -> float | None:
    found = re.search(
        rf'^{name}{{tenant="default",witness="{witness}"}} (\S+)$', service.http("GET", "/metrics").text, re.M
    )
    return float(found.group(1)) if found else None


@pytest.mark.usefixtures("_installed")
def test_cosignatures_are_kept_and_served_everywhere(new_service: NewService, tmp_path: Path) -> None:
    """In the checkpoint, among the tiles, beside the database, and in a proof that two other verifiers accept."""
    service = new_service()
    vkey = log_key(service)
    with ExitStack() as stack:
        two = [stack.enter_context(aics_witness(vkey, tmp_path / n, name=f"witness.example/{n}")) for n in ("a", "b")]
        quick(service, tmp_path, line(two[0], "a") + line(two[1], "b") + "group both all a b\nquorum both\n")
        service.start()
        service.person("ada")
        found = until(lambda: newest(service, ["witness.example/a", "witness.example/b"]), "all is cosigned by both")
        assert satisfied(service)
        note = found["note"].encode()
        opened(note, parse_key(vkey))
        policy = Policy.parse((tmp_path / "policy").read_bytes())
        assert [witness.name for witness in policy.cosigned(parse(note))] == ["a", "b"]
        assert service.http("GET", "/tlog/default/checkpoint", role="auditor").content == note
        assert (service.home / "checkpoints" / "default.checkpoint").read_bytes() == note
        _prove_to_others(service, vkey, [witness.vkey for witness in two], tmp_path)
        assert metric(service, "muster_witness_cosigned_size", "witness.example/a") == found["size"]
        assert metric(service, "muster_ledger_fork_alarm", "witness.example/a") == 0
        assert "satisfied" in service.muster("ledger", "witnesses").stdout
        _asked_by_whoever_checks(service, tmp_path)
        service.stop()
        service.start()
        until(lambda: standing(service)["a"]["at"] and satisfied(service), "a start submits again")
        again = checkpoint(service)
        assert [s.name for s in parse(again["note"].encode()).signatures].count("witness.example/a") == 1


def _asked_by_whoever_checks(service: Service, tmp: Path) -> None:
    """The auditor's own policy, of a home and of an export alone: a quorum that has not cosigned is a finding."""
    service.muster("ledger", "export", "--tiles", str(tmp / "tiles"))
    stranger = Key("witness.example/x", 4, bytes(32)).vkey()
    (tmp / "other").write_text(f"witness x {stranger}\nquorum x\n")
    for words in (["ledger", "verify"], ["ledger", "verify", str(tmp / "tiles")]):
        service.muster(*words, "--witness-policy", str(tmp / "policy"))
        refused = service.muster(*words, "--witness-policy", str(tmp / "other"), want=1)
        assert "witness: " in refused.stderr
        assert "quorum" in refused.stderr
        service.muster(*words, "--witness-policy", str(tmp / "nowhere"), want=2)


def _prove_to_others(service: Service, vkey: str, witnesses: list[str], tmp: Path) -> None:
    entry = service.call("auditor", "GET", "/v1/ledger/entries")["entries"][0]
    asked = {"id": entry["id"], "format": "tlog-proof"}
    (tmp / "log.vkey").write_text(f"{vkey}\n")
    (tmp / "a.tlog-proof").write_bytes(
        service.http("GET", "/v1/ledger/proofs/inclusion", role="auditor", params=asked).content
    )
    (tmp / "entry").write_text(entry["header"])
    assert tools.aics_verify_proof(tmp / "a.tlog-proof", tmp / "entry", tmp / "log.vkey", witnesses=witnesses)
    assert tools.checker(None, tmp / "log.vkey", proof=tmp / "a.tlog-proof", entry=tmp / "entry", witnesses=witnesses)


@pytest.mark.usefixtures("_installed")
def test_two_of_three_are_a_quorum_and_one_is_none(new_service: NewService, tmp_path: Path) -> None:
    """A witness that is away raises nothing, and is caught up with all that it missed when it comes back."""
    service = new_service()
    vkey = log_key(service)
    with (
        aics_witness(vkey, tmp_path / "a", name="witness.example/a") as here,
        aics_witness(vkey, tmp_path / "b", name="witness.example/b") as away,
    ):
        away.stop()
        nobody = f"witness c {liars.key('c').vkey()} http://127.0.0.1:{free_port()}/\n"
        quick(service, tmp_path, line(here, "a") + line(away, "b") + nobody + "group most 2 a b c\nquorum most\n")
        service.start()
        service.person("ada")
        until(lambda: standing(service)["a"]["size"] == size(service), "the witness that is there cosigns")
        until(lambda: standing(service)["b"]["error"], "the one that is away is told")
        assert not satisfied(service)
        told = service.muster("ledger", "witnesses", want=1).stdout
        assert "not satisfied (newest that is: none)" in told
        assert "cannot be reached" in told
        assert metric(service, "muster_witness_failures_total", "witness.example/b")
        assert ready(service) == {"status": "ready", "alarms": []}
        away.start()
        until(lambda: satisfied(service), "two of three cosigned", TRY_SECONDS)
        caught_up = standing(service)
        assert (caught_up["b"]["size"], caught_up["b"]["error"]) == (size(service), None)
        assert caught_up["c"]["size"] == 0


def test_a_witness_that_is_away_delays_nothing(new_service: NewService, tmp_path: Path, liar: Liar) -> None:
    """Neither decisions nor checkpoints wait for one that takes a request and never answers."""
    service = new_service()
    quick(service, tmp_path, liar.line("hangs", hangs(liar)) + "quorum hangs\n")
    service.start()
    service.person("ada")
    service.train("ada")
    until(lambda: liar.asked, "the witness is asked")
    took = []
    for _ in range(10):
        began = time.monotonic()
        assert service.decide("ada")["allow"]
        took.append(time.monotonic() - began)
    assert sorted(took)[5] < 1.0, took
    grown = size(service)
    until(lambda: checkpoint(service)["size"] >= grown, "the checkpoint is made", 5.0)
    assert not standing(service)["hangs"]["error"], "the request that hangs is still under way"
    until(lambda: standing(service)["hangs"]["error"], "that it does not answer is told")
    assert "does not answer within" in standing(service)["hangs"]["error"]


def test_what_a_broken_witness_answers_changes_nothing_and_is_told(
    new_service: NewService, tmp_path: Path, liar: Liar
) -> None:
    """Each in one sentence; nothing of it is kept, nobody is followed, and no alarm is raised."""
    now = int(time.time())

    def signed_by_another(handler: Handler, body: bytes) -> None:
        handler.answer(200, cosignature("forged", sent_text(body), now, signer="other"))

    def of_another_text(handler: Handler, body: bytes) -> None:
        handler.answer(200, cosignature("stale", sent_text(body).replace("\n", "x\n", 1), now))

    def of_another_key(handler: Handler, body: bytes) -> None:
        handler.answer(200, cosignature("stranger", sent_text(body), now))

    def timeless(handler: Handler, body: bytes) -> None:
        handler.answer(200, cosignature("timeless", sent_text(body), 0))

    def says_what_was_said(handler: Handler, body: bytes) -> None:
        handler.answer(409, body.split(b"\n")[0].removeprefix(b"old ") + b"\n", SIZE)

    broken: dict[str, tuple[liars.Act, str]] = {
        "forged": (signed_by_another, "its cosignature is refused: the signature of liar.example/forged"),
        "stale": (of_another_text, "its cosignature is refused"),
        "another": (of_another_key, "without a cosignature of the key in the policy"),
        "timeless": (timeless, "it was made at no time that can be (0)"),
        "words": (answers(200, b"thank you\n"), "its cosignature is refused: a signature line is not base64"),
        "nothing": (answers(200, b""), "its cosignature is refused"),
        "binary": (answers(200, b"\xff\xfe\x00"), "its cosignature is refused"),
        "huge": (answers(200, bytes(50_000_000)), "more than 16384 bytes"),
        "drips": (drips(liar), "does not answer within"),
        "redirects": (answers(307, b"", Location="/elsewhere/add-checkpoint"), "it points elsewhere"),
        "garbage": (answers(409, b"many\n", SIZE), "409 without the size that it holds"),
        "leading": (answers(409, b"007\n", SIZE), "409 without the size that it holds"),
        "long": (answers(409, b"9" * 20 + b"\n", SIZE), "409 without the size that it holds"),
        "untyped": (answers(409, b"7\n"), "409 without the size that it holds"),
        "repeats": (says_what_was_said, "it is broken"),
        "unknown": (answers(404, b"no\n"), "does not know this log (404: no): tell its operator to take in localhost/"),
        "untrusted": (answers(403, b"no\n"), "tell its operator that localhost/tlog/default signs with localhost/"),
        "malformed": (answers(400, b"\x1b[2Jno\n"), "malformed (400:  [2Jno)"),
        "ill": (answers(500, b""), "it answers 500: without a word"),
        "busy": (answers(503, b"later\n", **{"Retry-After": "1"}), "it answers 503: later"),
    }
    service = new_service()
    quick(service, tmp_path, "".join(liar.line(name, act) for name, (act, _) in broken.items()) + "quorum forged\n")
    service.start()
    service.person("ada")
    missing = set(broken)

    def told() -> bool:  # one after the other: what is tried again meanwhile may be told otherwise
        missing.difference_update(n for n, each in standing(service).items() if broken[n][1] in (each["error"] or ""))
        return not missing

    until(told, "every one is told", TRY_SECONDS)
    assert [each["size"] for each in standing(service).values()] == [0] * len(broken)
    assert "elsewhere" not in {name for name, _ in liar.asked}
    assert checkpoint(service)["witnesses"] == []
    assert ready(service)["alarms"] == []
    assert service.decide("ada")["allow"] is False
    service.muster("ledger", "verify")


def test_a_witness_is_asked_as_the_protocol_says(new_service: NewService, tmp_path: Path, liar: Liar) -> None:
    """From 0 without a proof, then from what it says it holds, with one; later from what it last cosigned."""
    service = new_service()
    held = {"size": 1}
    service.env |= {"MUSTER_CHECKPOINT_SECONDS": "1"}
    log_key(service)

    def remembers(handler: Handler, body: bytes) -> None:
        if body.startswith(f"old {held['size']}\n".encode()):
            held["size"] = int(sent_text(body).split("\n")[1])
            handler.answer(200, b"\n".join([*[foreign, cosignature("good", sent_text(body), int(time.time()))]]))
        else:
            handler.answer(409, f"{held['size']}\n".encode(), SIZE)

    foreign = cosignature("unknown", "x\n", 5).removesuffix(b"\n")
    quick(service, tmp_path, liar.line("good", remembers) + "quorum good\n")
    service.start()
    service.person("ada")
    until(lambda: newest(service, ["liar.example/good"]), "all is cosigned, and a stranger's line is not kept")
    olds = [body.split(b"\n")[0] for _, body in liar.asked]
    assert olds[:2] == [b"old 0", b"old 1"]
    assert olds.count(b"old 0") == 1
    first, second = (body.decode().split("\n\n")[0].split("\n") for _, body in liar.asked[:2])
    assert (len(first), len(second) > 1) == (1, True)


@pytest.mark.usefixtures("_installed")
def test_a_log_or_a_key_that_a_witness_does_not_know_is_for_its_operator(
    new_service: NewService, tmp_path: Path
) -> None:
    """The sentence has the key to give; no alarm. A key that has handed over is such a one."""
    service = new_service()
    vkey = log_key(service)
    with aics_witness([], tmp_path / "a") as witness:
        quick(service, tmp_path, line(witness, "a") + "quorum a\n")
        service.start()
        until(lambda: standing(service)["a"]["error"], "it is told")
        assert f"take in localhost/tlog/default with the key {vkey}" in standing(service)["a"]["error"]
        _trust(witness, vkey)
        until(lambda: satisfied(service), "it cosigns", TRY_SECONDS)
        service.muster("ledger", "rotate-key", "--reason", "yearly")
        after = checkpoint(service)["vkey"]
        service.person("ada")
        until(lambda: standing(service)["a"]["error"], "it is told")
        assert f"signs with {after}" in standing(service)["a"]["error"]
        _trust(witness, after)
        until(lambda: satisfied(service), "it cosigns", TRY_SECONDS)
        assert ready(service)["alarms"] == []


def _trust(witness: Witness, vkey: str) -> None:
    witness.stop()
    witness.trust(vkey)
    witness.start()


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(("people", "words"), [(0, "rolled back"), (1, "rolled back"), (9, "forked")])
def test_a_fork_raises_an_alarm_that_cannot_be_missed(
    new_service: NewService, tmp_path: Path, people: int, words: str
) -> None:
    """A copy of the home that stands still, grows, or outgrows what was cosigned: told everywhere, and proven."""
    first = new_service()
    vkey = log_key(first)
    with ExitStack() as stack:
        witness = stack.enter_context(aics_witness(vkey, tmp_path / "w"))
        quick(first, tmp_path, line(witness, "w") + "quorum w\n")
        first.start()
        first.person("common")
        until(lambda: standing(first)["w"]["size"] == size(first), "the common history is cosigned")
        first.stop()
        copy = stack.enter_context(_copied(first, tmp_path))
        first.start()
        for number in range(4):
            first.person(f"first-{number}")
        until(lambda: standing(first)["w"]["size"] == size(first), "the first history is cosigned")
        cosigned = standing(first)["w"]["size"]
        first.stop()

        if people:
            witness.stop()  # so that the copy has grown before it is asked
        copy.start()
        for number in range(people):
            copy.person(f"copy-{number}")
        if people:
            witness.start()
        until(lambda: [a for a in ready(copy)["alarms"] if a["entry"]], "the alarm is raised and recorded", TRY_SECONDS)
        _seen_everywhere(copy, witness.name, words)
        _proves(copy, vkey, cosigned)
        if words == "forked":
            _cleared_by_an_admin_alone(copy, witness.name)


@contextmanager
def _copied(service: Service, tmp: Path) -> Iterator[Service]:
    """The home once more, whose outside checkpoint nobody has: only the witness can know."""
    home = tmp / "copy" / "home"
    home.parent.mkdir()
    shutil.copytree(service.home, home)
    env = service.env | {"MUSTER_HOME": str(home), "MUSTER_CHECKPOINT_DIR": str(tmp / "elsewhere")}
    copy = Service(home=home, env=env, tokens=dict(service.tokens))
    try:
        yield copy
    finally:
        copy.stop()


def _seen_everywhere(service: Service, witness: str, words: str) -> None:
    """Every place that the alarm has to stand in."""
    told = ready(service)
    assert (told["status"], [alarm["witness"] for alarm in told["alarms"]]) == ("ready", [witness])
    assert words in told["alarms"][0]["reason"]
    assert checkpoint(service)["alarms"] == told["alarms"]
    witnesses = service.call("auditor", "GET", "/v1/ledger/witnesses")
    assert witnesses["alarms"] == told["alarms"]
    assert witnesses["witnesses"][0]["alarm"] == told["alarms"][0]
    assert metric(service, "muster_ledger_fork_alarm", witness) == 1
    log = service.home.parent / f"{service.home.name}.log"
    until(lambda: re.search(rf"CRITICAL FORK ALARM: .*{witness}", log.read_text()), "it is logged")
    status = service.muster("status", want=1)
    assert "FORK ALARM" in status.stderr
    assert json.loads(service.muster("status", "--json", want=1).stdout)["alarms"] == told["alarms"]
    for command in ("checkpoint", "verify"):
        assert f"witness {witness}" in service.muster("ledger", command).stderr
    assert "FORK ALARM" in service.muster("ledger", "witnesses", want=1).stdout
    (entry,) = [e for e in _alarm_entries(service) if e["event"] == "raised"]
    assert entry["witness"] == witness
    assert entry["by"]["principal"] == {"type": "system", "id": "muster"}


def _alarm_entries(service: Service) -> list[dict[str, Any]]:
    found = service.call("auditor", "GET", "/v1/ledger/entries", params={"limit": "1000"})["entries"]
    return [json.loads(entry["payload"]) for entry in found if entry["kind"] == "alarm"]


def _proves(service: Service, vkey: str, cosigned: int) -> None:
    """Two checkpoints signed by one key, of which neither begins the other: the entry has both."""
    (entry,) = _alarm_entries(service)
    theirs, note = opened(entry["theirs"].encode(), parse_key(vkey))
    ours, _ = opened(entry["ours"].encode(), parse_key(vkey))
    assert theirs.size == cosigned
    assert [signature.name for signature in note.signatures] == [theirs.origin, "witness.example/w1"]
    if ours.size >= theirs.size:
        assert service.call("auditor", "GET", "/v1/ledger/head")["root"] != theirs.root.hex()
    service.muster("replay")


def _cleared_by_an_admin_alone(service: Service, witness: str) -> None:
    """Not by an auditor, not without a reason, not by a restart, and not by taking the witness out of the policy."""
    path = f"/v1/ledger/alarms/{witness}/clearance"
    service.call("auditor", "POST", path, {"reason": "it is nothing"}, want=403)
    service.call("admin", "POST", path, {}, want=400)
    service.call("admin", "POST", path, {"reason": ""}, want=400)
    service.call("admin", "POST", path.replace("w1", "w2"), {"reason": "no such one"}, want=404)
    service.stop()
    policy = service.env.pop("MUSTER_WITNESS_POLICY")
    service.start()
    assert [alarm["witness"] for alarm in ready(service)["alarms"]] == [witness]
    assert metric(service, "muster_ledger_fork_alarm", witness) == 1
    service.stop()
    assert "FORK ALARM" in service.muster("ledger", "verify").stderr
    service.env["MUSTER_WITNESS_POLICY"] = policy
    service.start()
    service.muster("ledger", "clear-alarm", witness, "--reason", "restored on purpose, ticket 7")
    assert ready(service)["alarms"] == []
    assert metric(service, "muster_ledger_fork_alarm", witness) == 0
    cleared = _alarm_entries(service)[-1]
    assert (cleared["event"], cleared["reason"]) == ("cleared", "restored on purpose, ticket 7")
    failures = standing(service)["w"]["failures"]
    until(lambda: standing(service)["w"]["failures"] > failures, "it is asked again", TRY_SECONDS)
    assert "cleared, and still so" in standing(service)["w"]["error"]
    assert ready(service)["alarms"] == []
    assert service.muster("status").stderr == ""


def test_a_witness_that_only_says_so_raises_an_alarm_too(new_service: NewService, tmp_path: Path, liar: Liar) -> None:
    """Its word alone is said to be that; what an admin cleared is raised again when it holds anything else."""
    service = new_service()
    said = {"size": 10**12}
    log_key(service)
    liar.shows["more"] = (service.home / "checkpoints" / "default.checkpoint").read_bytes()

    def more(handler: Handler, _: bytes) -> None:
        handler.answer(409, f"{said['size']}\n".encode(), SIZE)

    lines = liar.line("more", more) + liar.line("refuses", answers(422, b"no such history\n"))
    quick(service, tmp_path, f"{lines}quorum more\n")
    service.start()
    until(lambda: len(ready(service)["alarms"]) == 2, "both are raised")
    reasons = {alarm["witness"]: alarm["reason"] for alarm in ready(service)["alarms"]}
    assert "its word alone: the checkpoint of" in reasons["liar.example/more"]
    assert "it shows is one of ours" in reasons["liar.example/more"]
    assert "its word alone: it shows no checkpoint (404: nothing)" in reasons["liar.example/refuses"]
    until(lambda: len(_alarm_entries(service)) == 2, "what is shown is in the log a moment later")
    assert [entry["theirs"] for entry in _alarm_entries(service)] == [None, None]
    service.muster("ledger", "clear-alarm", "liar.example/more", "--reason", "that operator has no logs left")
    service.stop()
    service.start()
    until(lambda: "cleared" in (standing(service)["more"]["error"] or ""), "it is asked again")
    assert [alarm["witness"] for alarm in ready(service)["alarms"]] == ["liar.example/refuses"]
    said["size"] += 1
    until(lambda: len(ready(service)["alarms"]) == 2, "it is raised again", TRY_SECONDS)
    until(lambda: len(_alarm_entries(service)) == 4, "what is shown is in the log a moment later")


A = liars.key("a")


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("quorum a\n", "line 1: `a` is not defined"),
        (f"witness a {A.vkey()} ftp://a.example\nquorum a\n", "witness a: its URL is http(s)://HOST/PATH"),
        (f"witness a {A.vkey()} a.example\nquorum a\n", "witness a: its URL is http(s)://HOST/PATH"),
        (f"witness a {A.vkey()} https://me:word@a.example\nquorum a\n", "witness a: its URL is http(s)"),
        (f"witness a {A.vkey()} https://a.example:x\nquorum a\n", "witness a: its URL cannot be read"),
        (f"witness a {A.vkey()}\nwitness b {Key(A.name, 4, bytes(32)).vkey()}\nquorum a\n", "two witnesses are called"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_policy_with_a_mistake_is_refused(tmp_path: Path, policy: str | None, words: str) -> None:
    """One sentence, with the variable, the file and the line; two of one name could not tell their alarms apart."""
    file = tmp_path / "policy"
    if policy is not None:
        file.write_text(policy)
    with pytest.raises(SetupError) as refused:
        read_policy(settings.load({"MUSTER_HOME": str(tmp_path), "MUSTER_WITNESS_POLICY": str(file)}))
    assert f"MUSTER_WITNESS_POLICY: {file}" in str(refused.value)
    assert words in str(refused.value)


def test_a_policy_with_a_mistake_stops_the_start(new_service: NewService, tmp_path: Path) -> None:
    """And every command that would write without a service."""
    service = new_service()
    quick(service, tmp_path, "quorum a\n")
    for command in (("serve",), ("ledger", "checkpoint")):
        done = service.muster(*command, want=2)
        assert "policy: line 1: `a` is not defined" in done.stderr
        assert "Traceback" not in done.stderr


def test_without_a_policy_nobody_is_asked(new_service: NewService, tmp_path: Path) -> None:
    """Which is said, and is no failure."""
    service = new_service()
    quick(service, tmp_path, None)
    log_key(service)
    assert "no policy is configured" in service.muster("ledger", "witnesses").stdout
    told = json.loads(service.muster("ledger", "witnesses", "--json").stdout)
    assert (told["quorum"], told["satisfied"], told["witnesses"]) == (None, None, [])
    assert parser().parse_args(["ledger", "clear-alarm", "a/b", "--reason", "c"]).witness == "a/b"
