"""Trust policies as C2SP tlog-policy has them: what is read, what is refused with its line, and what is a quorum."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from itertools import combinations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ledger.note import FileSigner, checkpoint_text, signed
from ledger.verifier.errors import Invalid
from ledger.verifier.note import COSIGNATURE, ED25519, Key, Note, parse
from ledger.verifier.policy import Policy

LOG = Ed25519PrivateKey.from_private_bytes(bytes(32))
ORIGIN = "log.example/tlog/default"
SECRETS = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(1, 7)]
NAMES = [f"w{number}" for number in range(1, 7)]


def key(secret: Ed25519PrivateKey, name: str, kind: int = COSIGNATURE) -> Key:
    """The public half."""
    return Key(name, kind, secret.public_key().public_bytes_raw())


W = [key(secret, f"{name}.example") for secret, name in zip(SECRETS, NAMES, strict=True)]
LOG_KEY = key(LOG, ORIGIN, ED25519)
LINES = "".join(f"witness {name} {each.vkey()}\n" for name, each in zip(NAMES, W, strict=True))


def cosigned(by: Iterable[int], when: int = 1_700_000_000, text: str | None = None) -> Note:
    """A checkpoint of the log with the cosignatures of these witnesses."""
    text = text or checkpoint_text(ORIGIN, 5, bytes(32))
    note = signed(text, ORIGIN, FileSigner(LOG))
    for number in by:
        message = f"cosignature/v1\ntime {when}\n{text}".encode()
        body = W[number].id + when.to_bytes(8) + SECRETS[number].sign(message)
        note += f"\u2014 {W[number].name} {base64.b64encode(body).decode()}\n"
    return parse(note.encode())


def policy(text: str) -> Policy:
    """A policy over the six witnesses."""
    return Policy.parse((LINES + text).encode())


def test_the_example_of_the_specification_is_read_and_judged() -> None:
    """Two levels of groups: two of three X, and any Y."""
    found = policy(
        f"log {LOG_KEY.vkey()}\n"
        "group X-witnesses 2 w1 w2 w3\ngroup Y-witnesses any w4 w5 w6\n"
        "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
    )
    assert [witness.name for witness in found.witnesses] == NAMES
    assert [log.key for log in found.logs] == [LOG_KEY]
    assert found.quorum == "X-and-Y"
    for count in range(7):
        for by in combinations(range(6), count):
            enough = len({0, 1, 2} & set(by)) >= 2 and bool({3, 4, 5} & set(by))
            assert found.satisfied(cosigned(by)) is enough, by


@given(st.data())
def test_a_threshold_counts_members_that_have_witnessed(data: st.DataObject) -> None:
    """A group of any shape is judged as its definition says."""
    free, lines, meaning = list(NAMES), "", {name: {index} for index, name in enumerate(NAMES)}
    groups: dict[str, tuple[int, list[str]]] = {}
    for number in range(data.draw(st.integers(1, 4))):
        members = data.draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
        least = data.draw(st.integers(1, len(members)))
        free = [name for name in free if name not in members] + [f"g{number}"]
        groups[f"g{number}"] = (least, members)
        lines += f"group g{number} {least} {' '.join(members)}\n"
    quorum = data.draw(st.sampled_from([*groups, *NAMES]))
    by = data.draw(st.sets(st.integers(0, 5)))

    def witnessed(name: str) -> bool:
        if name in groups:
            least, members = groups[name]
            return sum(witnessed(member) for member in members) >= least
        return bool(meaning[name] & by)

    assert policy(f"{lines}quorum {quorum}\n").satisfied(cosigned(by)) is witnessed(quorum)


def test_a_quorum_of_none_asks_for_nobody() -> None:
    """And a policy may have no witness at all."""
    assert Policy.parse(b"quorum none\n").satisfied(cosigned([]))
    assert policy("quorum w1\n").satisfied(cosigned([0]))
    assert not policy("quorum w1\n").satisfied(cosigned([1]))


def test_who_cosigned_is_told_with_the_time() -> None:
    """Of the policy's witnesses; those of nobody that it names are ignored."""
    found = Policy.parse(f"witness a {W[0].vkey()} https://w1.example/x\nquorum a\n".encode())
    assert [(w.name, w.url, when) for w, when in found.cosigned(cosigned([0, 1], 1_700_000_007)).items()] == [
        ("a", "https://w1.example/x", 1_700_000_007)
    ]


def test_a_cosignature_without_a_time_counts_for_nothing() -> None:
    """Nor one of a time that no POSIX time is."""
    assert not policy("quorum w1\n").satisfied(cosigned([0], when=0))
    assert not policy("quorum w1\n").satisfied(cosigned([0], when=1 << 63))


def test_a_wrong_line_of_a_known_key_makes_the_note_wrong() -> None:
    """Whatever else it carries (signed-note)."""
    other = cosigned([0], text=checkpoint_text(ORIGIN, 6, bytes(32)))
    mixed = Note(cosigned([]).text, (*cosigned([1]).signatures, *other.signatures[1:]))
    with pytest.raises(Invalid, match=r"the signature of w1\.example"):
        policy("quorum w2\n").satisfied(mixed)


def test_a_listed_log_has_to_have_signed_under_its_own_origin() -> None:
    """A log of another name, or of another key, is not the one that is listed."""
    listed = Policy.parse(f"log {LOG_KEY.vkey()}\nquorum none\n".encode())
    assert listed.satisfied(cosigned([]))
    assert not listed.satisfied(parse(signed(cosigned([]).text, ORIGIN, FileSigner(SECRETS[0])).encode()))
    foreign = checkpoint_text("log.example/other", 5, bytes(32))
    assert not listed.satisfied(parse(signed(foreign, ORIGIN, FileSigner(LOG)).encode()))


def test_names_are_octets() -> None:
    """K and the Kelvin sign are two names, and a name need not be UTF-8; white space is space and tab alone."""
    text = (
        b" \t# a comment: \xff\n\t\n"
        b"witness\tK\t" + W[0].vkey().encode() + b" \n"
        b"witness \xe2\x84\xaa " + W[1].vkey().encode() + b"\n"
        b"witness \xff\xc2\xa0x " + W[2].vkey().encode() + b" https://\xff/\n"
        b"quorum \xff\xc2\xa0x\n"
    )
    found = Policy.parse(text)
    assert [witness.name for witness in found.witnesses] == ["K", "\u212a", "\\xff\xa0x"]
    assert found.satisfied(cosigned([2]))
    assert not found.satisfied(cosigned([0, 1]))


A_LINE = f"witness a {W[0].vkey()}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "line 1: the file ends without a `quorum` line"),
        (b"# nothing\n", "line 2: the file ends without a `quorum` line"),
        (b"quorum none", "line 1: does not end in a newline"),
        (b"quorum none\r\n", "line 1: holds the control character 0x0d, a line end of Windows"),
        (b"# \x00\nquorum none\n", "line 1: holds the control character 0x00"),
        (b"quorum none\x7f\n", "0x7f"),
        (b"quorum none\nquorum none\n", "line 2: a second `quorum` line"),
        (b"quorum a\n", "line 1: `a` is not defined on a line before this one"),
        (f"quorum a\n{A_LINE}\n".encode(), "line 1: `a` is not defined on a line before this one"),
        (b"quorum\n", "line 1: expected `quorum NAME`"),
        (b"quorum none none\n", "expected `quorum NAME`"),
        (b"Quorum none\n", "`Quorum` is none of log, witness, group, quorum"),
        (b"witness a\n", "expected `witness NAME VKEY [URL]`"),
        (f"{A_LINE} u v\n".encode(), "expected `witness NAME VKEY [URL]`"),
        (f"witness none {W[0].vkey()}\n".encode(), "`none` is predefined"),
        (f"{A_LINE}\nwitness a {W[1].vkey()}\n".encode(), "line 2: `a` is defined already"),
        (f"{A_LINE}\ngroup a any a\n".encode(), "line 2: `a` is defined already"),
        (
            f"{A_LINE}\nwitness b {W[0].vkey()}\n".encode(),
            "line 2: the public key of w1.example is that of the witness",
        ),
        (f"{A_LINE}\nwitness b {Key('x', 4, W[0].public).vkey()}\n".encode(), "the public key of x is that of the wit"),
        (f"log {LOG_KEY.vkey()}\nlog {Key('x', 1, LOG_KEY.public).vkey()}\n".encode(), "is that of the log on line 1"),
        (b"group g any\n", "expected `group NAME all|any|NUMBER NAME...`"),
        (f"{A_LINE}\ngroup g any none\n".encode(), "`none` is no member"),
        (f"{A_LINE}\ngroup g any a b\n".encode(), "line 2: `b` is not defined"),
        (f"{A_LINE}\ngroup g any g\n".encode(), "line 2: `g` is not defined"),
        (f"{A_LINE}\ngroup g all a a\n".encode(), "`a` is a member already"),
        (f"{A_LINE}\ngroup g all a\ngroup h all a\n".encode(), "line 3: `a` is a member already"),
        (f"{A_LINE}\ngroup g 0 a\n".encode(), "a group's threshold is `any`, `all`, or 1 to 1"),
        (f"{A_LINE}\ngroup g 2 a\n".encode(), "1 to 1"),
        (f"{A_LINE}\ngroup g +1 a\n".encode(), "1 to 1"),
        (f"{A_LINE}\ngroup g 1e0 a\n".encode(), "1 to 1"),
        (f"{A_LINE}\ngroup g \u0661 a\n".encode(), "1 to 1"),
        (f"witness a {LOG_KEY.vkey()}\n".encode(), "Ed25519 of a log (type 1), which does not count here"),
        (f"log {W[0].vkey()}\n".encode(), "a log's key has to be Ed25519 (type 1)"),
        (b"witness a nonsense\n", "a verifier key is NAME+ID+BASE64"),
        (f"witness a x{W[0].vkey()}\n".encode(), "the verifier key's ID is"),
        (f"witness a \u00a0{W[0].vkey()}\n".encode(), "line 1: "),
        (b"witness a \xff" + W[0].vkey().encode() + b"\n", "the key's name is not UTF-8"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(text: bytes, words: str) -> None:
    """Each rule of the file format, broken alone."""
    with pytest.raises(Invalid) as refused:
        Policy.parse(text)
    assert words in str(refused.value)


def test_a_key_that_is_not_verified_here_is_refused_by_name() -> None:
    """ML-DSA-44 would be trusted for nothing: that is said, and what to do."""
    material = base64.b64encode(b"\x06" + bytes(1312)).decode()
    with pytest.raises(Invalid, match=r"line 1: the key is ML-DSA-44 \(type 6\).*has to be an Ed25519 cosignature"):
        Policy.parse(f"witness a pq.example+01020304+{material}\nquorum a\n".encode())


def test_all_mistakes_are_told_at_once_and_each_once() -> None:
    """A name with a wrong key is defined all the same, so that what leans on it is not told too."""
    text = f"witness a nonsense\nlog x\ngroup g all a\nquorum g\n{A_LINE}\n"
    with pytest.raises(Invalid) as refused:
        Policy.parse(text.encode())
    assert [mistake.split(":")[0] for mistake in str(refused.value).split("; ")] == ["line 1", "line 2", "line 5"]


def test_a_policy_as_large_as_the_specification_asks_is_read() -> None:
    """32 logs, 32 witnesses and 32 groups, each group in the next one."""
    secrets = [Ed25519PrivateKey.from_private_bytes(bytes([number, 9] * 16)) for number in range(64)]
    lines = [f"log {key(secret, f'log{n}', ED25519).vkey()}" for n, secret in enumerate(secrets[:32])]
    lines += [f"witness w{n} {key(secret, f'w{n}').vkey()}" for n, secret in enumerate(secrets[32:])]
    lines += [f"group g{n} any w{n}" + (f" g{n - 1}" if n else "") for n in range(32)]
    found = Policy.parse(("\n".join(lines) + "\nquorum g31\n").encode())
    assert (len(found.logs), len(found.witnesses)) == (32, 32)


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_be_read_or_refused(data: bytes) -> None:
    """Invalid, with a line, is the only error."""
    try:
        found = Policy.parse(data)
    except Invalid as exc:
        told = str(exc)
    else:
        told = f"line of {found.quorum}"
    assert "line " in told
