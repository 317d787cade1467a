"""The configuration: one frozen object, every mistake at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import settings
from engine.errors import SetupError


def test_defaults_serve_a_newcomer(tmp_path: Path) -> None:
    """Nothing set: localhost, the source that ships."""
    loaded = settings.load({"MUSTER_HOME": str(tmp_path)})
    assert loaded.listen == settings.TcpListen(host="127.0.0.1", port=8080)
    assert loaded.bundle.name == "companyos"


def test_the_environment_is_over_the_file(tmp_path: Path) -> None:
    """`MUSTER_*` wins over `muster.toml`, which wins over the defaults."""
    (tmp_path / "muster.toml").write_text('listen = "127.0.0.1:1"\npolicies = "/rules"\n')
    loaded = settings.load({"MUSTER_HOME": str(tmp_path), "MUSTER_LISTEN": "[::1]:2"})
    assert loaded.listen == settings.TcpListen(host="::1", port=2)
    assert loaded.policies == Path("/rules")


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"MUSTER_LISTEN": "8080"}, "host:port"),
        ({"MUSTER_LISTEN": "h:99999"}, "host:port"),
        ({"MUSTER_LISTEN": "unix:/" + "x" * 200}, "at most 100"),
        ({"MUSTER_PUBLIC_URL": "http://x"}, "https://HOST"),
        ({"MUSTER_DATABASE_URL": "postgres://x"}, "SQLite"),
        ({"MUSTER_OPA_URL": "http://x"}, "its own OPA"),
    ],
)
def test_what_cannot_be_honoured_is_refused(tmp_path: Path, env: dict[str, str], words: str) -> None:
    """Each with the variable's name and what to do."""
    with pytest.raises(SetupError, match=words) as refused:
        settings.load({"MUSTER_HOME": str(tmp_path), **env})
    assert next(iter(env)) in str(refused.value)


@pytest.mark.parametrize("text", ["listen = 7", "lisen = 'x'", "listen = ", "\udcff"])
def test_a_wrong_file_is_named(tmp_path: Path, text: str) -> None:
    """Unknown keys, wrong types and broken TOML are told with the file."""
    (tmp_path / "muster.toml").write_text(text, "utf-8", "surrogateescape")
    with pytest.raises(SetupError, match=r"muster\.toml"):
        settings.load({"MUSTER_HOME": str(tmp_path)})
