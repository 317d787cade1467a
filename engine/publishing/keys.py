"""The log's signing key: where it comes from, and how one hands over to the next.

A key is in the home's file (0600), in a mounted secret, or in the environment; what signs stands behind
`ledger.note.Signer`. Which key signs is an entry of the log itself (`log.key`), and a new key is introduced by a
signature of the old one.
"""

from __future__ import annotations

import base64
import binascii
import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.errors import SetupError
from engine.home import Home, make_private_key
from engine.settings import Settings
from ledger import note
from ledger.note import FileSigner, Signer
from ledger.verifier.errors import Invalid
from ledger.verifier.note import Key, parse_key

_SKEY = "PRIVATE+KEY+"


def load_signer(settings: Settings, home: Home) -> Signer:
    """The signer that is configured; raises SetupError with what is wrong and where."""
    if settings.log.key is not None:
        return read_key(settings.log.key, "MUSTER_LOG_KEY")
    if settings.log.key_file is not None:
        return key_from(settings.log.key_file, others=stat.S_IRWXO)
    return key_from(home.log_key, others=stat.S_IRWXG | stat.S_IRWXO)


def key_from(path: Path, *, others: int = stat.S_IRWXO) -> FileSigner:
    """The key in a file that nobody of `others` (permission bits) may read; raises SetupError."""
    try:
        mode, text = stat.S_IMODE(path.stat().st_mode), path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as exc:
        raise SetupError(f"the log's key {path} cannot be read: restore it from a backup ({exc})") from exc
    if mode & others:
        raise SetupError(f"the log's key {path} has mode {mode:04o}, so others can read it: chmod 600 {path}")
    return read_key(text, str(path))


def read_key(text: str, where: str) -> FileSigner:
    """An Ed25519 key from PEM, or from `PRIVATE+KEY+NAME+ID+BASE64` as note tools write it; raises SetupError."""
    try:
        if text.strip().startswith(_SKEY):
            kind, *seed = base64.b64decode(text.strip().removeprefix(_SKEY).split("+", 2)[2], validate=True)
            return FileSigner(Ed25519PrivateKey.from_private_bytes(bytes(seed if kind == 1 else ())))
        key = serialization.load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError, IndexError, binascii.Error) as exc:
        raise SetupError(f"{where}: neither a PEM private key without a password nor PRIVATE+KEY+...: {exc}") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise SetupError(f"{where}: the log's key is Ed25519, this is another kind")
    return FileSigner(key)


def new_key(home: Home) -> FileSigner:
    """A new key beside the home's own, not yet in its place: `log.next.pem`."""
    path = _next(home)
    if not path.exists():
        make_private_key(path)
    return key_from(path, others=stat.S_IRWXG | stat.S_IRWXO)


def take_new_key(home: Home) -> None:
    """Put the new key in the old one's place; the old one is not needed any more, and is not kept."""
    _next(home).replace(home.log_key)


def finish_hand_over(home: Home, named: Key | None) -> None:
    """A hand-over that was broken off after its entry: the key that the log names is the new one."""
    path = _next(home)
    if named is not None and path.exists() and key_from(path).public == named.public:
        take_new_key(home)


def _next(home: Home) -> Path:
    return home.log_key.with_name("log.next.pem")


def origin(settings: Settings, tenant: str, held: str | None) -> str:
    """What a tenant's log is called: the public host and the path of its tiles.

    Where no public address is configured, what the log was called before, or a name that only fits one machine.
    """
    if settings.public_url is None:
        return held or f"localhost/tlog/{tenant}"
    return f"{settings.public_url.removeprefix('https://')}/tlog/{tenant}"


def hand_over(before: Key, after: str) -> bytes:
    """What the old key signs when another one (a vkey) takes its place."""
    return f"muster/log-key/v1\n{before.vkey()}\n{after}\n".encode()


def introduced(before: Key, after: str, signer: Signer) -> str:
    """The old key's signature of the hand-over, base64."""
    return base64.b64encode(signer.sign(hand_over(before, after))).decode()


def key_of(vkey: str) -> Key:
    """A key that the log itself names; raises SetupError."""
    try:
        return parse_key(vkey)
    except Invalid as exc:
        raise SetupError(f"the log's own key entry is malformed: {exc}") from exc


def vkey_of(name: str, signer: Signer) -> str:
    """The verifier key of a log that this signer signs."""
    return note.vkey(name, signer.public)
