"""The configuration: one frozen object, read once, passed in.

Values come from `MUSTER_*` in the environment, over `muster.toml` in the home directory, over the defaults here.
Nothing is read from the environment anywhere else. What this version cannot honour is refused, not ignored.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.errors import SetupError

DEFAULT_LISTEN = "127.0.0.1:8080"

KEYS = (
    "listen",
    "public_url",
    "policies",
    "bundle",
    "overlay",
    "database_url",
    "redis_url",
    "opa_url",
    "opa_bin",
    "cache",
)
NOT_YET = {
    "database_url": "this version keeps its ledger in SQLite inside the home",
    "redis_url": "this version runs on one machine and needs no Redis",
    "opa_url": "this version starts and watches its own OPA",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpListen:
    """A TCP address to listen on."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixListen:
    """A Unix socket to listen on; we bind it ourselves, mode 0660."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator decides. Paths are absolute."""

    home: Path
    listen: TcpListen | UnixListen
    public_url: str | None
    policies: Path
    bundle: Path
    overlay: Path | None
    opa_bin: Path | None
    cache: Path

    @property
    def base_url(self) -> str:
        """Where the service is reached from outside: the public address, or the one it listens on."""
        if self.public_url is not None:
            return self.public_url
        if isinstance(self.listen, TcpListen):
            host = f"[{self.listen.host}]" if ":" in self.listen.host else self.listen.host
            return f"http://{host}:{self.listen.port}"
        return "http://localhost"


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check the configuration; raise `SetupError` with every mistake at once."""
    home = Path(environ.get("MUSTER_HOME") or ".muster").expanduser().absolute()
    values = _from_file(home / "muster.toml")
    values.update({k: environ[f"MUSTER_{k.upper()}"] for k in KEYS if environ.get(f"MUSTER_{k.upper()}")})
    mistakes = [f"{_name(k)} is set, but {why}; unset it" for k, why in NOT_YET.items() if k in values]
    listen: TcpListen | UnixListen = TcpListen(host="127.0.0.1", port=8080)
    try:
        listen = parse_listen(values.get("listen", DEFAULT_LISTEN))
    except ValueError as exc:
        mistakes.append(f"{_name('listen')}: {exc}")
    public_url = values.get("public_url")
    if public_url is not None and not re.fullmatch(r"https://[^/\s?#]+", public_url.rstrip("/")):
        mistakes.append(f"{_name('public_url')}: expected https://HOST without a path, got {public_url!r}")
    opa_bin = values.get("opa_bin")
    if mistakes:
        raise SetupError("configuration: " + "; ".join(mistakes))
    return Settings(
        home=home,
        listen=listen,
        public_url=public_url.rstrip("/") if public_url else None,
        policies=_path(values.get("policies", "policies")),
        bundle=_path(values.get("bundle", "bundles/companyos")),
        overlay=_path(values["overlay"]) if values.get("overlay") else None,
        opa_bin=_path(opa_bin) if opa_bin else None,
        cache=_path(values.get("cache", str(Path.home() / ".cache" / "muster"))),
    )


def parse_listen(text: str) -> TcpListen | UnixListen:
    """Read `host:port` or `unix:PATH`; raise ValueError."""
    if text.startswith("unix:"):
        path = Path(text.removeprefix("unix:")).expanduser().absolute()
        if len(str(path)) > 100:
            raise ValueError(f"the socket path has {len(str(path))} bytes, at most 100 work everywhere: {path}")
        return UnixListen(path=path)
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError(f"expected host:port or unix:PATH, got {text!r}")
    return TcpListen(host=host.strip("[]"), port=int(port))


def _from_file(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SetupError(f"{path}: {exc}") from exc
    wrong = [k for k, v in table.items() if k not in KEYS or not isinstance(v, str)]
    if wrong:
        raise SetupError(f"{path}: {', '.join(wrong)}: only text values of {', '.join(KEYS)} are known")
    return dict(table)


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _name(key: str) -> str:
    return f"MUSTER_{key.upper()}"
