"""`make bench-gateway`: what a gateway that asks Muster takes longer than the same gateway asking somebody who always
says yes.

Each gateway is the real one, on the configuration that `muster gateway config` prints, installed by
tests/gateways/install.sh. Gateway, Muster and its OPA run on all cores, and the load generator on one of them, so rates
are of one machine under itself. The two are asked by turns; a difference is of one round.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import httpx

from benchmarks import page
from benchmarks.bench import BUILD, PAGE, Bench, arguments, ran
from benchmarks.load import OR_REFUSED, Found, Target
from benchmarks.machine import Refused
from benchmarks.processes import Server
from benchmarks.servers import MUSTER, ROOT, environment, free_port
from benchmarks.table import progress
from tests.gateways import programs, tools
from tests.gateways.waiting import listening, wait_until

_ROOM: Final = 2 << 30
_USER: Final = "ada"
_PATH: Final = "/customers/acme/exports/customers?to=warehouse%3A%2F%2Fanalytics"
_ROUTES: Final = """
exports:
  - id: export
    hosts: ["*"]
    methods: [POST]
    path: /customers/{customer}/exports/{dataset}
    action: data-export
    resource: {type: dataset, id: "{dataset}", properties: {customer: "{customer}"}}
    context:
      destination: {query: to, required: true}
      ticket: {header: x-ticket}
      columns: {value: [customer_id, plan]}
    without: [context.approvals]
"""
_HEADERS: Final = (f"X-User: {_USER}", "X-Ticket: REQ-1")


def measured(bench: Bench, rounds: int, seconds: float) -> None:
    """Every gateway, asking Muster and asking the constant yes by turns."""
    try:
        tools.install()
    except (OSError, AssertionError, subprocess.CalledProcessError) as exc:
        raise Refused(f"the gateways cannot be installed: {exc}") from exc
    bodies = bench.folder / "bodies"
    bodies.write_text("ok\t{}\n")
    with ExitStack() as stack:
        muster = stack.enter_context(_muster(bench))
        for profile in programs.PROFILES:
            progress(profile)
            yes = stack.enter_context(_constant(bench, "grpc" if profile == "envoy-grpc" else "http"))
            app = stack.enter_context(_constant(bench, "http"))
            asked = muster["grpc"] if profile == "envoy-grpc" else muster["http"]
            ways = {"yes": f"http://127.0.0.1:{yes}", "muster": asked}
            found: dict[str, list[tuple[Found, Found]]] = {name: [] for name in ways}
            for _ in range(rounds):
                for name, url in ways.items():
                    found[name].append(_asked(bench, profile, url, app, bodies, muster[profile], seconds))
            _tell(bench, profile, found)


def _asked(
    bench: Bench, profile: str, url: str, app: int, bodies: Path, key: str, seconds: float
) -> tuple[Found, Found]:
    """One gateway for one round: one connection, and eight."""
    port = free_port()
    with programs.short_folder() as folder:
        programs.written(profile, folder, url, f"http://127.0.0.1:{app}", f"127.0.0.1:{port}", key=key)
        with programs.process(profile, folder, ("127.0.0.1", port), key):
            target = Target(f"127.0.0.1:{port}", _PATH, bodies, _HEADERS)
            wait_until(lambda: _passes(bench, target), f"{profile} passes")
            one, eight = (
                bench.generator.run(target, connections=n, seconds=seconds, accept=OR_REFUSED) for n in (1, 8)
            )
    return one, eight


def _passes(bench: Bench, target: Target) -> bool:
    found = bench.generator.run(target, connections=1, seconds=0.2, warm_up=0, once=1, accept=None)
    return found.statuses.keys() == {"200"}


def _tell(bench: Bench, profile: str, found: dict[str, list[tuple[Found, Found]]]) -> None:
    yes, muster = found["yes"], found["muster"]
    bench.add(f"{profile}, constant yes: median", "ms", [one.p50 for one, _ in yes])
    bench.add("  with Muster", "ms", [one.p50 for one, _ in muster])
    bench.add("  added", "ms", [ours.p50 - theirs.p50 for (ours, _), (theirs, _) in zip(muster, yes, strict=True)])
    bench.add(
        "  added to p99", "ms", [ours.p99 - theirs.p99 for (ours, _), (theirs, _) in zip(muster, yes, strict=True)]
    )
    bench.add("  8 connections, constant yes", "a second", [eight.rate for _, eight in yes])
    bench.add("  with Muster", "a second", [eight.rate for _, eight in muster])


@contextmanager
def _constant(bench: Bench, kind: str) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.constant", kind, str(port)]
    server = Server(command, cores=_all(), said=bench.folder / "constant.log")
    bench.servers.append(server)
    wait_until(lambda: listening(("127.0.0.1", port)), "the constant server listens")
    yield port
    bench.stop(server)


@contextmanager
def _muster(bench: Bench) -> Iterator[dict[str, str]]:
    """A service with a profile for each gateway; where it is asked, and each profile's key."""
    home, source = bench.folder / "home", shutil.copytree(ROOT / "bundles" / "companyos", bench.folder / "source")
    (source / "routes.yaml").write_text(_ROUTES)
    (source / "gateways.yaml").write_text("".join(_profile(name) for name in programs.PROFILES))
    http, check = free_port(), free_port()
    env = environment(home, f"127.0.0.1:{http}")
    env |= {"MUSTER_BUNDLE": str(source), "MUSTER_ENVOY_LISTEN": f"127.0.0.1:{check}"}

    def muster(*words: str) -> str:
        done = subprocess.run([MUSTER, *words], env=env, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Refused(f"muster {' '.join(words)}: {done.stderr}")
        return done.stdout

    token = json.loads(muster("init", "--json"))["token"]
    server = Server([MUSTER, "serve"], cores=_all(), said=bench.folder / "muster.log", env=env)
    bench.servers.append(server)
    wait_until(lambda: listening(("127.0.0.1", check)), "Muster listens")
    person = {"persona": "engineers", "customer": "acme"}
    added = httpx.put(
        f"http://127.0.0.1:{http}/v1/subjects/{_USER}", json=person, headers={"Authorization": f"Bearer {token}"}
    )
    if added.status_code != httpx.codes.OK:
        raise Refused(f"{_USER} was not added: {added.text}")
    for module, tier in (("secure-data-export", "completed"), ("export-scenario", "proficient")):
        words = ["learn", "import", "--user", _USER, "--module", module, "--version", "1.0.0", "--tier", tier]
        muster(*words, "--passed-at", "2026-11-01T09:00:00.000Z", "--reason", "bench")
    keys = {
        name: json.loads(muster("token", "create", "--role", "gateway", "--principal", f"system:{name}", "--json"))
        for name in programs.PROFILES
    }
    told = {name: str(each["token"]) for name, each in keys.items()}
    yield {**told, "http": f"http://127.0.0.1:{http}", "grpc": f"http://127.0.0.1:{check}"}
    bench.stop(server)


def _profile(name: str) -> str:
    return (
        f"{name}:\n  title: {name}\n  gateway: {name}\n  subject: {{header: x-user, type: user}}\n"
        "  audience: backend\n  deadline_ms: 800\n  routes: [exports]\n"
    )


def _all() -> str:
    return ",".join(map(str, range(os.cpu_count() or 1)))


def main() -> int:
    """Measure, print, write."""
    options = _options()
    code, bench = ran(options, "gateway", _ROOM, lambda run: measured(run, options.rounds, options.seconds))
    if bench is not None and options.write:
        page.rewrite(PAGE, "gateway", page.measured(options.json or BUILD / "gateway.json"))
    return code


def _options() -> argparse.Namespace:
    parser = arguments("gateway", __doc__ or "")
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement in each round")
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("--rounds and --seconds are more than 0")
    return options


if __name__ == "__main__":
    sys.exit(main())
