"""The options of `muster gateway check`, read strictly, and what is put around a gateway for it.

Raises BadRequest for what is no such option, and for an address that cannot be listened on.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import BadRequest
from engine.gateways import wishes
from engine.gateways.check.backend import Backend
from engine.gateways.check.live import Elsewhere
from engine.gateways.check.pdp import HttpPdp, Pdp
from engine.gateways.check.proofs import Keys
from engine.gateways.check.site import Site
from engine.gateways.wishes import Place

KINDS: Final = ("nginx", "caddy", "traefik", "haproxy", "envoy")
_NAME: Final = re.compile(r"[A-Za-z0-9-]+\Z")
_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9-]*\Z")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")
_TARGET: Final = re.compile(r"/[\x21-\x7e]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be checked, and where the check listens."""

    gateway: Place
    backend: Place
    pdp: Place | None
    """None where Muster itself is asked, at `muster`."""
    over: str
    muster: Place | None = None
    tenant: str = "default"
    kind: str | None = None
    host: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    paths: tuple[str, ...] = ("/",)
    ca: str | None = None
    insecure: bool = False


def gateway(text: str) -> Place:
    """The gateway's address."""
    return wishes.place("URL", text, unix=False)


def listener(option: str, text: str, *, unix: bool = False) -> Place:
    """An address to listen on: said in full, so that nothing is listened on by mistake."""
    if unix and text.startswith("unix:"):
        return wishes.place(option, text)
    place = wishes.listener(option, text)
    if not place.host:
        raise BadRequest(f"{option}: say which address to listen on: 127.0.0.1{text}, or the one the gateway reaches")
    return place


def kind_and_over(kind: str | None, over: str | None) -> tuple[str | None, str]:
    """Which gateway it is, and how it asks: Envoy's default is gRPC, as in what is printed for it."""
    if kind is not None and kind not in KINDS:
        raise BadRequest(f"--kind: no gateway {kind!r} is known: {', '.join(KINDS)}")
    if over not in {None, "grpc", "http"}:
        raise BadRequest(f"--over: expected grpc or http, got {over!r}")
    if over == "grpc" and kind not in {None, "envoy"}:
        raise BadRequest(f"--over: only envoy asks in two ways; {kind} asks over HTTP")
    if over is None:
        return kind, "grpc" if kind == "envoy" else "http"
    return ("envoy" if over == "grpc" else kind), over


def places(pdp: str | None, muster: str | None, tenant: str) -> tuple[Place | None, Place | None]:
    """Where the check listens as Muster, or where Muster itself is."""
    if (pdp is None) is (muster is None):
        raise BadRequest("give --pdp, to be asked in Muster's place, or --muster, where the gateway asks Muster itself")
    if not _TENANT.match(tenant):
        raise BadRequest(f"--tenant: no tenant is called {tenant!r}")
    if pdp is not None:
        return listener("--pdp", pdp, unix=True), None
    return None, wishes.place("--muster", muster or "", unix=False)


def header(text: str) -> tuple[str, str]:
    """`Name: value`, sent with every request."""
    name, sign, value = text.partition(":")
    if not sign or not _NAME.match(name) or not _VALUE.match(value):
        raise BadRequest(f"--header: expected 'Name: value', got {text!r}")
    if name.lower() == "host":
        raise BadRequest("--header: the host is given by --host")
    if name.lower().startswith("muster") or name.lower() in {"connection", "content-length", "transfer-encoding"}:
        raise BadRequest(f"--header: {name} is what the check itself sends")
    return name, value.strip()


def path(text: str) -> str:
    """A path that leads to the application."""
    if not _TARGET.match(text) or "#" in text:
        raise BadRequest(f"--path: expected a path from / on, without blanks, got {text!r}")
    return text


def host(text: str) -> str:
    """The host that is asked for."""
    parts = wishes.place("--host", f"http://{text}", unix=False)
    return text if parts.host else ""


@contextmanager
def around(wanted: Wanted) -> Iterator[Site]:
    """The application and the stand-in, listening, for as long as the block takes."""
    tls = _tls(wanted) if wanted.gateway.tls else None
    keys = Keys.of(wanted.muster.url, wanted.tenant) if wanted.muster is not None else None
    with contextlib.ExitStack() as stack:
        with _listening("--backend", wanted.backend):
            backend = Backend(host=wanted.backend.host, port=wanted.backend.port)
        stack.callback(backend.stop)
        with _listening("--pdp", wanted.pdp or wanted.backend):
            pdp = _pdp(wanted.pdp, wanted.over)
        stack.callback(pdp.stop)
        yield Site(
            address=(wanted.gateway.host, wanted.gateway.port),
            backend=backend,
            pdp=pdp,
            host=wanted.host or wanted.gateway.address,
            tls=tls,
            headers=wanted.headers,
            paths=wanted.paths,
            kind=wanted.kind,
            keys=keys,
        )


@contextmanager
def _listening(option: str, place: Place) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        where = place.path or place.address
        raise BadRequest(
            f"{option}: {where} cannot be listened on: {exc.strerror or exc}; free it, or give another"
        ) from exc


def _pdp(at: Place | None, over: str) -> Pdp:
    if at is None:
        return Elsewhere()
    path = Path(at.path) if at.path else None
    if over == "grpc":
        from engine.gateways.check.envoy import GrpcPdp  # gRPC takes long to load, and only this kind needs it

        return GrpcPdp(host=at.host, port=at.port, path=path)
    return HttpPdp(host=at.host, port=at.port, path=path)


def _tls(wanted: Wanted) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=wanted.ca)
    except OSError as exc:
        raise BadRequest(f"--ca: {wanted.ca}: no certificates could be read: {exc.strerror or exc}") from exc
    if wanted.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
