"""A service, a browser, and a reader who watches what goes wrong on a page."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.service.conftest import new_service, service, template
from tests.service.running import Service

__all__ = ["new_service", "service", "template"]
_NUMBERS = itertools.count()
LOCALES = {"en": "en-GB", "de": "de-DE"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The machine's own Chromium. While it is driven no test of another file can start an event loop."""
    found = next((p for n in ("chromium", "google-chrome") if (p := shutil.which(n))), None)
    assert found is not None, "there is no Chromium: run tests/need.sh"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


class Reader:
    """A person at a browser. `faults` has what the console and the content policy complained of."""

    def __init__(self, service: Service, page: Page, user: str, locale: str) -> None:
        self.service, self.page, self.user, self.locale = service, page, user, locale
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda m: self.faults.append(m.text) if _complaint(m.type, m.text) else None)

    def go(self, path: str) -> None:
        """Open a page."""
        self.page.goto(self.service.url + path)

    def enter(self) -> None:
        """Come in by the link that the host's backend was given."""
        begun = self.service.call("app", "POST", "/v1/sessions", {"user": self.user})
        self.go(begun["href"])

    def check(self, *, colours: bool = True) -> None:
        """Axe finds nothing, the language is the reader's, nothing is wider than the window.

        Without `colours` in a third of the time: they are the style sheet's, so one page of each kind shows them all.
        """
        options = {"resultTypes": ["violations"], "rules": {"color-contrast": {"enabled": colours}}}
        violations = Axe().run(self.page, options=options).response["violations"]
        assert not violations, [self.page.url, *((v["id"], [n["html"] for n in v["nodes"]]) for v in violations)]
        assert self.page.get_attribute("html", "lang") == self.locale
        wide = self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert not wide, f"{self.page.url} scrolls sideways"
        assert self.page.locator("h1").count() == 1


def _complaint(kind: str, text: str) -> bool:
    return kind in ("error", "warning") and "Failed to load resource" not in text


@pytest.fixture
def reader(service: Service, browser: Browser) -> Iterator[Callable[..., Reader]]:
    """Makes readers, each a person of their own; in the end nobody's page had a fault."""
    made: list[Reader] = []

    def make(locale: str = "en", width: int = 1000, scheme: str = "light", **more: object) -> Reader:
        user = f"reader-{next(_NUMBERS)}"
        service.person(user, **more)
        context = browser.new_context(
            locale=LOCALES[locale],
            viewport={"width": width, "height": 800},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        made.append(Reader(service, context.new_page(), user, locale))
        return made[-1]

    yield make
    for one in made:
        one.page.context.close()
        assert one.faults == []
