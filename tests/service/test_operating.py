"""Start, stop, and the command line beside and without a service."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import runtime
from engine.opa.binary import OpaBinary
from ledger.sqlite.writer import FREE_FLOOR
from tests.service.running import ROOT, Service, copy_home, environment, export
from tests.service.test_leases import inside


def test_a_second_start_on_one_home_says_so_and_stops(service: Service) -> None:
    """Exit code 3, one sentence, and the first goes on."""
    done = service.muster("serve", want=3)
    assert re.search(r"another Muster \(process \d+\) is running on the home", done.stderr)
    assert "Traceback" not in done.stderr
    assert service.http("GET", "/readyz").status_code == 200


def test_what_cannot_record_is_not_ready(
    template: tuple[Path, str], tmp_path: Path, opa_binary: OpaBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that is nearly full, and once the writer has ended, whatever OPA could decide."""
    copy_home(template[0], tmp_path / "home")
    room = [FREE_FLOOR]
    monkeypatch.setattr(runtime, "free", lambda _path: room[0])

    async def main() -> None:
        async with inside(tmp_path / "home", opa_binary, monkeypatch) as muster:

            async def ready() -> tuple[int, str]:
                answer = await muster.public.get("/readyz")
                return answer.status_code, answer.json().get("detail", "")

            assert (await ready())[0] == 200
            room[0] -= 1
            assert await ready() == (503, "the disk is nearly full, so nothing can be recorded: make space")
            room[0] += 1
            assert (await ready())[0] == 200
            muster.runtime.ledger.close()
            assert await ready() == (503, "the ledger is closed")

    asyncio.run(main())


def test_a_home_of_a_newer_version_is_refused(new_service: Callable[[], Service]) -> None:
    """One sentence that says to use the newer Muster."""
    service = new_service()
    (service.home / "version").write_text("2\n")
    done = service.muster("serve", want=2)
    assert "use the newer Muster" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_lost_ledger_is_not_replaced(new_service: Callable[[], Service]) -> None:
    """Nothing but `init` makes a ledger: an empty one in its place would be whole, and say nothing."""
    service = new_service()
    (service.home / "ledger.db").unlink()
    for words in (("serve",), ("serve", "--demo"), ("token", "list"), ("ledger", "verify"), ("init",)):
        done = service.muster(*words, want=2)
        assert "Traceback" not in done.stderr
    assert not (service.home / "ledger.db").exists()


def test_a_start_that_was_broken_off_is_begun_again(new_service: Callable[[], Service]) -> None:
    """A home without its version file was never made: `init` makes it, and keeps keys that are there."""
    service = new_service()
    (service.home / "version").unlink()
    key = (service.home / "keys" / "bundle.pem").read_bytes()
    service.muster("token", "list", want=2)
    service.muster("init")
    service.muster("token", "list")
    assert (service.home / "keys" / "bundle.pem").read_bytes() == key


def test_rollback_goes_back_and_not_to_and_fro(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """Three revisions, two rollbacks: the first decides again; a third has nowhere to go."""
    service = new_service()
    first = service.muster("policy", "list").stdout.split()[1]
    for number in (2, 3):
        source = tmp_path / str(number)
        shutil.copytree(ROOT / "bundles" / "companyos", source)
        text = (source / "source.yaml").read_text("utf-8")
        (source / "source.yaml").write_text(text.replace("1.0.0", f"{number}.0.0"), "utf-8")
        service.muster("policy", "activate", MUSTER_BUNDLE=str(source))
    service.muster("policy", "rollback")
    assert first in service.muster("policy", "rollback").stdout
    assert "no earlier revision" in service.muster("policy", "rollback", want=2).stderr


def test_odd_arguments_are_usage(service: Service) -> None:
    """A tenant or ID that is not there, or cannot be sent: exit code 2 and a sentence."""
    for words in (
        ("ledger", "verify", "--tenant", "nope"),
        ("replay", "--tenant", "nope"),
        ("explain", "../subjects/ada"),
        ("explain", "a\nb"),
        ("explain", "nope"),
        ("token", "list", "--tenant", "é"),
        ("policy", "activate", "0" * 64),
    ):
        done = service.muster(*words, want=2)
        assert done.stderr.strip()
        assert "Traceback" not in done.stderr


def test_the_home_is_its_owners_alone(service: Service) -> None:
    """Keys, ledger and control socket are readable by nobody else."""
    assert service.home.stat().st_mode & 0o777 == 0o700
    for path in (*(service.home / "keys").iterdir(), service.home / "ledger.db"):
        assert path.stat().st_mode & 0o077 == 0, path
    runtime = Path(json.loads((service.home / "lock").read_text())["runtime"])
    assert runtime.stat().st_mode & 0o777 == 0o700
    assert (runtime / "control.sock").stat().st_mode & 0o777 == 0o600


def test_commands_work_beside_a_service_and_without_one(new_service: Callable[[], Service]) -> None:
    """The same commands, the same answers: through the control socket, and in process under the home's lock."""
    service = new_service()
    service.muster("status", want=3)
    made = json.loads(
        service.muster("token", "create", "--role", "auditor", "--principal", "system:a", "--json").stdout
    )
    assert set(made) >= {"token", "id"}
    denied = json.loads(service.muster("decide", "zoe", "data-export", "--json", want=1).stdout)
    assert denied["allow"] is False
    service.start()
    service.muster("status")
    service.tokens["auditor"] = made["token"]
    assert service.call("auditor", "GET", f"/v1/decisions/{denied['decision_id']}")["answer"]["verdict"] == "deny"
    assert denied["decision_id"] in service.muster("explain", denied["decision_id"]).stdout
    service.muster("decide", "zoe", "data-export", want=1)
    service.muster("certified", "zoe", "data-export", want=1)
    assert made["id"] in service.muster("token", "list").stdout
    service.muster("token", "revoke", made["id"])
    service.call("auditor", "GET", "/v1/ledger/head", want=401)
    assert ": whole" in service.muster("ledger", "verify").stdout
    service.muster("policy", "check")
    service.muster("policy", "test")


def test_import_from_a_csv_tells_lines_and_fields(service: Service, tmp_path: Path) -> None:
    """A good file is imported and recognised when sent again; a wrong one is told and writes nothing."""
    service.person("vic")
    header = "user,module,version,tier,passed_at,reason,provenance"
    row = "vic,secure-data-export,1.0.0,completed,2026-01-01T00:00:00.000Z,r,p"
    good, bad, odd = tmp_path / "good.csv", tmp_path / "bad.csv", tmp_path / "odd.csv"
    good.write_text(f"\ufeff{header}\r\n{row}\r\n", "utf-8")
    bad.write_text(f"{header}\n{row.replace('completed', 'master')}\n", "utf-8")
    odd.write_text(f"{header}\n{row},one-too-many\n", "utf-8")
    assert "imported" in service.muster("learn", "import", str(good)).stdout
    assert "was imported before" in service.muster("learn", "import", str(good)).stdout
    assert "/results/0/tier" in service.muster("learn", "import", str(bad), want=2).stderr
    assert "line 2" in service.muster("learn", "import", str(odd), want=2).stderr
    assert "give a FILE" in service.muster("learn", "import", "--user", "vic", want=2).stderr


def test_a_token_in_the_environment_is_who_a_command_acts_as(service: Service) -> None:
    """`MUSTER_TOKEN` takes the operator's place."""
    done = service.muster(
        "token",
        "create",
        "--role",
        "app",
        "--principal",
        "system:x",
        want=2,
        MUSTER_TOKEN=service.token("gateway"),
    )
    assert "403" in done.stderr


def test_a_unix_socket_serves_too(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """`MUSTER_LISTEN=unix:PATH`: mode 0660, and no authentication left out."""
    service = new_service()
    path = tmp_path / "muster.sock"
    service.env["MUSTER_LISTEN"] = f"unix:{path}"
    service.socket = path
    service.start()
    assert path.stat().st_mode & 0o777 == 0o660
    assert service.http("POST", "/v1/decisions", json=export("x")).status_code == 401
    assert service.decide("x")["allow"] is False


def test_opa_listens_on_no_tcp_port(service: Service) -> None:
    """The only TCP listener of the service and its children is its own."""
    assert service.process is not None
    port = int(service.url.rsplit(":", 1)[1])
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    inodes: set[str] = set()
    for pid in (str(service.process.pid), *children):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            target = str(fd.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == "0A" and cells[9] in inodes:
                listening.add(int(cells[1].rsplit(":", 1)[1], 16))
    assert listening == {port}
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) == 0


def test_wrong_settings_are_told_all_at_once(tmp_path: Path, service: Service) -> None:
    """Every mistake in one sentence, exit code 2."""
    env = environment(tmp_path, service.home, MUSTER_LISTEN="nowhere", MUSTER_REDIS_URL="redis://x")
    done = service.muster("status", want=2, **{k: v for k, v in env.items() if k.startswith("MUSTER_")})
    assert "MUSTER_LISTEN" in done.stderr
    assert "MUSTER_REDIS_URL" in done.stderr
