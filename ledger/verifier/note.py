"""Signed notes, checkpoints and their proofs as bytes: read and checked (C2SP signed-note, tlog-checkpoint,
tlog-cosignature, tlog-proof). Nothing is signed here.

A note is text that ends in a newline, an empty line, and signature lines. A signature of a key that is not known is
ignored; one of a known key that does not verify makes the note wrong, whatever else it carries.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .errors import Invalid

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04
_MOST_BYTES: Final = 1 << 20
_MOST_SIGNATURES: Final = 100
_PROOF: Final = b"c2sp.org/tlog-proof@v1\n"
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature line: the key's name and ID, and what follows them."""

    name: str
    key_id: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note that nothing is believed of yet; `text` ends in a newline."""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """A verifier key: Ed25519 of a log (type 1), or of a cosigning witness (type 4)."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes by which signature lines name the key."""
        return sha256(f"{self.name}\n".encode() + bytes([self.kind]) + self.public).digest()[:4]

    def vkey(self) -> str:
        """The key as text."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    def made(self, signature: Signature) -> bool:
        """Whether a line says that this key made it."""
        return (signature.name, signature.key_id) == (self.name, self.id)

    def verify(self, text: str, signature: Signature) -> int | None:
        """Check a line that this key is said to have made; answers a cosignature's POSIX time. Raises Invalid."""
        body, message, when = signature.body, text.encode(), None
        if self.kind == COSIGNATURE:
            when, body = int.from_bytes(body[:8]), body[8:]
            message = f"cosignature/v1\ntime {when}\n".encode() + message
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(body, message)
        except (InvalidSignature, ValueError) as exc:
            raise Invalid(f"the signature of {self.name} ({self.id.hex()}) does not verify") from exc
        return when


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint's text says."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """A `.tlog-proof`: where an entry is, the hashes from it to the root, and the checkpoint's note."""

    index: int
    hashes: tuple[bytes, ...]
    note: bytes


def parse_key(vkey: str) -> Key:
    """A verifier key from its text; raises Invalid."""
    name, _, rest = vkey.strip().partition("+")
    key_id, _, material = rest.partition("+")
    data = _base64(material, "the verifier key")
    if not is_key_name(name) or len(data) != 33 or data[0] not in (ED25519, COSIGNATURE):
        raise Invalid("a verifier key is NAME+ID+BASE64 of an Ed25519 key (type 1, or 4 for a witness)")
    key = Key(name, data[0], data[1:])
    if key_id != key.id.hex():
        raise Invalid(f"the verifier key's ID is {key_id}, its name and key give {key.id.hex()}")
    return key


def key_text(data: bytes) -> str:
    """A verifier key's text from the bytes of a file; raises Invalid."""
    try:
        return data.decode("utf-8").strip()
    except UnicodeDecodeError as exc:
        raise Invalid(f"the verifier key is not UTF-8 at byte {exc.start}") from exc


def is_key_name(name: str) -> bool:
    """Whether a name may stand in a signature line."""
    return bool(name) and "+" not in name and not any(character.isspace() for character in name)


def parse(data: bytes) -> Note:
    """A note from its bytes; raises Invalid."""
    if len(data) > _MOST_BYTES:
        raise Invalid(f"a note of more than {_MOST_BYTES} bytes")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise Invalid(f"the note is not UTF-8 at byte {exc.start}") from exc
    if _CONTROL.search(whole):
        raise Invalid("the note holds a control character")
    text, separator, lines = whole.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise Invalid("the note is not text, an empty line, and signature lines that each end in a newline")
    signatures = tuple(parse_signature(line) for line in lines[:-1].split("\n"))
    if len(signatures) > _MOST_SIGNATURES:
        raise Invalid(f"a note with more than {_MOST_SIGNATURES} signatures")
    return Note(text + "\n", signatures)


def parse_signature(line: str) -> Signature:
    """One signature line without its newline; raises Invalid."""
    name, _, encoded = line.removeprefix("\u2014 ").partition(" ")
    data = _base64(encoded, "a signature line")
    if not line.startswith("\u2014 ") or not is_key_name(name) or len(data) < 5:
        raise Invalid(f"not a signature line: {line[:80]!r}")
    return Signature(name, data[:4], data[4:])


def verify(note: Note, keys: Iterable[Key]) -> dict[Key, int | None]:
    """The keys that signed a note, with the time of a cosignature; raises Invalid if one of theirs is wrong."""
    return {
        key: key.verify(note.text, signature) for key in keys for signature in note.signatures if key.made(signature)
    }


def parse_checkpoint(text: str) -> Checkpoint:
    """What a note's text says of a log: origin, size, root, and no extension line; raises Invalid."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise Invalid("a checkpoint is three lines: origin, size, root")
    origin, size, root, _ = lines
    if not _DECIMAL.fullmatch(size):
        raise Invalid(f"a checkpoint's size is a decimal number, not {size[:40]!r}")
    return Checkpoint(origin, int(size), _hash(root, "the checkpoint's root"))


def opened(data: bytes, key: Key, *others: Key) -> tuple[Checkpoint, Note]:
    """A checkpoint that the log of one of these keys signed, whose origin is that key's name; raises Invalid."""
    note = parse(data)
    signers = verify(note, [key, *others])
    if not signers:
        named = " or ".join(f"{each.name} ({each.id.hex()})" for each in (key, *others))
        raise Invalid(f"the checkpoint is not signed by {named}")
    checkpoint = parse_checkpoint(note.text)
    if all(signer.name != checkpoint.origin for signer in signers):
        raise Invalid(f"the checkpoint is of {checkpoint.origin}, the key of {next(iter(signers)).name}")
    return checkpoint, note


def parse_proof(data: bytes) -> Proof:
    """A `.tlog-proof`; raises Invalid."""
    if not data.startswith(_PROOF):
        raise Invalid("not a c2sp.org/tlog-proof@v1")
    head, separator, note = data.removeprefix(_PROOF).partition(b"\n\n")
    if not separator:
        raise Invalid("the proof has no checkpoint")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as exc:
        raise Invalid("the proof's lines are not ASCII") from exc
    if lines[0].startswith("extra "):
        _base64(lines.pop(0).removeprefix("extra "), "the proof's extra data")
    word, _, number = lines.pop(0).partition(" ") if lines else ("", "", "")
    if word != "index" or not _DECIMAL.fullmatch(number):
        raise Invalid("the proof has no line `index N`")
    if len(lines) > 63:
        raise Invalid("a proof of more than 63 hashes")
    return Proof(int(number), tuple(_hash(line, "a hash of the proof") for line in lines), note)


def _hash(text: str, what: str) -> bytes:
    data = _base64(text, what)
    if len(data) != 32:
        raise Invalid(f"{what} is not 32 bytes")
    return data


def _base64(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Invalid(f"{what} is not base64") from exc
    if base64.b64encode(data).decode() != text:
        raise Invalid(f"{what} is not base64 in its one spelling")
    return data
