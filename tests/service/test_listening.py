"""Where a service listens, and where it refuses to: beyond this machine only with TLS, or told so in words."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from engine import settings
from engine.errors import SetupError
from engine.home import Busy
from engine.serving import listening
from engine.settings import CLEAR_TEXT_WORDS, GatewaySocket, Settings
from tests.service.running import Service, export

OUTSIDE = [
    "0.0.0.0:0",
    "[::]:0",
    "0:0",
    "[::ffff:0.0.0.0]:0",
    "192.0.2.1:0",
    "[2001:db8::1]:0",
    "[fe80::1]:0",
    "[::7f00:1]:0",
]
INSIDE = ["127.0.0.1:0", "127.8.9.10:0", "127.1:0", "[::1]:0", "[::ffff:127.0.0.1]:0", "localhost:0", "LOCALHOST:0"]


def _settings(home: Path, **values: str) -> Settings:
    return settings.of(home, values)


@pytest.mark.parametrize("where", OUTSIDE)
def test_no_address_beyond_this_machine_is_listened_on_in_clear_text(tmp_path: Path, where: str) -> None:
    """Any, link-local, mapped, compatible or foreign: refused with what to set; with TLS or the words it is not."""
    with pytest.raises(SetupError, match=r"MUSTER_TLS_CERT and MUSTER_TLS_KEY.*MUSTER_LISTEN_WITHOUT_TLS") as refused:
        listening.place(_settings(tmp_path, listen=where))
    assert f"MUSTER_LISTEN: {where}" in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(SetupError):
        listening.listen(_settings(tmp_path, listen=where))
    assert listening.place(_settings(tmp_path, listen=where, listen_without_tls=CLEAR_TEXT_WORDS)) is not None
    assert listening.place(_settings(tmp_path, listen=where, tls_cert="c", tls_key="k")) is not None


@pytest.mark.parametrize("where", INSIDE)
def test_every_address_of_this_machine_alone_is_listened_on(tmp_path: Path, where: str) -> None:
    """However it is spelled; what is bound is what was judged."""
    with listening.listen(_settings(tmp_path, listen=where)) as bound:
        host = bound.getsockname()[0]
        assert host.removeprefix("::ffff:").startswith("127.") or host == "::1"


def test_a_name_counts_by_what_it_stands_for(tmp_path: Path) -> None:
    """This machine's own name is judged by its address; one that nobody knows is said to be unknown."""
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        address = None
    if address is not None and not address.startswith("127."):
        with pytest.raises(SetupError, match=re.escape(f"{name}:1 ({address}) can be reached from other machines")):
            listening.place(_settings(tmp_path, listen=f"{name}:1"))
    with pytest.raises(Busy, match=r"nobody\.invalid"):
        listening.place(_settings(tmp_path, listen="nobody.invalid:1"))
    with pytest.raises(SetupError, match="is no host's name"):
        listening.place(_settings(tmp_path, listen=f"{'x' * 70}.example:1"))


@pytest.mark.parametrize(
    "words", ["1", "yes", "true", CLEAR_TEXT_WORDS.lower(), CLEAR_TEXT_WORDS + ".", f" {CLEAR_TEXT_WORDS}"]
)
def test_nothing_but_the_words_will_do(tmp_path: Path, words: str) -> None:
    """A switch that is set by accident, or almost the words, is a mistake that names them."""
    with pytest.raises(SetupError, match=CLEAR_TEXT_WORDS):
        _settings(tmp_path, listen="0.0.0.0:1", listen_without_tls=words)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tls_cert": "c"}, "MUSTER_TLS_CERT is set without MUSTER_TLS_KEY"),
        ({"tls_key": "k"}, "MUSTER_TLS_KEY is set without MUSTER_TLS_CERT"),
        ({"tls_client_ca": "a"}, "MUSTER_TLS_CLIENT_CA is set, but there is no TLS"),
        ({"tls_client": "require"}, "MUSTER_TLS_CLIENT is set, but there is no TLS"),
        ({"tls_cert": "c", "tls_key": "k", "tls_client": "require"}, "MUSTER_TLS_CLIENT is set, but not MUSTER_TLS_CL"),
        ({"tls_cert": "c", "tls_key": "k", "tls_client_ca": "a", "tls_client": "no"}, "or `optional`, not 'no'"),
        ({"tls_cert": "c", "tls_key": "k", "listen": "unix:/x"}, "MUSTER_LISTEN is a Unix socket"),
        ({"tls_cert": "c", "tls_key": "k", "listen_without_tls": CLEAR_TEXT_WORDS}, "unset one of them"),
        ({"gateway_sockets": "web"}, "MUSTER_GATEWAY_SOCKETS: expected NAME=unix:PATH"),
        ({"gateway_sockets": "web=/run/x"}, "MUSTER_GATEWAY_SOCKETS: expected NAME=unix:PATH"),
        ({"gateway_sockets": "Web=unix:/x"}, "MUSTER_GATEWAY_SOCKETS: expected NAME=unix:PATH"),
        ({"gateway_sockets": "a/b/c=unix:/x"}, "MUSTER_GATEWAY_SOCKETS: expected NAME=unix:PATH"),
        ({"gateway_sockets": "web=unix:/x,"}, "MUSTER_GATEWAY_SOCKETS: expected NAME=unix:PATH"),
        ({"gateway_sockets": "web=unix:/" + "x" * 120}, "MUSTER_GATEWAY_SOCKETS: the socket path has 121 bytes"),
        ({"gateway_sockets": "a=unix:/x,b=unix:/x"}, "/x is listened on already"),
        ({"gateway_sockets": "a=unix:/x", "listen": "unix:/x"}, "/x is listened on already"),
        ({"gateway_sockets": "a=unix:/x,default/a=unix:/y"}, "default/a stands there twice"),
        ({"gateway_sockets": ",".join(f"g{n}=unix:/{n}" for n in range(40))}, "40 sockets, at most 32"),
    ],
)  # fmt: skip
def test_settings_that_contradict_each_other_are_refused(tmp_path: Path, values: dict[str, str], words: str) -> None:
    """Each with the setting's name: nothing that somebody asked for is left out in silence."""
    with pytest.raises(SetupError) as refused:
        _settings(tmp_path, **values)
    assert words in str(refused.value)


def test_settings_of_tls_are_read(tmp_path: Path) -> None:
    """A client's certificate is required where its authority is named, unless it is said to be optional."""
    files = {"tls_cert": "/c", "tls_key": "/k", "tls_client_ca": "/a"}
    strict = _settings(tmp_path, listen="[::]:8443", **files)
    assert strict.tls == settings.Tls(cert=Path("/c"), key=Path("/k"), client_ca=Path("/a"), client_required=True)
    assert strict.base_url == "https://[::]:8443"
    lenient = _settings(tmp_path, **files, tls_client="optional")
    assert lenient.tls is not None
    assert not lenient.tls.client_required
    assert lenient.base_url == "https://127.0.0.1:8080"
    gateways = _settings(tmp_path, gateway_sockets="web=unix:/w, acme/edge=unix:/e").gateway_sockets
    assert gateways == (
        GatewaySocket(tenant="default", name="web", path=Path("/w")),
        GatewaySocket(tenant="acme", name="edge", path=Path("/e")),
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_start_beyond_this_machine_is_refused(new_service: Callable[[], Service], workers: str) -> None:
    """Exit code 2, and one sentence; commands that listen on nothing work as before."""
    service = new_service()
    done = service.muster("serve", "--workers", workers, want=2, MUSTER_LISTEN="0.0.0.0:0")
    assert done.stderr.startswith("muster: MUSTER_LISTEN: 0.0.0.0:0 can be reached from other machines")
    assert done.stderr.count("\n") == 1
    service.muster("token", "list", MUSTER_LISTEN="0.0.0.0:0")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_told_so_in_words_it_listens_and_warns(new_service: Callable[[], Service], workers: str) -> None:
    """On every address, in clear text, and the log says so."""
    service = new_service()
    service.env |= {
        "MUSTER_LISTEN": "0.0.0.0:0",
        "MUSTER_LISTEN_WITHOUT_TLS": CLEAR_TEXT_WORDS,
        "MUSTER_WORKERS": workers,
    }
    service.start(ready=False)
    assert httpx.get(service.url.replace("//0.0.0.0", "//127.0.0.1") + "/healthz").status_code == 200
    log = (service.home.parent / "home.log").read_text()
    assert "can be reached from other machines, in clear text" in log
    service.stop()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_gateways_have_sockets_of_their_own(new_service: Callable[[], Service], tmp_path: Path, workers: str) -> None:
    """Mode 0660, the same service behind each, and who comes by one still says who they are; they survive a restart."""
    service = new_service()
    web, edge = tmp_path / "web.sock", tmp_path / "edge.sock"
    service.env |= {"MUSTER_GATEWAY_SOCKETS": f"web=unix:{web},acme/edge=unix:{edge}", "MUSTER_WORKERS": workers}
    for _ in range(2):
        service.socket = None
        service.start()
        service.token("gateway")
        assert httpx.get(service.url + "/healthz").status_code == 200
        for path in (web, edge):
            assert path.stat().st_mode & 0o777 == 0o660
            service.socket = path
            assert service.http("POST", "/v1/decisions", json=export("x")).status_code == 401
            assert service.decide("x")["allow"] is False
        service.kill()
    service.muster("replay")


def test_a_gateways_socket_that_cannot_be_bound_stops_the_start(
    new_service: Callable[[], Service], tmp_path: Path
) -> None:
    """A folder that is not there, or a file in the way: the sentence names setting and path."""
    (tmp_path / "file").write_text("not yours")
    for path, why in (
        (tmp_path / "no" / "x", "No such file or directory"),
        (tmp_path / "file", "Address already in use"),
    ):
        done = new_service().muster("serve", want=3, MUSTER_GATEWAY_SOCKETS=f"web=unix:{path}")
        assert done.stderr == f"muster: MUSTER_GATEWAY_SOCKETS: cannot listen on unix:{path}: {why}\n"
    assert (tmp_path / "file").read_text() == "not yours"
