"""Keys in the background: kept fresh, kept over an outage to a stated age, and never waited for."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import pytest

from engine.access.discovery import Fetched, Way
from engine.access.issuers import Issuer
from engine.access.jwks import KeySet
from engine.access.jwks import read as read_keys
from engine.access.jwt import Verified
from engine.access.keysets import KeySets, NoKeys, Pace
from engine.access.users import Users
from tests.access.pinned import NOW, claims, pinned
from tests.access.provider import Provider, after
from tests.access.signing import key, key_set
from tests.access.waiting import until

QUICK = Pace(shortest=0.05, usual=0.05, longest=0.1, woken=0.1, first_failure=0.05, most_failures=0.1)
STILL = Pace(woken=0.3)
"""As in service, but for what an unknown key may wake."""
ONE, TWO = key("one", "RS256"), key("two", "RS256")


def at(provider: Provider, **more: Any) -> Issuer:
    """The provider, pinned."""
    return pinned(issuer=provider.issuer, **more)


def kids(sets: KeySets, issuer: Issuer, tenant: str = "default") -> list[str | None]:
    """The names of the keys that there are."""
    keys = sets.keys(tenant, issuer)
    return [each.kid for each in keys.keys] if isinstance(keys, KeySet) else []


def test_keys_are_fetched_in_the_background(way: Way, provider: Provider) -> None:
    """Before the first fetch there are none, which is "could not decide"; after it there are."""

    async def run() -> None:
        issuer = at(provider)
        async with KeySets(way) as sets:
            assert sets.keys("default", issuer) == NoKeys("company", "issuer company is not followed (yet)")
            sets.follow({"default": [issuer]})
            assert isinstance(sets.keys("default", issuer), NoKeys)
            assert await sets.first(5.0) == ()
            assert kids(sets, issuer) == ["one"]
            (told,) = sets.described("default")
            assert isinstance(told, dict)
            assert (told["keys"], told["fetches"], told["error"], told["failures"]) == (1, 1, None, 0)
            assert told["issuers"] == ["company"]
        assert isinstance(sets.keys("default", issuer), NoKeys)

    asyncio.run(run())


def test_each_tenant_has_its_own(way: Way, provider: Provider) -> None:
    """What one follows is not there for another, in keys or in words."""

    async def run() -> None:
        issuer = at(provider)
        async with KeySets(way) as sets:
            sets.follow({"a": [issuer]})
            await sets.first(5.0)
            assert kids(sets, issuer, "a") == ["one"]
            assert isinstance(sets.keys("b", issuer), NoKeys)
            assert sets.described("b") == []

    asyncio.run(run())


def test_issuers_come_and_go_with_an_activation(way: Way, provider: Provider) -> None:
    """One that stays keeps its keys without another fetch, also where its audience changes; who goes is not asked."""

    async def run() -> None:
        issuer, other = at(provider), at(provider, audience=["other"])
        async with KeySets(way, pace=QUICK) as sets:
            sets.follow({"default": [issuer]})
            await sets.first(5.0)
            keys = sets.keys("default", issuer)
            sets.follow({"default": [other]})
            assert sets.keys("default", other) is keys
            sets.follow({})
            assert isinstance(sets.keys("default", other), NoKeys)
            await asyncio.sleep(0)
            asked = len(provider.asked)
            await asyncio.sleep(0.3)
            assert len(provider.asked) <= asked + 2  # what was on its way
            sets.follow({"default": [issuer]})
            assert await sets.first(5.0) == ()

    asyncio.run(run())


def test_a_key_that_is_new_is_found(way: Way, provider: Provider) -> None:
    """The first token under it is refused at once, and wakes the fetch; soon it is verified, the old key gone."""

    async def run() -> None:
        issuer = at(provider)
        async with KeySets(way, pace=STILL) as sets:
            users = Users(sets)
            sets.follow({"default": [issuer]})
            await sets.first(5.0)
            tokens = [each.token(claims(iss=issuer.url)) for each in (ONE, TWO)]

            def ask(token: str) -> str:
                result = users.verify("default", [issuer], token, NOW)
                return "verified" if isinstance(result, Verified) else getattr(result, "code", "no keys")

            assert [ask(each) for each in tokens] == ["verified", "unknown_key"]
            provider.keys = [TWO]
            await until(lambda: ask(tokens[1]) == "verified")
            assert ask(tokens[0]) == "unknown_key", "also where it was remembered"

    asyncio.run(run())


@pytest.mark.alone
def test_a_flood_of_unknown_keys_costs_one_fetch(way: Way, provider: Provider) -> None:
    """10,000 tokens while the provider is slow: a good token waits for none of them, and few fetches are made."""

    async def run() -> None:
        issuer = at(provider)
        async with KeySets(way, pace=STILL) as sets:
            users = Users(sets, most=0)
            sets.follow({"default": [issuer]})
            await sets.first(5.0)
            provider.certs(after(1.0, key_set(ONE)))
            good = ONE.token(claims(iss=issuer.url))
            forged = [key("x", "ES256").token(claims(iss=issuer.url), kid=f"made-up-{n}") for n in range(100)]
            fetches, began, took = provider.fetches, time.monotonic(), list[float]()
            for n in range(10_000):
                assert getattr(users.verify("default", [issuer], forged[n % 100], NOW), "code", "") == "unknown_key"
                if n % 100 == 0:
                    await asyncio.sleep(0)  # the task gets its turn
                    asked = time.perf_counter()
                    assert isinstance(users.verify("default", [issuer], good, NOW), Verified)
                    took.append(time.perf_counter() - asked)
            await until(lambda: provider.fetches > fetches)
            assert provider.fetches - fetches <= 1 + (time.monotonic() - began) / STILL.woken
            assert statistics.median(took) < 0.005
            assert max(took) < 0.5, "it waited for the provider, whose answer takes a second"

    asyncio.run(run())


def test_an_unknown_key_wakes_at_most_once_in_ten_seconds(way: Way, provider: Provider) -> None:
    """As it is in service: also where every fetch fails."""
    assert Pace().woken == 10.0

    async def run() -> None:
        issuer = at(provider)
        async with KeySets(way, pace=Pace(first_failure=60)) as sets:
            sets.follow({"default": [issuer]})
            await sets.first(5.0)
            provider.certs(lambda h: h.answer(b"", 500))
            for _ in range(50):
                sets.wake("default", issuer)
                await asyncio.sleep(0.01)
            assert provider.fetches == 1

    asyncio.run(run())


def test_the_last_good_set_is_kept_over_an_outage(way: Way, provider: Provider) -> None:
    """Until it is as old as the issuer's `max_age_hours`; then nobody can be verified, until there are keys again."""

    async def run() -> None:
        now = [1000.0]
        issuer = at(provider, max_age_hours=2)
        async with KeySets(way, pace=QUICK, clock=lambda: now[0]) as sets:
            sets.follow({"default": [issuer]})
            await sets.first(5.0)
            provider.certs(lambda h: h.answer(b"<html>", 502))
            await until(lambda: failures(sets) > 2)
            assert kids(sets, issuer) == ["one"]
            (told,) = sets.described("default")
            assert isinstance(told, dict)
            assert told["error"] == "its key set is answered with 502"
            now[0] += 7200
            assert kids(sets, issuer) == ["one"]
            now[0] += 1
            gone = sets.keys("default", issuer)
            assert isinstance(gone, NoKeys)
            assert "more than 2 h ago" in gone.detail
            provider.certs(lambda h: h.answer(key_set(TWO)))
            await until(lambda: kids(sets, issuer) == ["two"])
            assert failures(sets) == 0

    asyncio.run(run())


def failures(sets: KeySets) -> int:
    """How often in a row the only source has failed."""
    (told,) = sets.described("default")
    assert isinstance(told, dict)
    assert isinstance(told["failures"], int)
    return told["failures"]


def test_what_is_not_believed_changes_nothing_and_a_withdrawal_does(way: Way, provider: Provider) -> None:
    """Two keys of one name are kept out; an empty set takes effect, and is nobody's fault who asks."""

    async def run() -> None:
        issuer = at(provider)
        async with KeySets(way, pace=QUICK) as sets:
            sets.follow({"default": [issuer]})
            await sets.first(5.0)
            provider.keys = [ONE, TWO.jwk(kid="one")]
            await until(lambda: failures(sets) > 0)
            assert kids(sets, issuer) == ["one"]
            provider.keys = []
            await until(lambda: isinstance(sets.keys("default", issuer), NoKeys))
            gone = sets.keys("default", issuer)
            assert isinstance(gone, NoKeys)
            assert gone.detail == "issuer company publishes no key that can be used"
            (failure,) = await sets.first(1.0)
            assert "its key set is empty" in failure.detail

    asyncio.run(run())


def test_a_start_is_told_what_is_wrong(way: Way, provider: Provider) -> None:
    """Each failure names tenant, issuer and reason, and whether waiting can cure it; one does not hide another."""

    async def run() -> None:
        provider.says["issuer"] = "https://login.example.com"
        away = pinned("elsewhere", issuer="https://127.0.0.1:1")
        async with KeySets(way) as sets:
            sets.follow({"default": [at(provider)], "other": [away]})
            told = {failure.tenant: failure for failure in await sets.first(5.0)}
            assert told["default"].wrong
            assert "https://login.example.com" in str(told["default"])
            assert not told["other"].wrong
            assert str(told["other"]).startswith(
                "issuer elsewhere of tenant other (https://127.0.0.1:1): its discovery"
            )

    asyncio.run(run())


def test_a_start_waits_no_longer_than_it_is_told_to(way: Way, provider: Provider) -> None:
    """A provider that hangs is told as such, and its task goes on."""

    async def run() -> None:
        provider.certs(after(1.0, key_set(ONE)))
        issuer = at(provider)
        async with KeySets(way) as sets:
            sets.follow({"default": [issuer]})
            (failure,) = await sets.first(0.2)
            assert failure.detail == "it has not answered within 0.2 s"
            assert not failure.wrong
            await until(lambda: kids(sets, issuer) == ["one"])

    asyncio.run(run())


def test_a_task_that_ends_by_a_mistake_begins_again(
    way: Way, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """And is told in the log."""

    class Broken(Way):
        """Fails once as no way should."""

        left = 1

        async def keys(self, issuer: str, pinned: str | None) -> Fetched:
            """Raise, then do as it should."""
            if self.left:
                self.left -= 1
                raise ZeroDivisionError
            return await way.keys(issuer, pinned)

    async def run() -> None:
        issuer = at(provider)
        async with KeySets(Broken(), pace=QUICK) as sets:
            sets.follow({"default": [issuer]})
            await until(lambda: kids(sets, issuer) == ["one"])

    asyncio.run(run())
    assert "ended, and begins again" in caplog.text


def test_the_pace() -> None:
    """What an issuer says counts between a minute and an hour; failures double their pause up to a minute."""
    pace, keys = Pace(), read_keys(key_set(ONE))
    for said, least, most in [(None, 270, 300), (0, 54, 60), (600, 540, 600), (10**9, 3240, 3600)]:
        for _ in range(50):
            assert least <= pace.after(Fetched(keys, said)) <= most
    for failed, most in [(1, 1), (2, 2), (5, 16), (7, 60), (10_000, 60)]:
        for _ in range(50):
            assert most / 2 <= pace.backoff(failed) <= most
