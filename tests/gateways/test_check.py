"""`muster gateway check`: the printed configurations pass, and each that is broken is found, by the trap's name."""

from __future__ import annotations

import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.main import parser
from engine.gateways.check import site, starting
from engine.gateways.check.pdp import HttpPdp
from engine.gateways.check.server import Server
from engine.gateways.check.wire import Client, Message, Reader, request
from tests.gateways import certificates, checked, pages
from tests.gateways.broken import BROKEN, SITE, Broken
from tests.gateways.programs import PROFILES, short_folder
from tests.ports import free_port


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_printed_passes(profile: str, installed: Path) -> None:
    """Exit 0, nothing wrong, every probe looked at, and as many arrivals as there were decisions for them."""
    assert installed
    with checked.gateway(profile) as there:
        done = there.check()
    assert done.code == 0, done.told
    assert {probe["result"] for probe in done.probes.values()} <= {"ok", "note", "skipped"}
    assert [name for name, probe in done.probes.items() if probe["result"] == "skipped"] == (
        [] if profile == "envoy-grpc" else ["empty-response"]
    )
    assert done.document["asks"] >= done.document["arrived"] > 100
    notes = {name for name, probe in done.probes.items() if probe["result"] == "note"}
    assert notes <= {"bare-allow", "empty-response", "late"}  # a machine that is busy makes `late` one


def test_allows_that_are_kept_as_the_page_says(installed: Path) -> None:
    """nginx with the cache of its page passes: what is kept is given to the same request alone."""
    assert installed
    page = (pages.FOLDER / "nginx.md").read_text("utf-8")
    path = re.search(r"^proxy_cache_path /var/cache/nginx/muster [^\n]+", page, re.MULTILINE)
    key = re.search(r"^proxy_cache muster;\nproxy_cache_key [^\n]+", page, re.MULTILINE)
    assert path
    assert key
    zone = path.group().replace("/var/cache/nginx/muster", "cache")
    edits = [
        ("server_tokens off;", f"server_tokens off; {zone}"),
        ("proxy_method GET;", f"proxy_method GET; {key.group()}"),
    ]
    with checked.gateway("nginx", edits) as there:
        done = there.check()
    assert done.code == 0, done.stdout


@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_what_is_broken_is_found(broken: Broken, installed: Path) -> None:
    """Exit 1, by the probe that names the trap, with the sentence of what it is and the gateway's own cure."""
    assert installed
    with checked.gateway(broken.profile, broken.edits) as there:
        done = there.check(*(word for path in broken.paths for word in ("--path", path)))
    assert done.code == 1, done.told
    faults = {fault["fault"]: fault for fault in done.probes[broken.probe]["faults"]}
    assert broken.fault in faults, done.told
    assert faults[broken.fault]["level"] == "wrong"
    assert faults[broken.fault]["examples"]
    assert faults[broken.fault]["cure"]


@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: page.stem)
def test_the_page_says_how(page: Path) -> None:
    """Each page has the command for its gateway, as the command line takes it."""
    commands = re.findall(r"^    (muster gateway check [^\n]+)", page.read_text("utf-8"), re.MULTILINE)
    assert commands
    for command in commands:
        arguments = parser().parse_args(shlex.split(command)[1:])
        assert starting.kind_and_over(arguments.kind, arguments.over)[0] == page.stem
        assert [starting.path(path) for path in arguments.path] == ["/", "/assets/"]


WRONG = [
    (("app:80",), "URL: expected http://HOST:PORT"),
    (("http://127.0.0.1:99999",), "URL: 'http://127.0.0.1:99999' is no address"),
    (("http://127.0.0.1:1/path",), "URL: a scheme, a host and a port"),
    (("http://127.0.0.1:1", "--backend", ":9100"), "--backend: say which address to listen on: 127.0.0.1:9100"),
    (("http://127.0.0.1:1", "--backend", "app.example:9100"), "--backend: the address to listen on is an IP address"),
    (("http://127.0.0.1:1", "--pdp", "9000"), "--pdp: expected HOST:PORT"),
    (("http://127.0.0.1:1", "--pdp", "unix:m.sock"), "--pdp: an absolute path"),
    (("http://127.0.0.1:1", "--kind", "apache"), "--kind: no gateway 'apache' is known"),
    (("http://127.0.0.1:1", "--over", "smoke"), "--over: expected grpc or http"),
    (("http://127.0.0.1:1", "--kind", "nginx", "--over", "grpc"), "--over: only envoy asks in two ways"),
    (("http://127.0.0.1:1", "--path", "admin"), "--path: expected a path from / on"),
    (("http://127.0.0.1:1", "--path", "/a b"), "--path: expected a path"),
    (("http://127.0.0.1:1", "--path", "/a\r\nX: y"), "--path: expected a path"),
    (("http://127.0.0.1:1", "--header", "X-A"), "--header: expected 'Name: value'"),
    (("http://127.0.0.1:1", "--header", "X-A: b\r\nX-B: c"), "--header: expected 'Name: value'"),
    (("http://127.0.0.1:1", "--header", "Host: x"), "--header: the host is given by --host"),
    (("http://127.0.0.1:1", "--header", "Muster-Assertion: x"), "--header: Muster-Assertion is what the check itself"),
    (("http://127.0.0.1:1", "--host", "a/b"), "--host: a scheme, a host and a port"),
    (("http://127.0.0.1:1", "--insecure"), "only with https"),
    (("https://127.0.0.1:1", "--ca", "/nowhere/ca.pem"), "--ca: /nowhere/ca.pem: no certificates could be read"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_wrong_usage(words: tuple[str, ...], said: str) -> None:
    """Exit 2 with one sentence that names the option; nothing on stdout."""
    places = {"--backend": "127.0.0.1:1", "--pdp": "127.0.0.1:1"}
    done = checked.check(*words, *(w for name, at in places.items() if name not in words for w in (name, at)))
    assert (done.code, done.stdout) == (2, "")
    assert said in done.told
    assert done.told.count("\n") == 1


@pytest.mark.parametrize("over", ["http", "grpc"])
@pytest.mark.parametrize("option", ["--backend", "--pdp"])
def test_a_taken_address(option: str, over: str) -> None:
    """Is told as one, by its option."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        places = {"--backend": free_port(), "--pdp": free_port(), option: taken.getsockname()[1]}
        words = [word for name, port in places.items() for word in (name, f"127.0.0.1:{port}")]
        done = checked.check("http://127.0.0.1:1", *words, "--over", over)
    assert done.code == 2
    assert f"{option}: 127.0.0.1:{places[option]} cannot be listened on" in done.told


def test_a_file_is_not_taken_for_a_socket(tmp_path: Path) -> None:
    """What lies at the path of --pdp stays there."""
    file = tmp_path / "m.sock"
    file.write_text("somebody's")
    done = checked.check("http://127.0.0.1:1", "--backend", f"127.0.0.1:{free_port()}", "--pdp", f"unix:{file}")
    assert done.code == 2
    assert file.read_text() == "somebody's"


class Odd(Server):
    """Whatever may listen at an address that is no gateway."""

    def __init__(self, answer: bytes, *, hold: bool = False) -> None:
        super().__init__()
        self.said, self.hold, self.heard = answer, hold, list[Message]()
        self.start()

    def answer(self, connection: socket.socket, reader: Reader, message: Message) -> bool:
        """Say it."""
        self.heard.append(message)
        connection.sendall(self.said)
        if self.hold:
            reader.until_closed()
        return False


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ODD = [
    (OK, False, "the gateway answered 200; nothing came to the application at"),
    (
        b"HTTP/1.1 301 Moved\r\nLocation: https://app.example/\r\nContent-Length: 0\r\n\r\n",
        False,
        "redirect to https://app",
    ),
    (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", False, "closed the connection without an answer in HTTP"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", True, "the gateway answered nothing in time"),
]


@pytest.mark.parametrize(
    ("said", "hold", "told"), ODD, ids=["200 by itself", "a redirect", "no HTTP", "half an answer"]
)
def test_what_is_no_gateway(said: bytes, hold: bool, told: str) -> None:
    """Exit 3 with one sentence of what was seen and what to do; it was sent harmless GETs and nothing else."""
    there = Odd(said, hold=hold)
    try:
        done = checked.check(f"http://127.0.0.1:{there.port}", *_free())
    finally:
        there.stop()
    assert (done.code, done.stdout) == (3, "")
    assert told in done.told
    assert {message.method for message in there.heard} == {"GET"}
    assert all(message.target.startswith("/?check=") for message in there.heard)


def test_nobody_at_the_address() -> None:
    """Exit 3."""
    done = checked.check(f"http://127.0.0.1:{free_port()}", *_free())
    assert done.code == 3
    assert "cannot be reached" in done.told


def test_a_gateway_that_leads_elsewhere(installed: Path) -> None:
    """Pointed at another application or another Muster it is not checked, and told which of the two."""
    assert installed
    with checked.gateway("nginx") as there:
        app, muster = f"127.0.0.1:{there.backend}", f"127.0.0.1:{there.pdp}"
        url, other = f"http://127.0.0.1:{there.port}", f"127.0.0.1:{free_port()}"
        done = checked.check(url, "--backend", other, "--pdp", muster)
        assert done.code == 3
        assert "Muster was asked and allowed it, and nothing came to the application at" in done.told
        done = checked.check(url, "--backend", app, "--pdp", other)
        assert done.code == 3
        assert "nobody asked at --pdp" in done.told
        backend = HttpPdp(port=there.pdp)
        try:
            done = checked.check(url, "--backend", app, "--pdp", other)
        finally:
            backend.stop()
        assert done.code == 3
        assert "the gateway asks another Muster" in done.told


def test_a_path_that_leads_to_another_application(installed: Path) -> None:
    """Nothing but GETs goes there: it may be the real one."""
    assert installed
    other = Odd(OK)
    own = f"        location /other/ {{\n            proxy_pass http://127.0.0.1:{other.port};\n        }}\n"
    try:
        with checked.gateway("nginx", [(SITE, own + SITE)]) as there:
            done = there.check("--path", "/", "--path", "/other/")
    finally:
        other.stop()
    assert done.code == 1
    assert [fault["fault"] for fault in done.probes["allowed"]["faults"]] == ["answered_unasked"]
    assert other.heard
    assert {message.method for message in other.heard} == {"GET"}


def test_grpc_that_is_taken_for_http(installed: Path) -> None:
    """The sentence says so."""
    assert installed
    with checked.gateway("envoy-grpc") as there:
        words = [word for word in there.words() if word not in {"--over", "grpc"}]
        done = checked.check(*words, "--over", "http")
    assert done.code == 3
    assert "somebody spoke HTTP/2 there: for Envoy over gRPC, --over grpc" in done.told


class Half(Odd):
    """A gateway in a few lines: it asks about each request and hands it on, and after some of them it hangs."""

    def __init__(self, backend: int, pdp: int, good: int, *, asking: bool) -> None:
        super().__init__(b"")
        self.ways, self.good, self.asking = (backend, pdp), good, asking

    def answer(self, connection: socket.socket, reader: Reader, message: Message) -> bool:
        """One request, without its body."""
        self.heard.append(message)
        if len(self.heard) > self.good:
            reader.until_closed()
            return False
        backend, pdp = self.ways
        with Client(("127.0.0.1", pdp)) as ask:
            told = (
                ("X-Original-URI", message.target),
                ("X-Original-Method", message.method),
                ("Muster-Gateway-Key", "k"),
            )
            ask.send(request("/v1/forward-auth", *told, *message.lines[1:], host=message.get("host")))
            answer = ask.answer()
        if answer.status == 200 or not self.asking:
            own = (("Muster-Decision-Id", "Muster-Assertion"), ())[not self.asking]
            copied = [(name, value) for name in own for value in answer.all(name)]
            with Client(("127.0.0.1", backend)) as app:
                app.send(
                    request(
                        message.target, *copied, *message.lines[1:], method=message.method, host=message.get("host")
                    )
                )
                answer = app.answer()
        connection.sendall(answer.raw + b"\r\n\r\n" + answer.body)
        return False


@pytest.mark.parametrize(("asking", "code"), [(True, 3), (False, 1)], ids=["right so far", "wrong before"])
def test_a_gateway_that_hangs(asking: bool, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check ends: with 3 and why, or with 1 and what had been found; the rest is said to be not looked at."""
    monkeypatch.setattr(site, "SECONDS", 0.5)
    backend, pdp = free_port(), free_port()
    there = Half(backend, pdp, 4, asking=asking)
    try:
        words = ["--backend", f"127.0.0.1:{backend}", "--pdp", f"127.0.0.1:{pdp}", "--json"]
        done = checked.check(f"http://127.0.0.1:{there.port}", *words)
    finally:
        there.stop()
    assert done.code == code, done.stdout
    assert "it hangs" in done.told
    assert "it hangs" in done.document["stopped"]
    assert done.document["ok"] is False
    assert done.probes["targets"]["result"] == "skipped"
    assert done.probes["allowed"]["result"] == ("ok" if asking else "wrong")


def test_the_table(installed: Path) -> None:
    """Without --json: a line for each probe, and for what is wrong its sentence, cure and examples."""
    assert installed
    with checked.gateway("haproxy", [("return txn.sf:url()", "return txn.sf:pathq()")]) as there:
        done = checked.check(*there.words())
    assert done.code == 1
    lines = done.stdout.splitlines()
    assert next(line for line in lines if " denied " in line).startswith("ok ")
    wrong = next(number for number, line in enumerate(lines) if line.startswith("WRONG "))
    assert "targets" in lines[wrong]
    assert "Muster judged one request and the application got another" in lines[wrong + 1]
    assert "txn.sf:url()" in lines[wrong + 2]
    assert lines[-1] == "WRONG: targets"
    assert "/31 targets" in done.told


def test_tls_and_a_host(installed: Path) -> None:
    """A gateway that speaks TLS, for one host: by its authority and its name, or not at all."""
    assert installed
    with short_folder() as folder:
        authority = certificates.made(folder)
        pair = f"ssl_certificate {authority.server}; ssl_certificate_key {authority.server}.key;"
        edits = [(" default_server;", f" ssl default_server; {pair}")]
        with checked.gateway("nginx", edits) as there:
            words = [f"https://127.0.0.1:{there.port}", *there.words()[1:]]
            done = checked.check(*words, "--host", "localhost", "--ca", str(authority.ca))
            assert done.code == 0, done.told
            assert checked.check(*words, "--insecure").code == 0
            done = checked.check(*words)
            assert done.code == 3
            assert "certificate verify failed" in done.told


# What a shell starts in the background is deaf to Ctrl-C, and so is what that starts: the command makes itself hear it,
# as on a terminal. For a `preexec_fn` this process would be forked, and another file's gRPC server may run in it: gRPC
# starts its threads again in the fork, which finds their descriptors closed and now and then aborts before the program.
ON_A_TERMINAL = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from engine.cli.main import main
sys.exit(main())
"""


@pytest.mark.parametrize("when", ["first requests", "slow"])
def test_it_can_be_ended(when: str, installed: Path) -> None:
    """Ctrl-C ends it at once, and frees what it listened on."""
    assert installed
    with checked.gateway("nginx") as there, short_folder() as folder:
        sock = folder / "m.sock"
        pdp = f"unix:{sock}" if when == "first requests" else f"127.0.0.1:{there.pdp}"
        words = [pdp if word.endswith(f":{there.pdp}") else word for word in there.words()]
        code, stdout, stderr = _interrupted([sys.executable, "-c", ON_A_TERMINAL, "gateway", "check", *words], when)
        assert (code, stdout) == (130, "")
        assert "Traceback" not in stderr
        assert not sock.exists()
        socket.create_server(("127.0.0.1", there.backend)).close()


def _interrupted(command: list[str], when: str) -> tuple[int, str, str]:
    """Ctrl-C once a line on stderr says so: the exit code and all that was printed. In any case it has ended then."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        stderr = ""
        try:
            while when not in (line := running.stderr.readline()):
                assert line, "it ended before"
                stderr += line
            stderr += line
            running.send_signal(signal.SIGINT)
            running.wait(20)  # the little that it still prints has room in the pipes
        finally:
            running.kill()
            stdout, stderr = running.stdout.read(), stderr + running.stderr.read()
            sys.stderr.write(f"exit code {running.wait()}\n{stdout}\n{stderr}")  # is shown where the test fails
    return running.returncode, stdout, stderr


def _free() -> list[str]:
    return ["--backend", f"127.0.0.1:{free_port()}", "--pdp", f"127.0.0.1:{free_port()}"]
