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
from typing import Final

from engine.errors import SetupError

DEFAULT_TENANT: Final = "default"
DEFAULT_LISTEN = "127.0.0.1:8080"
CLEAR_TEXT_WORDS: Final = "I know that tokens and answers travel in clear text"
"""What `MUSTER_LISTEN_WITHOUT_TLS` has to say, to the letter: nobody sets that by accident."""

KEYS = (
    "listen",
    "listen_without_tls",
    "tls_cert",
    "tls_key",
    "tls_client_ca",
    "tls_client",
    "gateway_sockets",
    "gateway_certificates",
    "envoy_listen",
    "issuer_ca",
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
MOST_GATEWAY_SOCKETS = 32
_GATEWAY_CERTIFICATE = re.compile(
    r"(?:(?P<tenant>[a-z0-9][a-z0-9-]{0,62})/)?(?P<name>[a-z0-9][a-z0-9-]{0,62})"
    r"=(?P<kind>sha256|dns|uri):(?P<value>[!-~]+)"
)
_GATEWAY_SOCKET = re.compile(
    r"(?:(?P<tenant>[a-z0-9][a-z0-9-]{0,62})/)?(?P<name>[a-z0-9][a-z0-9-]{0,62})=(?P<where>unix:.+)", re.DOTALL
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

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixListen:
    """A Unix socket to listen on; we bind it ourselves, mode 0660."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySocket:
    """A Unix socket of one gateway's own, mode 0660: whoever may open it speaks as this profile of this tenant."""

    tenant: str
    name: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayCertificate:
    """Whoever shows this client certificate speaks as this profile of this tenant.

    `value` is its SHA-256 in hex (`kind` sha256), one of its DNS names (dns) or of its URIs (uri).
    """

    tenant: str
    name: str
    kind: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The files of the service's certificate and key (PEM), and of the authorities whose clients it knows.

    With `client_ca` a client shows a certificate that one of them signed; unless `client_required` it may show none.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None
    client_required: bool = False


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
    tls: Tls | None = None
    clear_text: bool = False
    """Whether somebody has said, in words, that the service may listen beyond this machine without TLS."""
    gateway_sockets: tuple[GatewaySocket, ...] = ()
    gateway_certificates: tuple[GatewayCertificate, ...] = ()
    envoy_listen: TcpListen | UnixListen | None = None
    """Where Envoy asks over gRPC; None: nowhere."""
    issuer_ca: Path | None = None
    """Certificates of authorities (PEM) that issuers of users' tokens are trusted by, besides the public ones."""
    workers: int = 1
    caller_rate: int = 0
    """Decisions a second that one caller may ask, of whichever worker; 0: as many as there is room for."""
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
            return f"{self.scheme}://{self.listen}"
        return "http://localhost"

    @property
    def scheme(self) -> str:
        """By which the public listener is spoken to."""
        return "http" if self.tls is None else "https"


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
    tls = _tls(values, listen, mistakes)
    clear_text = _clear_text(values, tls, mistakes)
    gateway_sockets = _gateway_sockets(values, listen, mistakes)
    gateway_certificates = _gateway_certificates(values, tls, mistakes)
    envoy_listen = _envoy_listen(values, mistakes)
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
        tls=tls,
        clear_text=clear_text,
        gateway_sockets=gateway_sockets,
        gateway_certificates=gateway_certificates,
        envoy_listen=envoy_listen,
        issuer_ca=_path(values["issuer_ca"]) if values.get("issuer_ca") else None,
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


def _tls(values: Mapping[str, str], listen: TcpListen | UnixListen, mistakes: list[str]) -> Tls | None:
    """Where certificate and key are, if anywhere; the files themselves are read by whoever serves."""
    cert, key, client_ca = (values.get(f"tls_{each}") for each in ("cert", "key", "client_ca"))
    client = values.get("tls_client")
    if not cert and not key:
        mistakes += [
            f"{_name(each)} is set, but there is no TLS: set {_name('tls_cert')} and {_name('tls_key')} as well"
            for each in ("tls_client_ca", "tls_client")
            if values.get(each)
        ]
        return None
    if not cert or not key:
        missing, there = ("tls_cert", "tls_key") if key else ("tls_key", "tls_cert")
        mistakes.append(f"{_name(there)} is set without {_name(missing)}: a certificate and its key go together")
        return None
    if isinstance(listen, UnixListen):
        mistakes.append(f"{_name('tls_cert')} is set, but {_name('listen')} is a Unix socket, which has no TLS")
    if client and not client_ca:
        mistakes.append(f"{_name('tls_client')} is set, but not {_name('tls_client_ca')}: nobody's would be known")
    if client and client not in ("require", "optional"):
        mistakes.append(f"{_name('tls_client')}: `require` or `optional`, not {client!r}")
    return Tls(
        cert=_path(cert),
        key=_path(key),
        client_ca=_path(client_ca) if client_ca else None,
        client_required=client_ca is not None and client != "optional",
    )


def _clear_text(values: Mapping[str, str], tls: Tls | None, mistakes: list[str]) -> bool:
    words, name = values.get("listen_without_tls"), _name("listen_without_tls")
    if words and words != CLEAR_TEXT_WORDS:
        mistakes.append(f"{name}: it says nothing but the words `{CLEAR_TEXT_WORDS}`, and is unset otherwise")
    elif words and tls is not None:  # once the certificate is gone, they would still stand there
        mistakes.append(f"{name} is set, but so is {_name('tls_cert')}: unset one of them")
    return words == CLEAR_TEXT_WORDS


def _gateway_certificates(
    values: Mapping[str, str], tls: Tls | None, mistakes: list[str]
) -> tuple[GatewayCertificate, ...]:
    """Read `NAME=sha256:HEX,TENANT/NAME=dns:HOST,NAME=uri:URI`; adds what is wrong to the mistakes."""
    text, name = values.get("gateway_certificates") or "", _name("gateway_certificates")
    found: list[GatewayCertificate] = []
    for part in text.split(",") if text else ():
        form = _GATEWAY_CERTIFICATE.fullmatch(part.strip())
        if form is None:
            mistakes.append(f"{name}: [TENANT/]NAME= and sha256:HEX, dns:HOST or uri:URI between commas, not {part!r}")
            continue
        value = form["value"] if form["kind"] == "uri" else form["value"].replace(":", "").lower()
        if form["kind"] == "sha256" and not re.fullmatch(r"[0-9a-f]{64}", value):
            mistakes.append(f"{name}: a SHA-256 has 64 hexadecimal digits, {part!r} has not")
        tenant = form["tenant"] or "default"
        found.append(GatewayCertificate(tenant=tenant, name=form["name"], kind=form["kind"], value=value))
    shown = [(each.kind, each.value) for each in found]
    if len(set(shown)) != len(shown):
        mistakes.append(f"{name}: a certificate is of one gateway, and one stands there twice")
    if found and (tls is None or tls.client_ca is None):
        mistakes.append(f"{name} is set, but not {_name('tls_client_ca')}: nobody's certificate would be known")
    return tuple(found)


def _envoy_listen(values: Mapping[str, str], mistakes: list[str]) -> TcpListen | UnixListen | None:
    text = values.get("envoy_listen")
    try:
        return parse_listen(text) if text else None
    except ValueError as exc:
        mistakes.append(f"{_name('envoy_listen')}: {exc}")
        return None


def _gateway_sockets(
    values: Mapping[str, str], listen: TcpListen | UnixListen, mistakes: list[str]
) -> tuple[GatewaySocket, ...]:
    """Read `NAME=unix:PATH,TENANT/NAME=unix:PATH`; adds what is wrong to the mistakes."""
    text, name = values.get("gateway_sockets") or "", _name("gateway_sockets")
    found: list[GatewaySocket] = []
    taken = {listen.path} if isinstance(listen, UnixListen) else set()
    for part in text.split(",") if text else ():
        form = _GATEWAY_SOCKET.fullmatch(part.strip())
        if form is None:
            mistakes.append(f"{name}: expected NAME=unix:PATH or TENANT/NAME=unix:PATH between commas, got {part!r}")
            continue
        try:
            where = parse_listen(form["where"])
        except ValueError as exc:
            mistakes.append(f"{name}: {exc}")
            continue
        assert isinstance(where, UnixListen)
        each = GatewaySocket(tenant=form["tenant"] or "default", name=form["name"], path=where.path)
        if each.path in taken:
            mistakes.append(f"{name}: {each.path} is listened on already: each gateway has a socket of its own")
        if any((each.tenant, each.name) == (other.tenant, other.name) for other in found):
            mistakes.append(f"{name}: {each.tenant}/{each.name} stands there twice")
        taken.add(each.path)
        found.append(each)
    if len(found) > MOST_GATEWAY_SOCKETS:
        mistakes.append(f"{name}: {len(found)} sockets, at most {MOST_GATEWAY_SOCKETS} are listened on")
    return tuple(found)


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
        length = len(os.fsencode(path))
        if length > 100:
            raise ValueError(f"the socket path has {length} bytes, at most 100 work everywhere: {path}")
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
