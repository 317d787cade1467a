"""Commands for those who run a gateway: `config` prints what makes it ask about every request, `check` tries it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from engine.cli import output
from engine.cli.operating import Subparsers
from engine.errors import BadRequest
from engine.gateways import printing, wishes
from engine.gateways.check import live, report, run, starting
from engine.gateways.wishes import Wishes
from engine.settings import Settings
from ledger.model import JSON

_KEY_FILE: Final = f"{wishes.FOLDER}/key"

_OPTIONS: Final = {
    "muster": ("URL|unix:PATH", "where Muster answers gateways; for envoy its gRPC listener, unless --over http"),
    "backend": ("http://HOST:PORT", "the application that is guarded"),
    "listen": ("[HOST]:PORT", "where the gateway listens (plain HTTP: add the site's own TLS, or put it behind)"),
    "key-file": ("FILE", f"where the gateway finds its key (default: {_KEY_FILE}; none with a certificate or socket)"),
    "tls-ca": ("FILE", "for https: the authority of Muster's certificate"),
    "tls-cert": ("FILE", "for https: the gateway's own certificate, which says who it is instead of a key"),
    "tls-key": ("FILE", "for https: that certificate's private key"),
    "over": ("grpc|http", "envoy: how it asks (default: grpc)"),
    "inner": ("URL|unix:PATH", "traefik, haproxy: the gateway's own inner listener, through which it asks"),
    "folder": ("DIR", "where the files of a configuration will lie (default: /etc/muster-gateway)"),
}


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add this room's commands."""
    gateway = commands.add_parser("gateway").add_subparsers(required=True, metavar="COMMAND")
    _add_config(gateway)
    _add_check(gateway)


def _add_config(gateway: Subparsers[argparse.ArgumentParser]) -> None:
    config = gateway.add_parser("config", help="print a gateway's complete configuration, as it is tested")
    config.add_argument("kind", metavar="|".join(printing.KINDS))
    for name, (metavar, help_) in _OPTIONS.items():
        config.add_argument(f"--{name}", metavar=metavar, help=help_, required=name in {"muster", "backend", "listen"})
    config.add_argument(
        "--server-name", action="append", default=[], metavar="HOST", help="a host that is served; others get 421"
    )
    config.add_argument("--part", default=None, metavar="NAME", help="which file, where there are two: main (default)")
    config.add_argument("--write", type=Path, metavar="DIR", help="write all files into this folder instead")
    config.add_argument("--json", action="store_true", help="print JSON: all files")
    config.set_defaults(run=_config)


def _config(arguments: argparse.Namespace, _: Settings) -> int:
    wanted = _wishes(arguments)
    files = printing.files(arguments.kind, wanted)
    if not wanted.muster.tls and not wanted.muster.is_here:
        output.progress(
            "what is asked, and the gateway's key, goes over the network as it is: give Muster an https address"
        )
    if arguments.write is not None:
        for file in files:
            _write(arguments.write / file.name, file.text)
    if arguments.json:
        listed: list[JSON] = [{"part": f.part, "name": f.name, "text": f.text} for f in files]
        output.machine({"gateway": arguments.kind, "files": listed})
    elif arguments.write is None:
        print(_chosen(files, arguments.part).text, end="")
        others = [f"--part {f.part} is {f.name}" for f in files if f.part != (arguments.part or "main")]
        for other in others:
            output.progress(f"this is one of {len(files)} files: {other}")
    return output.YES


def _chosen(files: list[printing.File], part: str | None) -> printing.File:
    for file in files:
        if file.part == (part or "main"):
            return file
    raise BadRequest(f"--part: expected {' or '.join(f.part for f in files)}, got {part!r}")


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all; it holds no secret."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, "utf-8")
    new.replace(path)
    output.progress(f"wrote {path}")


def _wishes(arguments: argparse.Namespace) -> Wishes:
    """The options, each read strictly; raises BadRequest."""
    if arguments.over not in {None, "grpc", "http"}:
        raise BadRequest(f"--over: expected grpc or http, got {arguments.over!r}")
    muster = wishes.place("--muster", arguments.muster)
    tls = wishes.tls_of(muster, arguments.tls_ca, arguments.tls_cert, arguments.tls_key)
    inner = wishes.place("--inner", arguments.inner) if arguments.inner is not None else None
    return Wishes(
        muster=muster,
        backend=wishes.place("--backend", arguments.backend),
        listen=wishes.listener("--listen", arguments.listen),
        key_file=_key_file(arguments, muster, tls),
        tls=tls,
        names=tuple(dict.fromkeys(wishes.name("--server-name", name) for name in arguments.server_name)),
        over=arguments.over or "grpc",
        inner=inner,
        folder=_folder(arguments),
        words=tuple(_words(arguments)),
    )


def _folder(arguments: argparse.Namespace) -> str:
    if arguments.folder is None and arguments.write is not None:
        return wishes.file("--write", str(arguments.write.absolute()))
    return wishes.file("--folder", arguments.folder or wishes.FOLDER)


def _key_file(arguments: argparse.Namespace, muster: wishes.Place, tls: wishes.Tls | None) -> str:
    if arguments.key_file is not None:
        if arguments.kind == "traefik":
            raise BadRequest("--key-file: traefik reads its key from its environment, as MUSTER_GATEWAY_KEY")
        return wishes.file("--key-file", arguments.key_file)
    return "" if muster.path or (tls is not None and tls.cert) else _KEY_FILE


def _words(arguments: argparse.Namespace) -> list[str]:
    """The options as they were given, for the configuration's first lines; each has been read by then."""
    said: list[str] = []
    for name in _OPTIONS:
        value = getattr(arguments, name.replace("-", "_"))
        if value is not None:
            said += [f"--{name}", value]
    for name in arguments.server_name:
        said += ["--server-name", name]
    return said


_CHECK: Final = """\
Sends through your gateway what gets past gateways that are set up wrongly, and sees what it asks and what comes out.
For the check point the gateway's application at --backend and its ask at --pdp, which are listened on while it runs:

    muster gateway check http://127.0.0.1:8000 --backend 127.0.0.1:3000 --pdp 127.0.0.1:8080 --kind nginx

With --muster in the place of --pdp the gateway asks Muster itself: then each request that comes out has to prove its
decision (Muster-Assertion), and each is recorded. Give a --path and --header with which something is allowed.

Nothing is sent but to URL: a GET for each path, and other methods only to those that came out at --backend.
Exit code: 0 all right, 1 something is wrong, 2 wrong usage, 3 could not check (the sentence says what to do).
"""


def _add_check(gateway: Subparsers[argparse.ArgumentParser]) -> None:
    check = gateway.add_parser(
        "check",
        help="try whether your gateway lets anything through without its decision",
        description=_CHECK,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("url", metavar="URL", help="the gateway, as clients reach it: http(s)://HOST:PORT")
    check.add_argument("--backend", required=True, metavar="HOST:PORT", help="listen here as the application")
    check.add_argument("--pdp", metavar="HOST:PORT|unix:PATH", help="listen here as Muster")
    check.add_argument(
        "--kind", metavar="|".join(starting.KINDS), help="which gateway it is (default: seen by its ask)"
    )
    check.add_argument(
        "--muster", metavar="URL", help="instead of --pdp: Muster, which the gateway asks as it always does"
    )
    check.add_argument("--tenant", default="default", help="with --muster: whose keys sign (default: default)")
    check.add_argument("--over", metavar="grpc|http", help="envoy: how it asks (default: grpc)")
    check.add_argument("--host", metavar="NAME", help="the host to ask for (default: that of URL)")
    check.add_argument(
        "--path", action="append", default=[], metavar="PATH", help="a path that is guarded (default: /)"
    )
    check.add_argument(
        "--header", action="append", default=[], metavar="LINE", help="'Name: value', sent with each request"
    )
    check.add_argument("--ca", metavar="FILE", help="for https: the authority of the gateway's certificate")
    check.add_argument("--insecure", action="store_true", help="for https: take any certificate")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(run=_check)


def _check(arguments: argparse.Namespace, _: Settings) -> int:
    kind, over = starting.kind_and_over(arguments.kind, arguments.over)
    gateway = starting.gateway(arguments.url)
    if not gateway.tls and (arguments.ca or arguments.insecure):
        raise BadRequest("--ca, --insecure: only with https://, which is what they are for")
    pdp, muster = starting.places(arguments.pdp, arguments.muster, arguments.tenant)
    wanted = starting.Wanted(
        gateway=gateway,
        backend=starting.listener("--backend", arguments.backend),
        pdp=pdp,
        muster=muster,
        tenant=arguments.tenant,
        over=over,
        kind=kind,
        host=starting.host(arguments.host) if arguments.host is not None else None,
        headers=tuple(starting.header(line) for line in arguments.header),
        paths=tuple(dict.fromkeys(starting.path(path) for path in arguments.path)) or ("/",),
        ca=arguments.ca,
        insecure=arguments.insecure,
    )
    with starting.around(wanted) as site:
        found = run.check(site, over, _say) if muster is None else live.check(site, _say)
    if arguments.json:
        output.machine(report.document(found, kind, arguments.url))
    else:
        print("\n".join(report.table(found, kind)))
    if found.stopped:
        output.progress(f"muster: {found.stopped}")
    return output.NO if found.wrong else output.UNAVAILABLE if found.stopped else output.YES


def _say(probe: str, number: int, total: int) -> None:
    output.progress(f"{number}/{total} {probe}")
