"""Trust policies (C2SP tlog-policy): which logs, which witnesses, and how many of these make a quorum.

The file is octets: names are compared as such, and only a key's own name has to be UTF-8. All mistakes are told at
once, with their lines. Keys that are not verified here (ML-DSA-44, type 6) are refused in a policy; their cosignatures
on a note are those of a key that is not known, and ignored.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from .errors import Invalid
from .note import COSIGNATURE, ED25519, Key, Note, parse_key, verify

NONE: Final = b"none"
_MOST_BYTES: Final = 1 << 20
_NO_TIME: Final = 1 << 63
_FORBIDDEN: Final = re.compile(rb"[^\t\x20-\x7e\x80-\xff]")
_NUMBER: Final = re.compile(rb"[0-9]{1,9}")
_TYPES: Final = {
    2: "ECDSA (type 2)",
    5: "an RFC 6962 tree head (type 5)",
    6: "ML-DSA-44 (type 6)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log that the policy accepts; its origin is the key's name."""

    key: Key
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A witness. `name` is what the file calls it, fit to be shown; its cosignatures stand under the key's name."""

    name: str
    key: Key
    url: str | None


@dataclass(frozen=True, slots=True)
class _Group:
    """At least `least` of the members, by their octets; each of them was defined before the group."""

    least: int
    members: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a checkpoint has to carry; `quorum` is the name that the file gives to it."""

    logs: tuple[Log, ...]
    witnesses: tuple[Witness, ...]
    quorum: str
    _names: dict[bytes, Witness | _Group]
    _quorum: bytes

    @staticmethod
    def parse(data: bytes) -> Policy:
        """A policy from the bytes of its file; raises Invalid with every mistake and its line."""
        if len(data) > _MOST_BYTES:
            raise Invalid(f"a policy of more than {_MOST_BYTES} bytes")
        reading = _Reading()
        lines = data.split(b"\n")
        for number, line in enumerate(lines, start=1):
            last = number == len(lines)
            if not (last and not line):
                reading.take(number, line, ended=not last)
        return reading.done(len(lines))

    def cosigned(self, note: Note) -> dict[Witness, int]:
        """Who of the witnesses cosigned a note, and when (POSIX seconds); raises Invalid if a line of one is wrong.

        A cosignature without a time is of a part of the log, so it does not count (tlog-witness, add-checkpoint).
        """
        times = verify(note, [witness.key for witness in self.witnesses])
        dated = {witness: times.get(witness.key) or 0 for witness in self.witnesses}
        return {witness: when for witness, when in dated.items() if 0 < when < _NO_TIME}

    def signed(self, note: Note) -> bool:
        """Whether one of the listed logs signed a note as its own origin; where none is listed, any log may."""
        origin = note.text.partition("\n")[0]
        return not self.logs or any(key.name == origin for key in verify(note, [log.key for log in self.logs]))

    def satisfied(self, note: Note) -> bool:
        """Whether a checkpoint is one that the policy accepts; raises Invalid if a line of a known key is wrong.

        Where the policy lists no log, the caller has to have checked the log's signature.
        """
        cosigned = self.cosigned(note)
        return self.signed(note) and self._is_quorum({w.key for w in cosigned})

    def _is_quorum(self, cosigned: set[Key]) -> bool:
        """Whether these keys are enough. Members come before their groups, so one pass is all."""
        witnessed = {NONE: self._quorum == NONE}
        for name, what in self._names.items():
            if isinstance(what, Witness):
                witnessed[name] = what.key in cosigned
            else:
                witnessed[name] = sum(witnessed[member] for member in what.members) >= what.least
        return witnessed[self._quorum]


class _Mistake(Exception):
    """What is wrong with one line."""


@dataclass(slots=True)
class _Reading:
    """A file as far as it was read; a wrong line still defines its name, so that it is told once."""

    logs: list[Log] = field(default_factory=list)
    names: dict[bytes, Witness | _Group | None] = field(default_factory=dict)
    quorum: bytes | None = None
    mistakes: list[str] = field(default_factory=list)
    _members: set[bytes] = field(default_factory=set)
    _keys: dict[tuple[str, bytes], int] = field(default_factory=dict)
    _line: int = 0

    def take(self, number: int, line: bytes, *, ended: bool) -> None:
        """The next line, without its newline."""
        self._line = number
        try:
            items = _items(line)
            if items[0] and not items[0].startswith(b"#"):
                self._statement(items)
        except _Mistake as exc:
            self.mistakes.append(f"line {number}: {exc}")
        if not ended:
            self.mistakes.append(f"line {number}: does not end in a newline, so the file may have been cut off")

    def done(self, lines: int) -> Policy:
        """The policy; raises Invalid."""
        if self.quorum is None and not self.mistakes:
            self.mistakes.append(f"line {lines}: the file ends without a `quorum` line")
        if self.mistakes or self.quorum is None:
            raise Invalid("; ".join(self.mistakes))
        names = {name: what for name, what in self.names.items() if what is not None}
        return Policy(
            logs=tuple(self.logs),
            witnesses=tuple(what for what in names.values() if isinstance(what, Witness)),
            quorum=_shown(self.quorum),
            _names=names,
            _quorum=self.quorum,
        )

    def _statement(self, items: list[bytes]) -> None:
        kinds: dict[bytes, tuple[Callable[[list[bytes]], None], int, int | None, str]] = {
            b"log": (self._log, 1, 2, "log VKEY [URL]"),
            b"witness": (self._witness, 2, 3, "witness NAME VKEY [URL]"),
            b"group": (self._group, 3, None, "group NAME all|any|NUMBER NAME..."),
            b"quorum": (self._take_quorum, 1, 1, "quorum NAME"),
        }
        word, *rest = items
        if word not in kinds:
            raise _Mistake(f"`{_shown(word)}` is none of log, witness, group, quorum, and comments begin with `#`")
        take, least, most, form = kinds[word]
        if len(rest) < least or (most is not None and len(rest) > most):
            raise _Mistake(f"expected `{form}`")
        take(rest)

    def _log(self, items: list[bytes]) -> None:
        key = _key(items[0], ED25519, "a log's", "Ed25519 (type 1)")
        self._once("log", key)
        self.logs.append(Log(key=key, url=_url(items[1:])))

    def _witness(self, items: list[bytes]) -> None:
        self._define(items[0])
        key = _key(items[1], COSIGNATURE, "a witness's", "an Ed25519 cosignature (type 4)")
        self._once("witness", key)
        self.names[items[0]] = Witness(name=_shown(items[0]), key=key, url=_url(items[2:]))

    def _group(self, items: list[bytes]) -> None:
        name, threshold, *members = items
        known = set(self.names)  # without itself
        self._define(name)
        for member in members:
            if member == NONE:
                raise _Mistake("`none` is no member of a group")
            if member not in known:
                raise _Mistake(f"`{_shown(member)}` is not defined on a line before this one")
            if member in self._members:
                raise _Mistake(f"`{_shown(member)}` is a member already, of this group or of one before")
            self._members.add(member)
        self.names[name] = _Group(_least(threshold, len(members)), tuple(members))

    def _take_quorum(self, items: list[bytes]) -> None:
        if self.quorum is not None:
            raise _Mistake("a second `quorum` line: a policy has exactly one")
        self.quorum = items[0]
        if items[0] != NONE and items[0] not in self.names:
            raise _Mistake(f"`{_shown(items[0])}` is not defined on a line before this one")

    def _define(self, name: bytes) -> None:
        if name == NONE:
            raise _Mistake("`none` is predefined: choose another name")
        if name in self.names:
            raise _Mistake(f"`{_shown(name)}` is defined already: witnesses and groups share their names")
        self.names[name] = None

    def _once(self, what: str, key: Key) -> None:
        """Two keys are the same if their public keys are, whatever they are called."""
        before = self._keys.setdefault((what, key.public), self._line)
        if before != self._line:
            raise _Mistake(f"the public key of {key.name} is that of the {what} on line {before}")


def _items(line: bytes) -> list[bytes]:
    """The items of a line; the first is empty where there is none."""
    wrong = _FORBIDDEN.search(line)
    if wrong is not None:
        hint = ", a line end of Windows: save the file with Unix ones" if wrong.group() == b"\r" else ": remove it"
        raise _Mistake(f"holds the control character 0x{wrong.group().hex()}{hint}")
    return re.split(rb"[ \t]+", line.strip(b" \t"))


def _key(octets: bytes, kind: int, whose: str, wanted: str) -> Key:
    """A key of this signature type."""
    found = _type_of(octets)
    if found is not None and found != kind:
        called = _TYPES.get(found, f"type {found}")
        if found == ED25519:
            called = "Ed25519 of a log (type 1)"
        elif found == COSIGNATURE:
            called = "an Ed25519 cosignature of a witness (type 4)"
        raise _Mistake(f"the key is {called}, which does not count here: {whose} key has to be {wanted}")
    try:
        text = octets.decode("utf-8")
        key = parse_key(text)
    except UnicodeDecodeError as exc:
        raise _Mistake("the key's name is not UTF-8") from exc
    except Invalid as exc:
        raise _Mistake(str(exc)) from exc
    if key.vkey() != text:
        raise _Mistake("the key is not written in its one spelling")
    return key


def _type_of(octets: bytes) -> int | None:
    """The signature type that a verifier key says it has; None where it says none."""
    material = octets.split(b"+", 2)[-1] if octets.count(b"+") >= 2 else b""
    try:
        return base64.b64decode(material, validate=True)[0]
    except (binascii.Error, ValueError, IndexError):
        return None


def _least(threshold: bytes, members: int) -> int:
    if threshold == b"any":
        return 1
    if threshold == b"all":
        return members
    if not _NUMBER.fullmatch(threshold) or not 1 <= int(threshold) <= members:
        raise _Mistake(
            f"a group's threshold is `any`, `all`, or 1 to {members}, its members; not `{_shown(threshold)}`"
        )
    return int(threshold)


def _url(items: list[bytes]) -> str | None:
    if not items:
        return None
    try:
        return items[0].decode("utf-8")
    except UnicodeDecodeError:
        return _shown(items[0])


def _shown(octets: bytes) -> str:
    """Octets as they can be shown to a person."""
    return octets[:200].decode("utf-8", "backslashreplace")
