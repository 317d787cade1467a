"""Making a home: keys, the first revision, and the first admin token."""

from __future__ import annotations

from engine.access.caller import Principal, operator
from engine.bundling.archive import Built
from engine.bundling.build import build
from engine.bundling.build import check as check_rules
from engine.bundling.errors import Finding, Invalid
from engine.bundling.source import Source, read_source
from engine.bundling.store import BundleStore
from engine.content.check import structure
from engine.content.library import Library
from engine.entries.tokens import Tokens
from engine.entries.writer import Once, Writer
from engine.errors import SetupError
from engine.home import Home
from engine.opa.binary import OpaBinary
from engine.runtime import DEFAULT_TENANT, Runtime
from engine.settings import Settings

ADMIN_TOKEN_LIFE = "P90D"  # noqa: S105 - a duration


def configured(settings: Settings) -> Source:
    """The source that is configured, with whatever mistakes it has."""
    if settings.overlay is not None and not settings.overlay.is_dir():
        raise SetupError(f"MUSTER_OVERLAY: {settings.overlay} is not a folder")
    return read_source(settings.bundle, settings.overlay)


def check_configured(settings: Settings, opa: OpaBinary) -> list[Finding]:
    """Every mistake by which what is configured could not decide, or could not be taught."""
    source = configured(settings)
    return sorted({*check_rules(settings.policies, source, opa), *structure(source)})


def build_and_store(settings: Settings, home: Home, opa: OpaBinary) -> Built:
    """Check and build what is configured; keep it, its OPA and its content in the home."""
    source = configured(settings)
    built = build(settings.policies, source, opa, home.bundle_key)
    findings = structure(source)
    if findings:
        raise Invalid(findings)
    Library(home.content).put(source)
    store = BundleStore(home.bundles)
    store.put_opa(opa)
    store.put(built)
    return built


async def make_home(settings: Settings, opa: OpaBinary) -> tuple[str, str]:
    """Make a home and activate what is configured; returns the first admin token, and the revision.

    Nothing counts as made before the first revision decides: the home's version is written last of all files, and a
    start that was broken off is begun again.
    """
    home = Home(settings.home)
    home.create()
    revision = build_and_store(settings, home, opa).revision
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
