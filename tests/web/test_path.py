"""The whole of the path, in a real Chromium: denied, failed, passed, still denied, the scenario, allowed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.demo import answers
from tests.learning.learner import LESSON, SCENARIO, fitting
from tests.web.conftest import Reader

LOOKS = [("en", 1000, "light"), ("de", 320, "dark")]
KEYS = answers.document(LESSON, "keys.yaml")["quiz"]


def items(reader: Reader) -> list[tuple[str, Locator]]:
    """The questions of a quiz: (item, its fieldset)."""
    found = reader.page.locator("form.quiz fieldset").all()
    return [(str(f.get_attribute("id")).removeprefix("item-"), f) for f in found]


def choices(reader: Reader, *, right: bool) -> dict[str, str]:
    """An option for each question: the right one, or for one question a wrong one."""
    chosen = {item: KEYS[item]["right"][0] for item, _ in items(reader)}
    if not right:
        item, fieldset = next((i, f) for i, f in items(reader) if not KEYS[i].get("critical"))
        values = [str(o.get_attribute("value")) for o in fieldset.locator("input").all()]
        chosen[item] = next(v for v in values if v != chosen[item])
    return chosen


@pytest.mark.parametrize(("locale", "width", "scheme"), LOOKS)
def test_by_mouse(reader: Callable[..., Reader], locale: str, width: int, scheme: str) -> None:
    """Every kind of page on the way is looked at by axe."""
    one = reader(locale, width, scheme)
    page, decide = one.page, one.service.decide
    assert not decide(one.user)["allow"]
    one.enter()
    one.check()
    page.locator("main button.main").click()
    expect(page).to_have_url(f"{one.service.url}/learn")
    one.check()
    one.go(f"/learn/modules/{LESSON}")
    one.check()
    page.locator("a.button.main").click()
    for _ in range(2):
        one.check()
        page.locator("a[rel=next]").click()
    one.check()
    page.locator("form:has(input[value=quiz]) button").click()
    one.check()

    page.locator("button.main").click()
    expect(page.locator("#summary")).to_be_focused()
    one.check()
    page.locator("#summary a").first.click()
    for item, option in choices(one, right=False).items():
        page.locator(f"#item-{item} input[value={option}]").check()
    expect(page.locator(".state")).not_to_be_empty()
    page.locator("button.main").click()
    expect(page.locator("h1")).to_contain_text("✕")
    one.check()
    assert page.locator("main li a[href*=slides]").count() == 1, "one slide to read again"
    assert not decide(one.user)["allow"]

    page.locator("main li a[href*=policies]").first.click()
    one.check()
    page.go_back()
    page.locator("form button.main").click()
    for item, option in choices(one, right=True).items():
        page.locator(f"#item-{item} input[value={option}]").check()
    page.locator("button.main").click()
    expect(page.locator("h1")).to_contain_text("✓")
    assert page.locator("section.why").count() == 4
    one.check()
    assert not decide(one.user)["allow"], "completed is not proficient"

    one.go(f"/learn/modules/{SCENARIO}")
    one.check()
    page.locator("form:has(input[value=scenario]) button").click()
    for _, choice in answers.way(SCENARIO):
        one.check()
        page.locator(f"input[name=answer][value={choice}]").check()
        page.locator("main button.main").click()
    expect(page.locator("h1")).to_contain_text("✓")
    one.check()
    assert decide(one.user)["allow"]

    page.locator("main ul a[href*=badges]").last.click()
    one.check()
    text = str(page.locator("pre").text_content())
    page.locator("main a[href='/badges/verify']").click()
    one.check()
    page.locator("textarea").fill(text)
    page.locator("button.main").click()
    expect(page.locator(".chip.valid")).to_be_visible()
    one.check()
    one.go("/learn")
    expect(page.locator(".chip.valid")).to_be_visible()
    one.check()
    page.locator("form[action='/learn/leave'] button").click()
    one.check()
    one.go("/learn")
    assert page.locator("nav a").count() == 0, "signed out"


def press_to(reader: Reader, target: Locator) -> None:
    """Tab until something has the focus."""
    handle = target.first
    for _ in range(200):
        if handle.evaluate("e => e === document.activeElement"):
            visible = handle.evaluate("e => getComputedStyle(e).outlineStyle !== 'none'")
            assert visible, "the focus can be seen"
            return
        reader.page.keyboard.press("Tab")
    raise AssertionError(f"{target} cannot be reached by keyboard")


def choose(reader: Reader, group: Locator, value: str) -> None:
    """Choose a radio button of a group: Tab to the group, arrows within it."""
    radios = group.locator("input[type=radio]")
    values = [str(r.get_attribute("value")) for r in radios.all()]
    checked = group.locator("input:checked")
    press_to(reader, checked if checked.count() else radios)
    reader.page.keyboard.press("Space")
    for _ in range(len(values)):
        if group.locator(f"input[value={value}]").is_checked():
            return
        reader.page.keyboard.press("ArrowDown")
    assert group.locator(f"input[value={value}]").is_checked()


def enter(reader: Reader, target: Locator) -> None:
    """Tab to a link or button, and press Enter."""
    press_to(reader, target)
    with reader.page.expect_navigation():
        reader.page.keyboard.press("Enter")


@pytest.mark.parametrize(("locale", "width", "scheme"), LOOKS)
def test_by_keyboard_alone(reader: Callable[..., Reader], locale: str, width: int, scheme: str) -> None:
    """Tab, arrows, Space and Enter, and nothing else, from the link to the allowed export."""
    one = reader(locale, width, scheme)
    page, decide = one.page, one.service.decide
    page.mouse.move(0, 0)
    one.enter()
    enter(one, page.locator("main button.main"))
    page.keyboard.press("Tab")
    expect(page.locator("a.skip")).to_be_focused()
    one.go(f"/learn/modules/{LESSON}")
    enter(one, page.locator("a.button.main"))
    enter(one, page.locator("a[rel=next]"))
    video = page.locator("video")
    press_to(one, video)
    enter(one, page.locator("a[rel=next]"))
    enter(one, page.locator("form:has(input[value=quiz]) button"))
    for right in (False, True):
        for item, option in choices(one, right=right).items():
            choose(one, page.locator(f"#item-{item}"), option)
        enter(one, page.locator("button.main"))
        expect(page.locator("h1")).to_contain_text("✓" if right else "✕")
        assert not decide(one.user)["allow"]
        if not right:
            enter(one, page.locator("form button.main"))
    one.go(f"/learn/modules/{SCENARIO}")
    enter(one, page.locator("form:has(input[value=scenario]) button"))
    for _, choice in answers.way(SCENARIO):
        choose(one, page.locator("main fieldset"), choice)
        enter(one, page.locator("main button.main"))
    expect(page.locator("h1")).to_contain_text("✓")
    assert decide(one.user)["allow"]


@pytest.mark.parametrize(("locale", "width", "scheme"), LOOKS)
def test_every_page_of_the_source(reader: Callable[..., Reader], locale: str, width: int, scheme: str) -> None:
    """Each module, slide, first question, policy and runbook, as their authors wrote them."""
    one = reader(locale, width, scheme)
    page = one.page
    one.enter()
    page.locator("main button.main").click()
    for name in sorted(p.name for p in (answers.source() / "modules").iterdir()):
        one.go(f"/learn/modules/{name}")
        one.check(colours=False)
        module = one.service.call("author", "GET", f"/v1/modules/{name}")
        read = {slide for part in module["parts"][1:] for slide in part["slides"] or ()}
        for slide in module["slides"]:
            if slide["id"] not in read:
                one.go(f"/learn/modules/{name}/slides/{slide['id']}")
                one.check(colours=False)
        for strand in module["strands"][:1]:
            one.go(f"/learn/modules/{name}")
            page.locator(f"form:has(input[value={strand['strand']}]) button").first.click()
            one.check(colours=False)
    for kind in ("policies", "runbooks"):
        for name in answers.listed(f"{kind}.yaml"):
            one.go(f"/learn/{kind}/{name}")
            one.check(colours=False)


def test_a_walkthrough_by_hand(reader: Callable[..., Reader]) -> None:
    """A wrong choice gets its hint, right ones lead to the end; a text is typed."""
    one = reader()
    page = one.page
    one.enter()
    page.locator("main button.main").click()
    one.go(f"/learn/modules/{LESSON}")
    page.locator("form:has(input[value=walkthrough]) button").click()
    for number, step in enumerate(answers.document(LESSON, "walkthrough.yaml")["steps"]):
        one.check()
        exercise = step["try"]
        if exercise["kind"] == "text":
            page.locator("input[name=answer]").fill(fitting(exercise["pattern"]))
        else:
            if number == 0:
                wrong = next(o for o in exercise["options"] if o not in exercise["accept"])
                page.locator(f"input[name=answer][value={wrong}]").check()
                page.locator("main button.main").click()
                expect(page.locator("[role=alert]")).to_contain_text(exercise["hint"][:20])
                one.check()
            for option in exercise["options"] if exercise["kind"] == "many" else exercise["accept"][:1]:
                page.locator(f"input[name=answer][value={option}]").set_checked(option in exercise["accept"])
        page.locator("main button.main").click()
    expect(page.locator("h1")).to_contain_text("✓")
    one.check()


def test_two_tabs_and_another_language_in_the_midst(reader: Callable[..., Reader]) -> None:
    """What was answered is kept in German, too; a second tab that is behind is told, and loses nothing."""
    one = reader()
    page = one.page
    one.enter()
    page.locator("main button.main").click()
    one.go(f"/learn/modules/{LESSON}")
    page.locator("form:has(input[value=quiz]) button").click()
    url = page.url
    behind = page.context.new_page()
    behind.goto(url)
    chosen = choices(one, right=True)
    for item, option in chosen.items():
        page.locator(f"#item-{item} input[value={option}]").check()
    expect(page.locator(".state")).to_have_text("Saved.")
    page.locator("button[name=locale]").click()
    assert page.get_attribute("html", "lang") == "de"
    for item, option in chosen.items():
        expect(page.locator(f"#item-{item} input[value={option}]")).to_be_checked()
    for item, option in chosen.items():
        behind.locator(f"#item-{item} input[value={option}]").check()
    behind.locator("button.main").click()
    expect(behind.locator("h1")).to_have_text("Anderswo geändert")
    page.reload()
    page.locator("button.main").click()
    expect(page.locator("h1")).to_contain_text("✓")


def test_without_javascript(reader: Callable[..., Reader]) -> None:
    """The whole quiz, with scripts turned off: saved for later, gone on with, handed in."""
    one = reader()
    browser = one.page.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False, locale="en-GB")
    page = context.new_page()
    begun = one.service.call("app", "POST", "/v1/sessions", {"user": one.user})
    page.goto(one.service.url + begun["href"])
    page.locator("main button.main").click()
    page.goto(f"{one.service.url}/learn/modules/{LESSON}")
    page.locator("form:has(input[value=quiz]) button").click()
    fieldsets = page.locator("form.quiz fieldset").all()
    names = [str(f.get_attribute("id")).removeprefix("item-") for f in fieldsets]
    page.locator(f"#item-{names[0]} input[value={KEYS[names[0]]['right'][0]}]").check()
    page.locator("button[name=then]").click()
    page.locator("#open ~ ul a").click()
    expect(page.locator(f"#item-{names[0]} input:checked")).to_have_count(1)
    for name in names[1:]:
        page.locator(f"#item-{name} input[value={KEYS[name]['right'][0]}]").check()
    page.locator("button.main").click()
    expect(page.locator("h1")).to_contain_text("✓")
    context.close()
