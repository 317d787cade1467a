"""Certificate files as people leave them: what stops a start, what is only told, and what a new pair has to be."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from engine.errors import SetupError
from engine.serving.certificates import Files, checked
from engine.serving.renewing import Certificates
from engine.settings import Tls
from tests.serving.authority import DAY, Authority, Issued, named


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Signs all of this file's."""
    return Authority()


@pytest.fixture
def tls(authority: Authority, tmp_path: Path) -> Tls:
    """A pair in order, and the authority of its clients."""
    cert, key = authority.server().write(tmp_path)
    (tmp_path / "ca.pem").write_text(authority.pem)
    return Tls(cert=cert, key=key, client_ca=tmp_path / "ca.pem", client_required=True)


def _encrypted(issued: Issued) -> str:
    secret = serialization.BestAvailableEncryption(b"secret")
    pem = serialization.Encoding.PEM
    return issued.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, secret).decode()


def _gone(path: Path | None) -> Path:
    assert path is not None
    path.unlink()
    return path


def _pipe(path: Path) -> None:
    os.mkfifo(path)


Break = Callable[[Tls, Authority], object]
MISTAKES: dict[str, tuple[Break, str, str]] = {
    "no certificate": (lambda tls, _: _gone(tls.cert), "MUSTER_TLS_CERT", "cannot be read: No such file"),
    "no key": (lambda tls, _: _gone(tls.key), "MUSTER_TLS_KEY", "cannot be read: No such file"),
    "no authorities": (lambda tls, _: _gone(tls.client_ca), "MUSTER_TLS_CLIENT_CA", "No such file"),
    "an empty certificate": (lambda tls, _: tls.cert.write_text(""), "MUSTER_TLS_CERT", "is empty"),
    "an endless key": (lambda tls, _: tls.key.write_bytes(b"x" * (1 << 21)), "MUSTER_TLS_KEY", "is longer than"),
    "no PEM": (lambda tls, _: tls.cert.write_bytes(b"\x30\x82\x01"), "MUSTER_TLS_CERT", "no certificates as PEM"),
    "a key for a certificate": (lambda tls, _: tls.cert.write_text(tls.key.read_text()), "MUSTER_TLS_CERT", "as PEM"),
    "a certificate for a key": (lambda tls, _: tls.key.write_text(tls.cert.read_text()), "MUSTER_TLS_KEY", "as PEM"),
    "another's key": (lambda tls, a: tls.key.write_text(a.server().key_pem), "MUSTER_TLS_KEY", "is not the one of"),
    "the chain the wrong way round": (
        lambda tls, a: tls.cert.write_text(a.pem + tls.cert.read_text()), "MUSTER_TLS_CERT", "comes first",
    ),
    "a key that others read": (lambda tls, _: tls.key.chmod(0o604), "MUSTER_TLS_KEY", "mode 0604.*chmod 600"),
    "a key with a password": (lambda tls, a: tls.key.write_text(_encrypted(a.server())), "MUSTER_TLS_KEY", "encrypted"),
    "a folder": (lambda tls, _: _gone(tls.cert).mkdir(), "MUSTER_TLS_CERT", "Is a directory"),
    "a pipe without a writer": (lambda tls, _: _pipe(_gone(tls.key)), "MUSTER_TLS_KEY", "no file"),
    "a revocation list": (
        lambda tls, a: tls.client_ca
        and tls.client_ca.write_text(a.pem + "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"),
        "MUSTER_TLS_CLIENT_CA", "revocation list",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_wrong_is_one_sentence_with_setting_and_file(tls: Tls, authority: Authority, name: str) -> None:
    """Each mistake is a SetupError that names the setting and the file, and nothing else comes of it."""
    spoil, setting, words = MISTAKES[name]
    spoil(tls, authority)
    with pytest.raises(SetupError) as refused:
        checked(Files.read(tls), tls)
    sentence = str(refused.value)
    assert sentence.startswith(setting)
    assert re.search(words, sentence), sentence
    assert "\n" not in sentence
    file = {"MUSTER_TLS_CERT": tls.cert, "MUSTER_TLS_KEY": tls.key, "MUSTER_TLS_CLIENT_CA": tls.client_ca}[setting]
    assert str(file) in sentence


def test_a_short_key_is_told_with_the_reason_of_openssl(tls: Tls, authority: Authority) -> None:
    """A signature that OpenSSL does not take is refused at start, not at the first handshake."""
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the point
    own = authority.own
    certificate = (
        x509.CertificateBuilder()
        .subject_name(named("weak"))
        .issuer_name(own.certificate.subject)
        .public_key(weak.public_key())
        .serial_number(1)
        .not_valid_before(own.certificate.not_valid_before_utc)
        .not_valid_after(own.certificate.not_valid_after_utc)
        .sign(own.key, hashes.SHA256())
    )
    tls.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    tls.key.write_bytes(
        weak.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    with pytest.raises(SetupError, match="KEY_TOO_SMALL"):
        checked(Files.read(tls), tls)


def test_a_pair_in_one_file_is_read(tls: Tls, authority: Authority) -> None:
    """Certificate and key may stand in the same file, in any order, with other text around them."""
    issued = authority.server()
    for text in (issued.pem + issued.key_pem, "# of today\n" + issued.key_pem + issued.pem):
        tls.key.write_text(text)
        pair = checked(Files.read(Tls(cert=tls.key, key=tls.key)), Tls(cert=tls.key, key=tls.key))
        assert len(pair.chain) == 1


def test_a_group_may_read_the_key(tls: Tls) -> None:
    """A key that its owner's group reads (mode 640) is taken: that is how distributions hand keys to services."""
    tls.key.chmod(0o640)
    assert checked(Files.read(tls), tls).notes == ()


@pytest.mark.parametrize(
    ("begins", "ends", "words"),
    [(-2 * DAY, -DAY, "ended at"), (DAY, 2 * DAY, "begins at"), (-DAY, 2 * DAY, "ends at")],
)
def test_dates_are_told_and_stop_nothing(
    tls: Tls, authority: Authority, caplog: pytest.LogCaptureFixture, begins: timedelta, ends: timedelta, words: str
) -> None:
    """An expired certificate, or one of tomorrow, is a warning with the date: the service still listens."""
    issued = authority.server(begins=begins, ends=ends)
    issued.write(tls.cert.parent)
    with caplog.at_level(logging.WARNING):
        Certificates.load(tls)
    told = [record.getMessage() for record in caplog.records]
    day = (
        issued.certificate.not_valid_before_utc if begins > timedelta() else issued.certificate.not_valid_after_utc
    ).date()
    assert any("MUSTER_TLS_CERT" in each and f"{words} {day}" in each for each in told), told


def test_a_context_speaks_nothing_old(tls: Tls) -> None:
    """TLS 1.2 at least, HTTP/1.1, a client's certificate where one is required, and no ticket around it."""
    context = Certificates.load(tls).offer.context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.num_tickets == 0
    assert context.options & ssl.OP_NO_TICKET
    assert not [each["name"] for each in context.get_ciphers() if "RC4" in each["name"] or "3DES" in each["name"]]
    optional = Tls(cert=tls.cert, key=tls.key, client_ca=tls.client_ca)
    assert Certificates.load(optional).offer.context.verify_mode == ssl.CERT_OPTIONAL
    alone = Tls(cert=tls.cert, key=tls.key)
    assert Certificates.load(alone).offer.context.verify_mode == ssl.CERT_NONE


def test_a_broken_pair_is_told_once_and_the_old_one_stays(
    tls: Tls, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """However often it is looked at; put right, also by its mode alone, it is taken."""
    found = Certificates.load(tls)
    before = found.offer
    issued = authority.server()
    issued.write(tls.cert.parent)
    tls.key.chmod(0o644)

    async def look(times: int) -> None:
        for _ in range(times):
            await found.look(asked=False)

    with caplog.at_level(logging.WARNING):
        asyncio.run(look(3))
    assert [record.getMessage() for record in caplog.records if "stays in use" in record.getMessage()] == [
        f"MUSTER_TLS_KEY: others may read {tls.key} (mode 0644): chmod 600 it, or 640; "
        "the certificate that was read before stays in use"
    ]
    assert found.offer is before
    tls.key.chmod(0o600)
    asyncio.run(look(1))
    assert found.offer is not before
    assert found.offer.server_cert == issued.pem
    taken = found.offer
    asyncio.run(look(2))
    assert found.offer is taken, "nothing has changed: nothing is made anew"


def test_a_file_that_is_gone_is_told_once(tls: Tls, caplog: pytest.LogCaptureFixture) -> None:
    """And the pair that was read stays."""
    found = Certificates.load(tls)
    before, text = found.offer, tls.cert.read_text()
    tls.cert.unlink()

    async def look() -> None:
        await found.look(asked=False)

    with caplog.at_level(logging.WARNING):
        asyncio.run(look())
        asyncio.run(look())
    assert [record.getMessage() for record in caplog.records] == [
        f"MUSTER_TLS_CERT: {tls.cert} cannot be read: No such file or directory; "
        "the certificate that was read before stays in use"
    ]
    tls.cert.write_text(text)
    asyncio.run(look())
    assert found.offer.server_cert == before.server_cert


def test_a_pair_is_handed_to_another_process(tls: Tls, authority: Authority) -> None:
    """What was in use, not what lies there now; and what is in use later, as soon as it is."""
    parent = Certificates.load(tls)
    tls.cert.write_text("broken")
    worker = Certificates.taken_over(tls, parent.handed_over())
    assert worker.pair == parent.pair
    assert worker.offer.context.verify_mode == ssl.CERT_REQUIRED
    issued = authority.server()
    issued.write(tls.cert.parent)

    changes: list[str] = []
    parent.changed = lambda: changes.append(parent.offer.server_cert)

    async def look(who: Certificates) -> None:
        await who.look(asked=False)

    asyncio.run(look(worker))
    assert worker.offer.server_cert == worker.pair.chain[0] != issued.pem
    asyncio.run(look(parent))
    assert changes == [issued.pem]
    asyncio.run(look(worker))
    assert worker.offer.server_cert == issued.pem


def test_a_key_is_in_no_text(tls: Tls) -> None:
    """What is printed of settings, files and pairs shows no key."""
    secret = tls.key.read_text().splitlines()[1]
    files = Files.read(tls)
    for each in (files, checked(files, tls), Certificates.load(tls)):
        assert secret not in repr(each)
