"""One way in: the issuer is chosen among the pinned ones, and what was verified is remembered as long as it is true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from engine.access.discovery import Way
from engine.access.jwt import Refused, Verified
from engine.access.keysets import KeySets, NoKeys, Pace
from engine.access.users import Users
from tests.access.pinned import NOW, claims, pinned
from tests.access.provider import Provider
from tests.access.signing import key, key_set
from tests.access.waiting import until

ONE, TWO = key("one", "RS256"), key("two", "ES256")


def served(way: Way, provider: Provider, act: Callable[[Users, KeySets], Awaitable[None]], most: int = 4096) -> None:
    """Run with the provider followed for tenant `default`."""

    async def run() -> None:
        async with KeySets(way, pace=Pace(woken=0.05)) as sets:
            sets.follow({"default": [pinned(issuer=provider.issuer)]})
            assert await sets.first(5.0) == ()
            await act(Users(sets, most=most), sets)

    asyncio.run(run())


def fetched_at(sets: KeySets) -> object:
    """When the keys of the only source were fetched last."""
    (told,) = sets.described("default")
    assert isinstance(told, dict)
    return told["fetched_at"]


def test_the_issuer_is_one_of_the_profiles(way: Way, provider: Provider) -> None:
    """A token of a pinned issuer that the profile does not take is refused, and so is one of nobody's."""

    async def act(users: Users, _: KeySets) -> None:
        issuer = pinned(issuer=provider.issuer)
        token = ONE.token(claims(iss=issuer.url))
        assert isinstance(users.verify("default", [pinned(), issuer], token, NOW), Verified)
        refused = users.verify("default", [pinned()], token, NOW)
        assert isinstance(refused, Refused)
        assert refused.code == "issuer"
        assert isinstance(users.verify("default", [], token, NOW), Refused)

    served(way, provider, act)


def test_another_tenant_cannot_use_a_remembered_token(way: Way, provider: Provider) -> None:
    """It has no keys of that issuer, whatever was verified next door."""

    async def act(users: Users, _: KeySets) -> None:
        issuer = pinned(issuer=provider.issuer)
        token = ONE.token(claims(iss=issuer.url))
        assert isinstance(users.verify("default", [issuer], token, NOW), Verified)
        assert isinstance(users.verify("other", [issuer], token, NOW), NoKeys)

    served(way, provider, act)


def test_what_is_remembered_is_the_same_answer(way: Way, provider: Provider) -> None:
    """The very object, as long as it holds; after its end, or before its beginning, it is refused."""

    async def act(users: Users, _: KeySets) -> None:
        issuer = pinned(issuer=provider.issuer)
        token = ONE.token(claims(iss=issuer.url))
        first = users.verify("default", [issuer], token, NOW)
        assert isinstance(first, Verified)
        assert users.verify("default", [issuer], token, NOW + 1) is first
        assert users.verify("default", [issuer], token, first.until_ms - 1) is first
        for now, code in [(first.until_ms, "expired"), (first.from_ms - 1, "not_yet")]:
            users.verify("default", [issuer], token, NOW)
            refused = users.verify("default", [issuer], token, now)
            assert isinstance(refused, Refused)
            assert refused.code == code

    served(way, provider, act)


def test_an_issuer_that_is_pinned_otherwise_is_asked_anew(way: Way, provider: Provider) -> None:
    """A new revision's audience or algorithm counts for a token that the last one took."""

    async def act(users: Users, _: KeySets) -> None:
        token = ONE.token(claims(iss=provider.issuer))
        cases: list[tuple[dict[str, Any], str | None]] = [
            ({}, None),
            ({"audience": ["other"]}, "audience"),
            ({"algorithms": ["ES256"]}, "algorithm"),
        ]
        for more, code in cases:
            result = users.verify("default", [pinned(issuer=provider.issuer, **more)], token, NOW)
            assert (result.code if isinstance(result, Refused) else None) == code

    served(way, provider, act)


def test_a_key_that_is_withdrawn_ends_what_was_remembered(way: Way, provider: Provider) -> None:
    """As soon as the set without it is there."""

    async def act(users: Users, sets: KeySets) -> None:
        issuer = pinned(issuer=provider.issuer)
        token = ONE.token(claims(iss=issuer.url))
        assert isinstance(users.verify("default", [issuer], token, NOW), Verified)
        provider.keys = [TWO]
        sets.wake("default", issuer)
        await until(lambda: not isinstance(users.verify("default", [issuer], token, NOW), Verified))
        result = users.verify("default", [issuer], token, NOW)
        assert isinstance(result, Refused)
        assert result.code == "unknown_key"

    served(way, provider, act)


def test_a_fetch_that_changes_nothing_keeps_what_is_remembered(way: Way, provider: Provider) -> None:
    """The same keys in another order are the same keys."""
    provider.keys = [ONE, TWO]

    async def act(users: Users, sets: KeySets) -> None:
        issuer = pinned(issuer=provider.issuer)
        token = ONE.token(claims(iss=issuer.url))
        first = users.verify("default", [issuer], token, NOW)
        before = fetched_at(sets)
        provider.certs(lambda h: h.answer(key_set(TWO, ONE)))
        sets.wake("default", issuer)
        await until(lambda: fetched_at(sets) != before)
        assert users.verify("default", [issuer], token, NOW) is first

    served(way, provider, act)


def test_the_memory_is_bounded_and_takes_good_tokens_only(way: Way, provider: Provider) -> None:
    """The one that was not asked about for longest goes; what is refused was never in it."""

    async def act(users: Users, _: KeySets) -> None:
        issuer = pinned(issuer=provider.issuer)
        tokens = [ONE.token(claims(iss=issuer.url, jti=f"t-{n}")) for n in range(4)]
        first = [users.verify("default", [issuer], each, NOW) for each in tokens[:3]]
        assert users.verify("default", [issuer], tokens[0], NOW) is first[0]
        for n in range(50):
            bad = ONE.token(claims(iss=issuer.url, exp=n))
            assert isinstance(users.verify("default", [issuer], bad, NOW), Refused)
        assert users.verify("default", [issuer], tokens[2], NOW) is first[2]
        users.verify("default", [issuer], tokens[3], NOW)
        assert users.verify("default", [issuer], tokens[0], NOW) is first[0]
        assert users.verify("default", [issuer], tokens[1], NOW) is not first[1]
        assert len(users._memory) == 3

    served(way, provider, act, most=3)


def test_without_a_memory_each_ask_is_verified(way: Way, provider: Provider) -> None:
    """And says the same."""

    async def act(users: Users, _: KeySets) -> None:
        issuer = pinned(issuer=provider.issuer)
        token = ONE.token(claims(iss=issuer.url))
        first, again = (users.verify("default", [issuer], token, NOW) for _ in range(2))
        assert first == again
        assert first is not again

    served(way, provider, act, most=0)
