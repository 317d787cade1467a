"""What is remembered of objects is what the ledger holds, for whoever is told of each commit."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ledger.cache import Cache
from ledger.canonical import JSON
from ledger.model import Append, Changed, Person, Receipt, unknown_object
from ledger.sqlite import SqliteLedger
from ledger.sqlite.reader import SqliteReader
from tests.ledger.builders import TENANT, activation, joins, name_of, one, result, subject

CROWD = [Person("user", f"p{number}") for number in range(8)]
NAMES = [name_of(person) for person in CROWD]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    """A log that has begun."""
    opened = SqliteLedger(tmp_path / "ledger.db", free_floor=0)
    opened.submit(one(activation())).result(20)
    yield opened
    opened.close()


def watched(ledger: SqliteLedger, most: int = 100) -> tuple[Cache, SqliteReader]:
    """A cache that is told of each commit, and a reader that remembers nothing."""
    reader = ledger.reader()
    cache = Cache(reader, most)
    ledger.watch(cache.moved)
    return cache, reader


def put(ledger: SqliteLedger, append: Append) -> tuple[Receipt, ...]:
    """Append and wait."""
    return ledger.submit(append).result(20)


def test_it_is_exact_behind_every_answered_append(ledger: SqliteLedger) -> None:
    """Random people come and learn; whatever was appended, the next look sees, through a cache far too small too."""
    cache, reader = watched(ledger, most=3)
    chance, known = random.Random(7), set[Person]()
    for _ in range(300):
        person = chance.choice(CROWD)
        if person not in known:
            put(ledger, joins(person))
            known.add(person)
        elif chance.random() < 0.5:
            put(ledger, one(result(person, module=f"m{chance.randrange(3)}")))
        else:
            put(ledger, one(subject(person, {"n": chance.randrange(9)}, first=False)))
        for each in chance.sample(CROWD, 3):
            assert cache.person(TENANT, each) == reader.person(TENANT, each)
        names = chance.sample(NAMES, chance.randrange(1, 4))
        assert cache.objects(TENANT, names) == reader.objects(TENANT, names)
    assert cache.hits > 20
    assert cache.misses > 20
    assert len(cache) <= 3
    reader.close()


def test_who_is_not_told_is_stale_until_made_to_look(ledger: SqliteLedger) -> None:
    """That is why nothing may be answered from here that is not appended with its reads."""
    [person, *_] = CROWD
    put(ledger, joins(person))
    reader = ledger.reader()
    cache = Cache(reader)
    before = cache.objects(TENANT, NAMES[:1])
    put(ledger, one(result(person)))
    assert cache.objects(TENANT, NAMES[:1]) == before != reader.objects(TENANT, NAMES[:1])
    cache.forget(TENANT, NAMES[0])
    assert cache.objects(TENANT, NAMES[:1]) == reader.objects(TENANT, NAMES[:1])
    put(ledger, one(result(person)))
    cache.clear()
    assert cache.objects(TENANT, NAMES[:1]) == reader.objects(TENANT, NAMES[:1])
    reader.close()


class Interrupted:
    """A reader between whose read and whose answer something happens."""

    def __init__(self, reader: SqliteReader, happens: Callable[[], object]) -> None:
        self._reader, self._happens = reader, happens

    def person(self, tenant: str, person: Person) -> str | None:
        """See States."""
        found = self._reader.person(tenant, person)
        self._happens()
        return found

    def objects(self, tenant: str, names: Sequence[str]) -> dict[str, tuple[int, JSON | None]]:
        """See States."""
        found = self._reader.objects(tenant, names)
        self._happens()
        return found


def test_what_a_commit_overtakes_is_not_kept(ledger: SqliteLedger) -> None:
    """A state that was read before a change, and arrives behind it, is answered once and forgotten."""
    [person, *_] = CROWD
    put(ledger, joins(person))
    reader, moving = ledger.reader(), [True]
    cache = Cache(Interrupted(reader, lambda: moving and moving.pop() and put(ledger, one(result(person)))))
    ledger.watch(cache.moved)
    stale = cache.objects(TENANT, NAMES[:1])
    assert stale != reader.objects(TENANT, NAMES[:1]) == cache.objects(TENANT, NAMES[:1])
    reader.close()


def test_strangers_push_nothing_out(ledger: SqliteLedger) -> None:
    """Names of what does not exist are not kept."""
    cache, reader = watched(ledger, most=2)
    put(ledger, joins(CROWD[0]))
    cache.objects(TENANT, NAMES[:1])
    for number in range(50):
        assert cache.objects(TENANT, [f"approval/{number}"]) == {f"approval/{number}": (-1, None)}
        assert cache.person(TENANT, Person("user", f"nobody-{number}")) is None
    misses = cache.misses
    cache.objects(TENANT, NAMES[:1])
    assert cache.misses == misses
    reader.close()


def test_whoever_was_unknown_is_looked_up_anew(ledger: SqliteLedger) -> None:
    """The name that stands for an unknown person, in what is told, brings a look at who they are."""
    cache, reader = watched(ledger)
    put(ledger, joins(CROWD[0]))
    assert cache.person(TENANT, CROWD[0]) is not None
    cache.moved(Changed(tenant=TENANT, objects=frozenset({unknown_object(CROWD[0])}), revision=None))
    misses = (TENANT, CROWD[0]) in cache._people
    assert not misses
    reader.close()


def test_what_is_made_of_a_state_goes_with_it(ledger: SqliteLedger) -> None:
    """It is made once of a state and of who makes it; and whatever drops the state drops it, by whichever way."""
    cache, reader = watched(ledger, most=3)
    for person in CROWD[:4]:
        put(ledger, joins(person))
    calls: list[str] = []

    def made(number: int, by: object = "gate") -> JSON:
        name = NAMES[number]
        _, state = cache.objects(TENANT, [name])[name]

        def make() -> JSON:
            calls.append(name)
            return state

        return cache.made(TENANT, name, state, by, make)

    def anew(number: int, by: object = "gate") -> bool:
        before = len(calls)
        assert made(number, by) == reader.objects(TENANT, [NAMES[number]])[NAMES[number]][1]
        return len(calls) > before

    assert (anew(0), anew(0)) == (True, False)
    assert (anew(0, "another"), anew(0)) == (True, True)
    put(ledger, one(result(CROWD[0])))
    assert not cache._made
    assert (anew(0), anew(0)) == (True, False)
    for number in (1, 2, 3):  # there is room for three
        assert anew(number)
    assert len(cache._made) == 3
    assert anew(0)
    cache.clear()
    assert not cache._made
    _, gone = reader.objects(TENANT, NAMES[:1])[NAMES[0]]
    cache.made(TENANT, NAMES[0], gone, "gate", lambda: 1)  # of what is not remembered nothing is kept
    assert not cache._made
    reader.close()
