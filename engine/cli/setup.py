"""Making a home: keys, the first revision, and the first admin token."""

from __future__ import annotations

from engine.access.caller import Principal, operator
from engine.bundling.build import build
from engine.bundling.store import BundleStore
from engine.entries.tokens import Tokens
from engine.entries.writer import Once, Writer
from engine.home import Home
from engine.opa.binary import OpaBinary
from engine.runtime import DEFAULT_TENANT, Runtime
from engine.settings import Settings

ADMIN_TOKEN_LIFE = "P90D"  # noqa: S105 - a duration


def build_and_store(settings: Settings, home: Home, opa: OpaBinary) -> str:
    """Check and build what is configured, keep it and its OPA in the store; returns the revision."""
    built = build(settings.policies, settings.bundle, opa, home.bundle_key)
    store = BundleStore(home.bundles)
    store.put_opa(opa)
    store.put(built)
    return built.revision


async def make_home(settings: Settings, opa: OpaBinary) -> tuple[str, str]:
    """Make a home and activate what is configured; returns the first admin token, and the revision.

    Nothing counts as made before the first revision decides: the home's version is written last of all files, and a
    start that was broken off is begun again.
    """
    home = Home(settings.home)
    home.create()
    revision = build_and_store(settings, home, opa)
    async with Runtime(settings=settings, home=home, opa=opa, making=True) as runtime:
        caller = operator(DEFAULT_TENANT)
        await runtime.activate(DEFAULT_TENANT, revision, caller, "the first revision of this home")
        secret, _ = await Tokens(Writer(runtime)).create(
            "admin",
            Principal(type="system", id="first-admin"),
            ADMIN_TOKEN_LIFE,
            Once.of(caller, None, "init"),
        )
        home.finish()
    return secret.text, revision
