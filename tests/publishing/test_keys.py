"""The log's key: where it may come from, what it may not be, and how one hands over to the next."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.errors import SetupError
from engine.home import make_private_key
from engine.publishing.keys import key_from, read_key
from ledger import note
from ledger.verifier.note import opened, parse, parse_key, verify
from tests.service.running import Service, until
from tests.thirdparty import tools as others


def test_a_key_is_read_in_both_spellings(tmp_path: Path) -> None:
    """PEM as Muster makes it, and PRIVATE+KEY+ as note tools write it, whatever `+` is in its base64."""
    make_private_key(tmp_path / "log.pem")
    assert stat.S_IMODE((tmp_path / "log.pem").stat().st_mode) == 0o600
    assert len(key_from(tmp_path / "log.pem", others=stat.S_IRWXG | stat.S_IRWXO).public) == 32
    for _ in range(30):
        skey, vkey = others.new_key("log.example/x")
        assert note.vkey("log.example/x", read_key(skey, "test").public) == vkey


@pytest.mark.parametrize("text", ["", "nonsense", "PRIVATE+KEY+x", "PRIVATE+KEY+x+00000000+AAAA", "PRIVATE+KEY+x+0+!"])
def test_what_is_no_key_is_refused_by_name(text: str) -> None:
    """One sentence with the place, and nothing of the key in it."""
    with pytest.raises(SetupError, match="MUSTER_LOG_KEY"):
        read_key(text, "MUSTER_LOG_KEY")


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The home's own for group and others; a mounted secret for others."""
    path = tmp_path / "log.pem"
    make_private_key(path)
    path.chmod(0o640)
    assert key_from(path)
    with pytest.raises(SetupError, match="chmod 600"):
        key_from(path, others=stat.S_IRWXG | stat.S_IRWXO)
    path.chmod(0o644)
    with pytest.raises(SetupError, match="chmod 600"):
        key_from(path)


def test_a_hand_over_is_in_the_log(new_service: Callable[[], Service]) -> None:
    """The old key signs for the new one; both sign the next checkpoint; the old key is not kept; the log verifies."""
    service = new_service().start()
    service.person("ada")
    first = json.loads(service.muster("ledger", "checkpoint", "--json").stdout)
    before = (service.home / "keys" / "log.pem").read_text()
    told = json.loads(service.muster("ledger", "rotate-key", "--reason", "the year is over", "--json").stdout)
    second = json.loads(service.muster("ledger", "checkpoint", "--json").stdout)
    assert (told["vkey"], first["origin"]) == (second["vkey"], second["origin"])
    assert first["vkey"] != second["vkey"]
    signers = verify(parse(second["note"].encode()), [parse_key(first["vkey"]), parse_key(second["vkey"])])
    assert len(signers) == 2
    assert all(before not in path.read_text() for path in (service.home / "keys").iterdir())
    service.decide("ada")
    third = json.loads(service.muster("ledger", "checkpoint", "--json").stdout)
    checkpoint, signed = opened(third["note"].encode(), parse_key(second["vkey"]))
    assert checkpoint.size > second["size"]
    assert len(signed.signatures) == 1
    service.muster("ledger", "verify", "--key", second["vkey"])
    assert "not by the key" in service.muster("ledger", "verify", "--key", first["vkey"], want=1).stderr
    service.stop()
    service.start()
    assert json.loads(service.muster("ledger", "checkpoint", "--json").stdout)["vkey"] == second["vkey"]
    assert json.loads(service.muster("replay", "--json").stdout)["findings"] == []


def test_checkpoints_and_hand_overs_at_once(new_service: Callable[[], Service]) -> None:
    """Whatever comes between: each checkpoint is signed by the key that the log names for it, each hand-over counts."""
    service = new_service().start()
    service.person("ada")
    service.muster("ledger", "checkpoint")
    service.token("gateway")
    stop = threading.Event()

    def work(what: Callable[[], object]) -> None:
        while not stop.is_set():
            what()

    with ThreadPoolExecutor(8) as pool:
        busy = [pool.submit(work, lambda: service.decide("ada")) for _ in range(3)]
        busy += [pool.submit(work, lambda: service.call("admin", "POST", "/v1/ledger/checkpoint")) for _ in range(3)]
        rotations = [
            pool.submit(service.call, "admin", "POST", "/v1/ledger/key-rotation", {"reason": f"turn {turn}"})
            for turn in range(12)
        ]
        vkeys = [rotation.result(60)["vkey"] for rotation in rotations]
        stop.set()
        for each in busy:
            each.result(60)
    assert len(set(vkeys)) == 12
    report = json.loads(service.muster("ledger", "verify", "--json", want=None).stdout)
    assert report["findings"] == []


def test_a_hand_over_that_was_broken_off_is_finished(new_service: Callable[[], Service]) -> None:
    """Killed between the entry and the key's move, the next start takes the key that the log names."""
    service = new_service().start()
    service.muster("ledger", "checkpoint")
    keys = service.home / "keys"
    old = (keys / "log.pem").read_bytes()
    vkey = json.loads(service.muster("ledger", "rotate-key", "--reason", "test", "--json").stdout)["vkey"]
    service.stop()
    (keys / "log.pem").replace(keys / "log.next.pem")
    (keys / "log.pem").write_bytes(old)
    (keys / "log.pem").chmod(0o600)
    service.start()
    assert json.loads(service.muster("ledger", "checkpoint", "--json").stdout)["vkey"] == vkey
    assert not (keys / "log.next.pem").exists()


def test_a_key_from_the_environment_and_from_a_secret(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """Both sign instead of the home's; a hand-over is given the key that will be configured from then on."""
    for name in ("MUSTER_LOG_KEY", "MUSTER_LOG_KEY_FILE"):
        service = new_service()
        skey, vkey = others.new_key("muster.example/tlog/default")
        secret = tmp_path / name
        secret.write_text(skey)
        secret.chmod(0o600)
        service.env |= {"MUSTER_PUBLIC_URL": "https://muster.example"}
        service.env[name] = skey if name == "MUSTER_LOG_KEY" else str(secret)
        service.start()
        assert json.loads(service.muster("ledger", "checkpoint", "--json").stdout)["vkey"] == vkey
        assert "--new-key" in service.muster("ledger", "rotate-key", "--reason", "x", want=2).stderr
        make_private_key(tmp_path / f"{name}.pem")
        new = json.loads(
            service.muster(
                "ledger", "rotate-key", "--reason", "x", "--new-key", str(tmp_path / f"{name}.pem"), "--json"
            ).stdout
        )["vkey"]
        service.stop()
        assert "hand over" in service.muster("serve", want=2).stderr
        service.env.pop(name)
        service.env["MUSTER_LOG_KEY_FILE"] = str(tmp_path / f"{name}.pem")
        service.start()
        assert json.loads(service.muster("ledger", "checkpoint", "--json").stdout)["vkey"] == new
        service.muster("ledger", "verify")
        service.stop()


def test_a_log_that_is_called_otherwise_says_so(new_service: Callable[[], Service]) -> None:
    """With another public address the log has another origin from an entry on; earlier checkpoints stay."""
    service = new_service().start()
    first = json.loads(service.muster("ledger", "checkpoint", "--json").stdout)
    service.stop()
    service.env["MUSTER_PUBLIC_URL"] = "https://muster.example"
    service.start()
    second = json.loads(service.muster("ledger", "checkpoint", "--json").stdout)
    assert (first["origin"], second["origin"]) == ("localhost/tlog/default", "muster.example/tlog/default")
    service.muster("ledger", "verify")
    service.stop()


def test_checkpoints_come_by_themselves_and_only_forward(new_service: Callable[[], Service]) -> None:
    """After so many entries or seconds; the newest is in a file beside the ledger, and nothing is made of nothing."""
    service = new_service()
    outside = service.home.parent / "elsewhere"
    service.env |= {"MUSTER_CHECKPOINT_ENTRIES": "5", "MUSTER_CHECKPOINT_SECONDS": "3600"}
    service.env["MUSTER_CHECKPOINT_DIR"] = str(outside)
    service.start()
    service.person("ada")
    for _ in range(12):
        service.decide("ada")

    def sizes() -> list[int]:
        listed = service.call("auditor", "GET", "/v1/ledger/checkpoints")["checkpoints"]
        return [found["size"] for found in listed]

    until(lambda: len(sizes()) >= 2, "a checkpoint after five entries")
    assert sizes() == sorted(sizes(), reverse=True)
    newest = service.call("auditor", "GET", "/v1/ledger/checkpoint")
    assert (outside / "default.checkpoint").read_text() == newest["note"]
    made = [service.call("auditor", "POST", "/v1/ledger/checkpoint")["size"] for _ in range(3)]
    assert made[0] == made[1] == made[2]
