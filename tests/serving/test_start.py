"""A start: what answers first, what is loaded behind it, and what is not loaded at all."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from starlette.types import Message

from engine.api.gateway import Gateways
from engine.api.services import Services
from engine.cli.main import COMMANDS, parser
from engine.serving import behind
from tests.service.running import Service

HEAVY = ("fastapi", "httpx", "jsonschema", "jinja2", "babel", "grpc", "markdown_it", "urllib.request")


def loaded(*modules: str) -> set[str]:
    """What these modules load of what is large."""
    code = f"import sys, {', '.join(modules)}; print(*(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_deciding_loads_nothing_that_it_does_without() -> None:
    """Before a service is ready there is no framework in it, no template, and no way to anybody else."""
    assert loaded("engine.cli.main", "engine.cli.operating", "engine.cli.serve", "engine.serving.service") <= {
        "urllib.request"  # requests, which opa-python-client loads
    }


def test_a_command_loads_its_own_room() -> None:
    """`muster --help` and `muster status` load none of it."""
    assert loaded("engine.cli.main", "engine.cli.operating") == set()


def test_every_command_is_in_its_room() -> None:
    """What `--help` lists is what the rooms have, and each is found by its name alone."""
    every = parser()._subparsers
    assert every is not None
    [commands] = every._group_actions
    assert commands.choices is not None
    assert set(commands.choices) == set(COMMANDS)
    for name in COMMANDS:
        alone = parser(name)._subparsers
        assert alone is not None
        assert name in (alone._group_actions[0].choices or ())


def test_what_is_loaded_behind_is_waited_for(new_service: Callable[[], Service]) -> None:
    """Asked the moment that it is ready, the application answers as it always does."""
    service = new_service()
    service.start()
    for path in ("/openapi.json", "/v1/gates"):
        assert service.http("GET", path, role="admin").status_code == 200
    assert service.http("GET", "/no/such/thing").status_code == 404


def test_a_service_whose_application_cannot_be_loaded_ends(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """It does not go on with half of what it is: it says so, and its exit status is that of what is not available."""
    service = new_service()
    starter = tmp_path / "halved.py"
    starter.write_text(
        "import sys\n"
        "from engine.serving import behind\n"
        "behind._MODULE = 'engine.api.nowhere'\n"
        "from engine.cli.main import main\n"
        "sys.exit(main(['serve']))\n"
    )
    done = subprocess.run(
        [sys.executable, str(starter)], env=service.env, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 3
    assert "the application behind the decisions cannot be loaded" in done.stderr
    assert "No module named 'engine.api.nowhere'" in done.stderr


def test_who_waits_for_what_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 503, as of all that is not there now, whether they came before or after it was known."""
    monkeypatch.setattr(behind, "_MODULE", "engine.api.nowhere")
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nobody reads the body")

    async def main() -> None:
        app = behind.Behind(cast(Services, None), cast(Gateways, None))
        early = asyncio.create_task(app({"type": "http"}, receive, send))
        await asyncio.sleep(0)  # it begins
        with pytest.raises(ModuleNotFoundError):
            await app.load()
        await early
        await app({"type": "http"}, receive, send)

    asyncio.run(main())
    assert [message["status"] for message in sent if message["type"] == "http.response.start"] == [503, 503]
    assert b"urn:muster:problem:unavailable" in sent[1]["body"]


@pytest.mark.parametrize("words", [["-h"], ["nonsense"], []])
def test_what_is_no_command_is_told(words: list[str]) -> None:
    """Help is 0, a word that is no command 2; both list the commands."""
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli.main", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == (0 if words == ["-h"] else 2)
    assert "COMMAND" in done.stdout + done.stderr
