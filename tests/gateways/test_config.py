"""`muster gateway config`: what it prints each gateway takes, what it is given is checked, the pages show it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.gateways import certificates, pages, programs
from tests.gateways.programs import PROFILES
from tests.ports import free_port

GIVEN = ("--muster", "http://127.0.0.1:8080", "--backend", "http://127.0.0.1:3000", "--listen", ":8000")
NAMES = ("--server-name", "app.example", "--server-name", "api.example")


@pytest.mark.parametrize("names", [(), NAMES], ids=["any host", "two hosts"])
@pytest.mark.parametrize("way", ["key", "certificate", "socket"])
@pytest.mark.parametrize("profile", PROFILES)
def test_the_gateway_takes_it(profile: str, way: str, names: tuple[str, ...], installed: Path, tmp_path: Path) -> None:
    """Each gateway's own check says that the text is in order (Traefik has none: it is started in its place)."""
    assert installed
    if profile == "traefik" and way == "socket":
        refused = programs.config("traefik", "--muster", "unix:/run/m.sock", *GIVEN[2:], want=2)
        assert "traefik asks over TCP only" in refused.stderr
        return
    with programs.short_folder() as folder:
        authority = certificates.made(folder / "tls")
        muster = {"key": GIVEN[1], "certificate": "https://localhost:8443", "socket": f"unix:{folder}/m.sock"}[way]
        client = authority.client
        own = ("--tls-ca", f"{authority.ca}", "--tls-cert", f"{client}", "--tls-key", f"{client}.key")
        more = own if way == "certificate" else ()
        port = free_port()
        programs.written(profile, folder, muster, GIVEN[3], f"127.0.0.1:{port}", *more, *names)
        if profile == "traefik":
            with programs.process(profile, folder, ("127.0.0.1", port)):
                pass
            log = (folder / "log").read_text()
            assert not re.search(r"\b(ERR|FTL|PNC)\b", log), log
            return
        done = subprocess.run(
            programs.command(profile, folder, check=True),
            env=programs.environment(folder),
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warn" not in _without_known(done.stdout + done.stderr).lower(), done.stdout + done.stderr


def _without_known(said: str) -> str:
    """A check's words without nginx's remark about a test that runs as root, and Caddy's about its own log levels."""
    return "\n".join(line for line in said.splitlines() if '"level":"info"' not in line)


@pytest.mark.parametrize("kind", ["nginx", "caddy", "traefik", "haproxy", "envoy"])
def test_no_secret_is_printed(kind: str, tmp_path: Path) -> None:
    """The key's file is named and not read: the text can be kept where everybody reads it."""
    if kind != "traefik":
        key = tmp_path / "key"
        key.write_text(programs.KEY)
        printed = programs.config(kind, *GIVEN, "--key-file", str(key), "--json").stdout
        assert str(key) in printed
    else:
        printed = programs.config(kind, *GIVEN, "--json").stdout
        assert 'env \\"MUSTER_GATEWAY_KEY\\"' in printed
    assert programs.KEY not in printed


WRONG = [
    (("--backend", "http://app:80;evil"), "--backend"),
    (("--backend", "http://app:80/path"), "a scheme, a host and a port"),
    (("--backend", "http://user:pw@app:80"), "a scheme, a host and a port"),
    (("--backend", "app:80"), "expected http://HOST:PORT"),
    (("--backend", "http://"), "no host name"),
    (("--backend", "http://app:99999"), "is no address"),
    (("--backend", "http://app:0"), "port 0"),
    (("--backend", "http://a b:80"), "--backend"),
    (("--backend", "http://app\n:80"), "--backend"),
    (("--backend", "http://{app}:80"), "no host name"),
    (("--backend", "http://$app:80"), "no host name"),
    (("--backend", "http://[fe80::1%25eth0]:80"), "--backend"),
    (("--backend", "https://app:443"), "an application on http://HOST:PORT"),
    (("--muster", "ftp://m"), "expected http://HOST:PORT, https://HOST:PORT or unix:PATH"),
    (("--muster", "unix:relative.sock"), "absolute path"),
    (("--muster", "unix:/run/../etc/x"), "absolute path"),
    (("--muster", "unix:/run/a b"), "absolute path"),
    (("--muster", "unix:/" + "x" * 101), "at most 100"),
    (("--muster", "https://muster.example"), "--tls-ca: needed with https"),
    (("--muster", "https://m", "--tls-ca", "/ca.pem", "--tls-cert", "/c.pem"), "give both"),
    (("--tls-ca", "/ca.pem"), "only with --muster https"),
    (("--listen", "8000"), "expected HOST:PORT"),
    (("--listen", "example.com:8000"), "is an IP address"),
    (("--listen", ":8000;"), "--listen"),
    (("--listen", ":8000\nevil on;"), "--listen"),
    (("--server-name", "app example"), "no host name"),
    (("--server-name", "app.example;return 200"), "no host name"),
    (("--server-name", "`x`"), "no host name"),
    (("--server-name", 'x"'), "no host name"),
    (("--key-file", "key"), "absolute path"),
    (("--key-file", "/etc/k;y"), "absolute path"),
    (("--key-file", "/etc/{env.X}"), "absolute path"),
    (("--key-file", "/etc/%FOO%"), "absolute path"),
    (("--over", "smoke"), "expected grpc or http"),
    (("--part", "other"), "--part: expected main"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_what_could_break_out_is_refused(words: tuple[str, ...], said: str) -> None:
    """Exit 2 with a sentence that names the option, and nothing on stdout."""
    done = programs.config("nginx", *GIVEN, *words, want=2)
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        ("apache", (), "no gateway 'apache' is known: nginx, caddy, traefik, haproxy, envoy"),
        ("traefik", ("--key-file", "/etc/key"), "MUSTER_GATEWAY_KEY"),
        ("traefik", ("--inner", "http://10.0.0.1:99"), "127.0.0.1"),
        ("traefik", ("--inner", "http://127.evil.example:99"), "127.0.0.1"),
        ("haproxy", ("--inner", "http://127.0.0.1:99"), "unix:PATH"),
        ("nginx", ("--inner", "unix:/x"), "only traefik and haproxy"),
        ("caddy", ("--over", "grpc"), "only envoy"),
        (
            "haproxy",
            ("--muster", "https://m", "--tls-ca", "/ca", "--tls-cert", "/c.pem", "--tls-key", "/other"),
            "/c.pem.key",
        ),
    ],
)
def test_what_a_gateway_cannot(kind: str, words: tuple[str, ...], said: str) -> None:
    """Is said, rather than printed as if it could."""
    assert said in programs.config(kind, *GIVEN, *words, want=2).stderr


def test_a_key_in_the_clear_is_told() -> None:
    """On its way to another machine the key would be read by whoever listens: a sentence on stderr says so."""
    there = ("--muster", "http://muster.example:8080", *GIVEN[2:])
    assert "as it is: give Muster an https address" in programs.config("nginx", *there).stderr
    for here in ("http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost", "unix:/run/muster.sock"):
        assert programs.config("nginx", "--muster", here, *GIVEN[2:]).stderr == ""


def test_all_files_at_once(tmp_path: Path) -> None:
    """`--write` leaves what `--part` prints, and `--json` has all of it."""
    words = (*GIVEN, "--folder", "/etc/muster-gateway")
    programs.config("haproxy", *words, "--write", str(tmp_path / "new"))
    told = json.loads(programs.config("haproxy", *words, "--json").stdout)
    assert {f["name"]: f["text"] for f in told["files"]} == {
        path.name: path.read_text() for path in (tmp_path / "new").iterdir()
    }
    printed = programs.config("haproxy", *words, "--part", "lua")
    assert printed.stdout == (tmp_path / "new" / "muster.lua").read_text()
    assert "--part main is haproxy.cfg" in printed.stderr


def test_ipv6_and_defaults() -> None:
    """An IPv6 address is written as each language wants it, and ports have their schemes' defaults."""
    given = ("--muster", "http://[::1]", "--backend", "http://[2001:db8::1]:3000", "--listen", "[::1]:8000")
    nginx = programs.config("nginx", *given).stdout
    assert "server [::1]:80;" in nginx
    assert "listen [::1]:8000 default_server;" in nginx
    assert 'address: "2001:db8::1", port_value: 3000' in programs.config("envoy", *given).stdout


def test_there_is_a_page_for_each() -> None:
    """Every gateway has its page."""
    assert [page.stem for page in pages.pages()] == ["caddy", "envoy", "haproxy", "nginx", "traefik"]


@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: page.stem)
def test_the_page_shows_what_is_printed(page: Path) -> None:
    """Each block of configuration on a page is what its command, written above it, prints."""
    found = pages.blocks(page)
    assert found
    for command, text in found:
        assert text == pages.printed(command), f"{command}: write it again with `python -m tests.gateways.pages`"
