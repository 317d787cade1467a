"""The memory of leases: bounded, fair, and never behind what it was told."""

from __future__ import annotations

import random

from engine.decide.leases import Lease, Leases
from ledger.model import Changed, Person

NOW = "2026-11-26T12:00:00.000Z"
TENANT = "default"


def lease(
    key: str,
    *,
    owner: str = "system:a",
    reads: tuple[str, ...] = ("person/1",),
    until: str | None = None,
    size: int = 100,
) -> Lease:
    """A lease of about `size` and two thousand bytes."""
    return Lease(
        key=key,
        tenant=TENANT,
        revision="r1",
        first=f"id-{key}",
        since=NOW,
        until=until,
        reads=tuple((name, 1) for name in reads),
        about=Person("user", "1"),
        action="act",
        result={},
        rendered=b"x" * size,
        owner=owner,
    )


def test_it_holds_from_its_first_instant_to_the_last_before_its_end() -> None:
    """`since <= now < until`, for the revision that it was made under."""
    leases = Leases()
    leases.grant(lease("k", until="2026-11-26T13:00:00.000Z"))
    assert leases.by_key("k", "r1", "2026-11-26T11:59:59.999Z") is None  # a clock that was set back
    assert leases.by_key("k", "r1", NOW) is not None
    assert leases.by_key("k", "r2", NOW) is None
    assert leases.by_key("k", "r1", "2026-11-26T12:59:59.999Z") is not None
    assert leases.by_key("k", "r1", "2026-11-26T13:00:00.000Z") is None
    assert len(leases) == leases.bytes == 0


def test_a_change_drops_what_leans_on_it_and_nothing_else() -> None:
    """By object, and by revision; in the tenant that it is about."""
    leases = Leases()
    for key, reads in (("a", ("person/1",)), ("b", ("person/1", "approval/2")), ("c", ("person/3",))):
        leases.grant(lease(key, reads=reads))
    leases.moved(Changed(tenant="other", objects=frozenset({"person/1"}), revision="r2"))
    assert len(leases) == 3
    leases.moved(Changed(tenant=TENANT, objects=frozenset({"approval/2"}), revision=None))
    assert {key for key in "abc" if leases.by_key(key, "r1", NOW)} == {"a", "c"}
    leases.moved(Changed(tenant=TENANT, objects=frozenset({"person/1"}), revision=None))
    assert {key for key in "abc" if leases.by_key(key, "r1", NOW)} == {"c"}
    leases.moved(Changed(tenant=TENANT, objects=frozenset(), revision="r2"))
    assert len(leases) == leases.bytes == 0


def test_a_body_leads_to_its_lease_as_long_as_there_is_one() -> None:
    """And names what was dropped of it; another tenant's same body leads nowhere."""
    leases = Leases()
    granted = lease("k")
    leases.grant(granted)
    leases.remember(granted, b"body", ("/context/x",))
    assert leases.by_body(TENANT, b"body", "r1", NOW) == (granted, ("/context/x",))
    assert leases.by_body("other", b"body", "r1", NOW) is None
    leases.drop(granted)
    assert leases.by_body(TENANT, b"body", "r1", NOW) is None
    leases.remember(granted, b"late", ())
    assert leases.by_body(TENANT, b"late", "r1", NOW) is None
    assert leases.bytes == 0


def test_bodies_are_few_and_short() -> None:
    """One question in a thousand spellings takes no more room than four."""
    leases = Leases()
    granted = lease("k")
    leases.grant(granted)
    for number in range(1000):
        leases.remember(granted, b"%d" % number, ())
    leases.remember(granted, b"x" * 100_000, ())
    assert len(granted.bodies) == 4
    assert leases.bytes < 10_000


def test_a_stream_of_questions_asked_once_leaves_the_others() -> None:
    """Of one caller: what is asked again and again stays."""
    leases = Leases(most=200_000)
    for number in range(20):
        leases.grant(lease(f"hot{number}"))
        assert leases.by_key(f"hot{number}", "r1", NOW)
    for number in range(5000):
        leases.grant(lease(f"cold{number}"))
    assert all(leases.by_key(f"hot{number}", "r1", NOW) for number in range(20))
    assert leases.bytes <= 200_000


def test_nobody_pushes_out_anybody_elses() -> None:
    """A caller who asks ever more gives up their own, used ones too."""
    leases = Leases(most=200_000)
    for number in range(20):
        leases.grant(lease(f"small{number}", owner="system:small"))
    for number in range(5000):
        leases.grant(lease(f"big{number}", owner="system:big"))
        leases.by_key(f"big{number}", "r1", NOW)
    assert all(leases.by_key(f"small{number}", "r1", NOW) for number in range(20))


def test_new_questions_come_in_where_all_are_used() -> None:
    """The memory does not freeze on what was asked first."""
    leases = Leases(most=200_000)
    for number in range(200):
        leases.grant(lease(f"old{number}"))
        leases.by_key(f"old{number}", "r1", NOW)
    for _ in range(3):
        for number in range(10):
            if leases.by_key(f"new{number}", "r1", NOW) is None:
                leases.grant(lease(f"new{number}"))
    assert all(leases.by_key(f"new{number}", "r1", NOW) for number in range(10))


def test_many_callers_share_one_allowance() -> None:
    """Who comes as the thousandth is served, and who counts them stays small."""
    leases = Leases(most=500_000)
    for number in range(1000):
        leases.grant(lease(f"k{number}", owner=f"user:{number}"))
    assert len(leases._owners) <= 257
    assert leases.bytes <= 500_000
    assert leases.by_key("k999", "r1", NOW) is not None


def test_its_sums_are_those_of_what_it_holds() -> None:
    """Whatever happens in whatever order: bytes, owners, bodies and leanings are of the leases that are there."""
    chance = random.Random(3)
    leases = Leases(most=60_000)
    held: list[Lease] = []
    for step in range(5000):
        what = chance.random()
        if what < 0.5:
            made = lease(
                f"k{chance.randrange(60)}",
                owner=f"o{chance.randrange(4)}",
                reads=(f"person/{chance.randrange(9)}",),
                size=chance.randrange(900),
            )
            leases.grant(made)
            held.append(made)
        elif what < 0.7:
            leases.by_key(f"k{chance.randrange(60)}", "r1", NOW)
        elif what < 0.85 and held:
            leases.remember(chance.choice(held[-40:]), b"%d" % chance.randrange(200), ())
        elif what < 0.95:
            objects = frozenset({f"person/{chance.randrange(9)}"})
            leases.moved(Changed(tenant=TENANT, objects=objects, revision=None))
        elif held:
            leases.drop(held.pop(chance.randrange(len(held))))
        alive = list(leases._leases.values())
        assert all(each.alive for each in alive)
        assert leases.bytes == sum(Leases._whole(each) for each in alive) <= 60_000, step
        assert sum(owner.bytes for owner in leases._owners.values()) == leases.bytes
        for owner in leases._owners.values():
            assert owner.protected == sum(Leases._whole(each) for each in owner.used.values())
        assert {body for _, body in leases._bodies} == {body for each in alive for body in each.bodies}
        assert sum(map(len, leases._leaning.values())) == sum(len(each.reads) for each in alive)
