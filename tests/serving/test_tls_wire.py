"""The wire over TLS, and what the application is told of the connection: our server with an application of a test's."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from starlette.types import Receive, Scope, Send

from engine.access.certificate import presented
from engine.serving import crowd, wire
from engine.serving.renewing import Certificates
from engine.settings import Tls
from tests.service.running import until
from tests.serving.answering import Answering, ask, hello, whole
from tests.serving.authority import Authority

OK = b"HTTP/1.1 200 OK"


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Signs all of this file's."""
    return Authority()


@pytest.fixture(scope="module")
def folder(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's pair, a client's, and their authority."""
    made = tmp_path_factory.mktemp("tls")
    authority.server().write(made)
    authority.client("gateway-1", ("GW.example", "gw2.example"), ("spiffe://example/gw",)).write(made, "client")
    (made / "ca.pem").write_text(authority.pem)
    return made


@pytest.fixture(scope="module")
def tls(folder: Path) -> Tls:
    """TLS without clients' certificates."""
    return Tls(cert=folder / "tls.crt", key=folder / "tls.key")


@pytest.fixture(scope="module")
def answering(tls: Tls) -> Iterator[Answering]:
    """A server that says hello over TLS."""
    with Answering(hello, tls).running() as made:
        yield made


@pytest.fixture(scope="module")
def mutual(folder: Path) -> Iterator[Answering]:
    """The same, for clients with a certificate only."""
    tls = Tls(cert=folder / "tls.crt", key=folder / "tls.key", client_ca=folder / "ca.pem", client_required=True)
    with Answering(hello, tls).running() as made:
        yield made


def _pair(folder: Path, name: str = "client") -> tuple[Path, Path]:
    return folder / f"{name}.crt", folder / f"{name}.key"


def _refused(answering: Answering, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> bool:
    """Whether a client comes to no answer, by an alert or a connection that ends."""
    try:
        with closing(answering.connect(context, session)) as connection:
            return ask(connection) == b""
    except OSError:
        return True


def test_the_extension_is_as_asgi_has_it(answering: Answering, authority: Authority, folder: Path) -> None:
    """Version, suite and our certificate; no client's, since none was asked for."""
    context = authority.trusting()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with closing(answering.connect(context)) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"  # type: ignore[attr-defined]
        assert ask(connection) == OK
    scope = answering.scopes[-1]
    assert scope["scheme"] == "https"
    assert scope["extensions"]["tls"] == {
        "server_cert": (folder / "tls.crt").read_text(),
        "client_cert_chain": (),
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": 0x0304,
        "cipher_suite": 0x1302,
    }
    assert presented(scope) is None


def test_tls_1_2_is_spoken_too(answering: Answering, authority: Authority) -> None:
    """An older gateway (nginx 1.22 upstream) speaks it."""
    context = authority.trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with closing(answering.connect(context)) as connection:
        assert ask(connection) == OK
    told = answering.scopes[-1]["extensions"]["tls"]
    assert told["tls_version"] == 0x0303
    assert told["cipher_suite"] in (0xC02B, 0xC02C, 0xCCA9)  # ECDHE-ECDSA with AES-GCM or ChaCha20


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_is_known_by_its_certificate(
    mutual: Answering, authority: Authority, folder: Path, newest: ssl.TLSVersion
) -> None:
    """Once a connection, for each of its requests: as the extension has it, and as `presented` reads it."""
    context = authority.trusting(_pair(folder))
    context.maximum_version = newest
    with closing(mutual.connect(context)) as connection:
        assert [ask(connection) for _ in range(3)] == [OK] * 3
    scopes = mutual.scopes[-3:]
    told = scopes[0]["extensions"]["tls"]
    assert told["client_cert_chain"] == ((folder / "client.crt").read_text(),)
    assert told["client_cert_name"] == "CN=gateway-1"
    assert all(each["extensions"]["tls"] is told for each in scopes), "worked out once"
    found = presented(scopes[0])
    assert found is not None
    certificate = x509.load_pem_x509_certificate((folder / "client.crt").read_bytes())
    assert found.fingerprint == certificate.fingerprint(hashes.SHA256()).hex()
    assert (found.common_name, found.dns, found.uris) == (
        "gateway-1", ("gw.example", "gw2.example"), ("spiffe://example/gw",),
    )  # fmt: skip


def test_whoever_has_no_good_certificate_gets_no_answer(
    mutual: Answering, authority: Authority, folder: Path, tmp_path: Path
) -> None:
    """None, one of another authority, one that has ended, one for servers: no request of theirs arrives."""
    other = Authority("Another")
    issued = {
        "another authority's": other.client("gateway-1"),
        "ended": authority.client("gateway-1", ends=timedelta(seconds=-5)),
        "a server's": authority.server("gateway-1"),
    }
    contexts = {"none": authority.trusting()}
    for name, each in issued.items():
        contexts[name] = authority.trusting(each.write(tmp_path, name.replace(" ", "-")))
    before = len(mutual.scopes)
    for name, context in contexts.items():
        for newest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context.maximum_version = newest
            assert _refused(mutual, context), name
    assert len(mutual.scopes) == before
    with closing(mutual.connect(authority.trusting(_pair(folder)))) as connection:
        assert ask(connection) == OK


def test_where_certificates_are_optional_a_wrong_one_is_still_refused(
    authority: Authority, folder: Path, tmp_path: Path
) -> None:
    """A browser without one is answered, and told apart; one of another authority is nobody's."""
    tls = Tls(cert=folder / "tls.crt", key=folder / "tls.key", client_ca=folder / "ca.pem")
    wrong = Authority("Another").client("gateway-1").write(tmp_path, "wrong")
    with Answering(hello, tls).running() as answering:
        with closing(answering.connect(authority.trusting())) as connection:
            assert ask(connection) == OK
        assert presented(answering.scopes[-1]) is None
        with closing(answering.connect(authority.trusting(_pair(folder)))) as connection:
            assert ask(connection) == OK
        assert presented(answering.scopes[-1]) is not None
        assert _refused(answering, authority.trusting(wrong))
        assert len(answering.scopes) == 2


def test_a_connection_ends_with_its_certificate(authority: Authority, folder: Path, tmp_path: Path) -> None:
    """It is not kept alive beyond that instant, and a session of it is not resumed."""
    tls = Tls(cert=folder / "tls.crt", key=folder / "tls.key", client_ca=folder / "ca.pem", client_required=True)
    context = authority.trusting(authority.client("brief", ends=timedelta(seconds=3)).write(tmp_path, "brief"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Answering(hello, tls).running() as answering:
        with closing(answering.connect(context)) as connection:
            assert isinstance(connection, ssl.SSLSocket)
            session = connection.session
            assert ask(connection) == OK
            began = time.monotonic()
            assert whole(connection) == b""
            assert time.monotonic() - began < 5
        time.sleep(1)  # certificates count whole seconds
        assert _refused(answering, context, session)
        assert len(answering.scopes) == 1


def test_a_chain_is_sent_whole(tmp_path: Path) -> None:
    """Who trusts the root alone can verify a service two authorities below it."""
    root = Authority("Root")
    middle = Authority("Middle", below=root)
    cert, key = Authority("Low", below=middle).server().write(tmp_path)
    with Answering(hello, Tls(cert=cert, key=key)).running() as answering:
        with closing(answering.connect(root.trusting())) as connection:
            assert ask(connection) == OK
        with pytest.raises(ssl.SSLCertVerificationError):
            answering.connect(Authority("Another").trusting())


def test_what_is_no_handshake_is_closed(answering: Answering, authority: Authority) -> None:
    """HTTP in clear text and noise at once; silence and half a handshake within their seconds. Nothing is answered."""
    for noise in (
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00" * 64,
        b"SSH-2.0-x\r\n",
        b"\x16\x03\x01\xff\xff" + b"x" * 99,
    ):
        with closing(answering.connect()) as raw:
            raw.sendall(noise)
            assert not whole(raw).startswith(b"HTTP")
    began = time.monotonic()
    with closing(answering.connect()) as silent, closing(answering.connect()) as half:
        half.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        with closing(answering.connect(authority.trusting())) as connection:
            assert ask(connection) == OK
        assert whole(silent) == b""
        assert whole(half) == b""
    assert wire.HEAD_SECONDS * 0.8 < time.monotonic() - began < wire.HEAD_SECONDS * 1.5
    until(lambda: answering.crowd.here == 0, "all have left")


def test_the_bounds_hold_over_tls(answering: Answering, authority: Authority) -> None:
    """A head without an end, a flood of requests, silence after the handshake, half a head: as in clear text."""
    context = authority.trusting()
    with closing(answering.connect(context)) as endless:
        with suppress(OSError):
            endless.sendall(b"GET / HTTP/1.1\r\nX: ")
            for _ in range(1000):
                endless.sendall(b"x" * 1024)
        assert whole(endless)[:12] in (b"HTTP/1.1 431", b"")
    with closing(answering.connect(context)) as many:
        with suppress(OSError):
            many.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 5000)
        assert whole(many).count(OK) < 100
    began = time.monotonic()
    with closing(answering.connect(context)) as silent, closing(answering.connect(context)) as half:
        half.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-")
        assert whole(silent) == b""
        assert whole(half).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began < wire.HEAD_SECONDS * 1.5


async def _endless(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answers for long; or, at /once, with one large body."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if _scope["path"] == "/once":
        await send({"type": "http.response.body", "body": b"x" * (8 << 20)})
        return
    for _ in range(2000):
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("path", ["/", "/once"])
def test_who_does_not_take_the_answer_is_cut_off(
    tls: Tls, authority: Authority, monkeypatch: pytest.MonkeyPatch, secure: bool, path: str
) -> None:
    """A reader that stopped is dropped, and what it held with it; one that reads slowly is not."""
    monkeypatch.setattr(wire, "TAKE_SECONDS", 3.0)
    with Answering(_endless, tls if secure else None).running() as answering, ExitStack() as stack:
        connections = []
        for _ in range(2):
            made = socket.socket()
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            made.settimeout(30)
            made.connect(("127.0.0.1", answering.port))
            stack.callback(made.close)
            wrapped = authority.trusting().wrap_socket(made, server_hostname="localhost") if secure else made
            wrapped.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            connections.append(stack.enter_context(closing(wrapped)))
        stopped, slow = connections
        taken = 0
        for _ in range(100):  # ten seconds, at a megabyte or two a second at most
            taken += len(slow.recv(65536))
            time.sleep(0.1)
        assert taken > 100_000
        until(lambda: answering.crowd.here == 1, "who has stopped is gone")
        with suppress(OSError):
            whole(stopped)


@pytest.mark.parametrize("secure", [False, True])
def test_too_many_connections_are_closed_at_once(tls: Tls, authority: Authority, secure: bool) -> None:
    """Those that are there go on; those beyond are closed and counted; when one goes, there is room again."""
    context = authority.trusting() if secure else None
    with Answering(hello, tls if secure else None, limit=8).running() as answering, ExitStack() as stack:
        there = [stack.enter_context(closing(answering.connect(context))) for _ in range(8)]
        assert [ask(each) for each in there] == [OK] * 8
        for _ in range(5):
            with suppress(OSError), closing(answering.connect(context)) as beyond:
                assert whole(beyond) == b""
        assert answering.crowd.refused == 5
        assert [ask(each) for each in there] == [OK] * 8
        there.pop().close()
        until(lambda: answering.crowd.here == 7, "one has gone")
        with closing(answering.connect(context)) as late:
            assert ask(late) == OK
    assert answering.crowd.here == 0


def test_handshakes_count_as_connections(tls: Tls, authority: Authority) -> None:
    """Who connects and says nothing takes room, for ten seconds at most."""
    with Answering(hello, tls, limit=4).running() as answering, ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(closing(answering.connect()))
        until(lambda: answering.crowd.here == 4, "all are there")
        with suppress(OSError), closing(answering.connect()) as beyond:
            assert whole(beyond) == b""
        assert answering.crowd.refused == 1
        until(lambda: answering.crowd.here == 0, "their time is over", wire.HEAD_SECONDS * 1.5)
        with closing(answering.connect(authority.trusting())) as connection:
            assert ask(connection) == OK


def test_a_stop_does_not_wait_for_a_handshake(tls: Tls) -> None:
    """What has not begun is broken off."""
    with Answering(hello, tls).running() as answering:
        silent = answering.connect()
        until(lambda: answering.crowd.here == 1, "it is there")
        began = time.monotonic()
    with closing(silent):
        assert time.monotonic() - began < 5
        assert whole(silent) == b""


def test_what_came_by_a_socket_of_its_own_is_marked() -> None:
    """In the scope of each request of that listener; in clear text there is no extension, as ASGI demands."""
    gateway = {"muster.gateway": ("default", "web")}
    with Answering(hello, marks=gateway).running() as answering, closing(answering.connect()) as connection:
        assert [ask(connection, f"/{n}") for n in range(2)] == [OK] * 2
    for scope in answering.scopes:
        assert scope["muster.gateway"] == ("default", "web")
        assert "extensions" not in scope
        assert presented(scope) is None


def _in_use(certificates: Certificates) -> str:
    return certificates.offer.server_cert


def test_a_renewed_pair_loses_no_request(authority: Authority, tmp_path: Path) -> None:
    """Under load the pair is replaced ten times: every request is answered, and old connections live on."""
    cert, key = authority.server().write(tmp_path)
    with Answering(hello, Tls(cert=cert, key=key)).running() as answering:
        context, wrong, serials = authority.trusting(), list[str](), set[int]()
        enough = threading.Event()

        def crowd_in() -> None:
            while not enough.is_set():
                try:
                    with closing(answering.connect(context)) as made:
                        assert isinstance(made, ssl.SSLSocket)
                        serials.add(x509.load_der_x509_certificate(made.getpeercert(True) or b"").serial_number)
                        if ask(made) != OK:
                            wrong.append("no answer")
                except OSError as exc:
                    wrong.append(repr(exc))

        kept = http.client.HTTPSConnection("localhost", answering.port, context=context, timeout=30)
        kept.connect()
        threads = [threading.Thread(target=crowd_in) for _ in range(3)]
        for thread in threads:
            thread.start()
        found, loop = answering.certificates, answering.loop
        assert found is not None
        assert loop is not None
        used = {x509.load_pem_x509_certificate(cert.read_bytes()).serial_number}
        for _ in range(10):
            issued = authority.server()
            issued.write(tmp_path)
            used.add(issued.certificate.serial_number)
            loop.call_soon_threadsafe(found.ask)
            until(lambda pem=issued.pem: _in_use(found) == pem, "the new pair is in use")  # type: ignore[misc]
            kept.request("GET", "/kept")
            assert kept.getresponse().read() == b"/kept"
            time.sleep(0.1)
        enough.set()
        for thread in threads:
            thread.join()
        kept.close()
    assert wrong == []
    assert serials <= used
    assert issued.certificate.serial_number in serials
    assert len(serials) > 5


def test_a_process_takes_the_descriptors_that_it_may_have() -> None:
    """The room is what is left of them, never all; a listener for each gateway has a part of its own."""
    whole_room = crowd.room()
    assert 1 <= whole_room <= crowd.MOST
    assert crowd.shares(800, 0) == (800, 0)
    assert crowd.shares(800, 4) == (400, 100)
    assert crowd.shares(1, 3) == (1, 1)
