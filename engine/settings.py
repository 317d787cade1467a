"""The configuration: one frozen object, read once, passed in.

Values come from `MUSTER_*` in the environment, over `muster.toml` in the home directory, over the defaults here.
Nothing is read from the environment anywhere else. What this version cannot honour is refused, not ignored.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    "log_key",
    "log_key_file",
    "checkpoint_entries",
    "checkpoint_seconds",
    "checkpoint_dir",
    "witness_policy",
    "tlog_open",
    "erasure_people",
    "workers",
    "caller_rate",
    "caller_burst",
)
MOST_WORKERS = 64
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
class Log:
    """How the log is published. `key` is the signing key's text, `key_file` a mounted secret; neither: the home's own.

    A checkpoint is made when the log has grown by `entries`, or has grown at all and `seconds` have passed.
    """

    key: str | None = field(default=None, repr=False)
    key_file: Path | None = None
    entries: int = 1000
    seconds: int = 60
    outside: Path | None = None
    witness_policy: Path | None = None
    open: bool = False
    erasure_people: int = 1


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
    log: Log
    workers: int = 1
    caller_rate: int = 0
    """Decisions a second that one caller may ask of one worker; 0: as many as there is room for."""
    caller_burst: int = 1
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What was set, as it was written: what another process of this service is given, so that it has the same."""

    @property
    def metrics_dir(self) -> Path | None:
        """Where the workers of one service share their numbers; whoever starts them sets it."""
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        return Path(folder) if folder else None

    @property
    def traces_endpoint(self) -> str | None:
        """Where traces go (OpenTelemetry's own variables; it reads the rest of them itself); None: there are none."""
        whole, base = (os.environ.get(f"OTEL_EXPORTER_OTLP_{name}") for name in ("TRACES_ENDPOINT", "ENDPOINT"))
        return whole or (f"{base.rstrip('/')}/v1/traces" if base else None)

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
    return of(home, values)


def of(home: Path, values: Mapping[str, str]) -> Settings:
    """Check what was set; raise `SetupError` with every mistake at once."""
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
    log = _log(values, mistakes)
    workers = _whole(values, "workers", 1, range(1, MOST_WORKERS + 1), mistakes)
    caller_rate = _whole(values, "caller_rate", 0, range(10**6), mistakes)
    caller_burst = _whole(values, "caller_burst", max(1, 2 * caller_rate), range(1, 10**7), mistakes)
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
        log=log,
        workers=workers,
        caller_rate=caller_rate,
        caller_burst=caller_burst,
        values=dict(values),
    )


def inherited(**more: str) -> dict[str, str]:
    """The environment of a process that we start: ours, and these."""
    return {**os.environ, **more}


def _log(values: Mapping[str, str], mistakes: list[str]) -> Log:
    """The log's own settings; adds what is wrong to the mistakes."""
    if values.get("log_key") and values.get("log_key_file"):
        mistakes.append(f"{_name('log_key')} and {_name('log_key_file')} are both set: one of them is the key")
    if values.get("tlog_open", "no") not in ("yes", "no"):
        mistakes.append(f"{_name('tlog_open')}: `yes` serves the log's tiles to anybody; else `no`")
    paths = {k: _path(values[k]) for k in ("log_key_file", "checkpoint_dir", "witness_policy") if values.get(k)}
    return Log(
        key=values.get("log_key"),
        key_file=paths.get("log_key_file"),
        entries=_whole(values, "checkpoint_entries", 1000, range(1, 10**9), mistakes),
        seconds=_whole(values, "checkpoint_seconds", 60, range(1, 86_401), mistakes),
        outside=paths.get("checkpoint_dir"),
        witness_policy=paths.get("witness_policy"),
        open=values.get("tlog_open") == "yes",
        erasure_people=_whole(values, "erasure_people", 1, range(1, 3), mistakes),
    )


def _whole(values: Mapping[str, str], key: str, default: int, allowed: range, mistakes: list[str]) -> int:
    text = values.get(key, str(default))
    if text.isascii() and text.isdigit() and len(text) < 12 and int(text) in allowed:
        return int(text)
    mistakes.append(f"{_name(key)}: a whole number from {allowed.start} to {allowed.stop - 1}, not {text!r}")
    return default


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
