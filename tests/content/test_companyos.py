"""The source that comes with Muster: every line of the mission has its module, and each is worth taking."""

from __future__ import annotations

from typing import Any, cast

import pytest

from engine.bundling.source import Source, read_source
from engine.content import editorial, guessing, scenario
from engine.content.check import contents
from engine.content.models import Course, Keys, Quiz, Scenario, Walkthrough
from engine.content.module import Content
from tests.service.running import ROOT

COMPANYOS = ROOT / "bundles" / "companyos"
MISSION = {
    "engineers": ["secure-coding", "data-handling", "release-rollback", "feature-flags", "infra-changes"],
    "operations": ["incident-response", "change-management", "runbook-adherence", "escalation"],
    "security": ["vulnerability-triage", "identity-access", "audit-prep", "third-party-review"],
    "compliance-risk": ["policy-authorship", "control-testing", "evidence-collection", "auditor-liaison"],
    "partners": ["api-usage", "data-residency", "customer-isolation", "support-expectations"],
}
"""What the mission lists for each persona, as modules of its Core track."""


@pytest.fixture(scope="module")
def source() -> Source:
    """The source, read."""
    return read_source(COMPANYOS)


@pytest.fixture(scope="module")
def every(source: Source) -> dict[str, Content]:
    """Its modules."""
    return contents(source)


def test_nothing_is_found(source: Source) -> None:
    """Structure, length, captions, languages, keys that could be guessed: nothing."""
    assert [str(f) for f in (*source.findings, *editorial.check(source))] == []


@pytest.mark.parametrize("persona", MISSION)
def test_every_line_of_the_mission_is_a_module(every: dict[str, Content], source: Source, persona: str) -> None:
    """The Core track has each of them, with content in two languages."""
    track = cast(Any, source.names("tracks")[f"{persona}/core"])
    assert [m.module for m in track.modules] == MISSION[persona]
    for name in MISSION[persona]:
        assert every[name].locales == ("de", "en")
        assert every[name].model("quiz.yaml", Quiz) is not None


@pytest.mark.parametrize("persona", MISSION)
def test_each_advanced_track_has_a_simulation_of_its_own(
    every: dict[str, Content], source: Source, persona: str
) -> None:
    """At least three steps on the way, at least two wrong ends, proficient; and no other track has it."""
    tracks = {name: [m.module for m in cast(Any, track).modules] for name, track in source.names("tracks").items()}
    own = [m for m in tracks[f"{persona}/advanced"] if every[m].module.kind == "simulation"]
    assert own
    unshared = [m for m in own if sum(m in modules for modules in tracks.values()) == 1]
    assert unshared
    for name in own:
        graph = every[name].model("scenario.yaml", Scenario)
        assert graph is not None
        assert scenario.shortest(graph) >= 3
        assert sum(not end.passed for end in graph.ends.values()) >= 2
        assert every[name].module.tier == "proficient"


def test_all_five_content_types_are_there(every: dict[str, Content]) -> None:
    """Courses, micro-lessons, walkthroughs, quizzes, simulations."""
    kinds = {content.module.kind for content in every.values()}
    assert {"course", "micro_lesson", "simulation"} <= kinds
    assert any(content.model("walkthrough.yaml", Walkthrough) for content in every.values())
    assert any(content.model("quiz.yaml", Quiz) for content in every.values())


def test_the_course_is_a_course(every: dict[str, Content]) -> None:
    """30 to 60 minutes of lessons, a walkthrough and graded quizzes, in an order with prerequisites."""
    content = every["secure-coding"]
    course = content.model("course.yaml", Course)
    assert course is not None
    assert 30 <= content.module.minutes <= 60
    assert {p.kind for p in course.parts} == {"lesson", "quiz", "walkthrough"}
    assert all(p.after for p in course.parts[1:])


def test_the_data_export_lesson_is_the_missions(every: dict[str, Content]) -> None:
    """Title, tags, trigger, objective, prerequisites, three slides, a clip, four of a pool of eight, two policies."""
    content = every["secure-data-export"]
    module = content.module
    assert module.title == "Secure Data Export: Preventing Unauthorized Leakage"
    assert module.tags == ["data-export", "pii", "third-party-transfer"]
    assert len(module.trigger) >= 2
    assert module.objective
    assert module.prerequisites
    assert module.minutes <= 5
    for locale in ("en", "de"):
        words = content.words(locale)
        assert len(words.slides) == 3
        [clip] = [m for slide in words.slides for m in slide.media()]
        assert clip.path.endswith((".webm", ".mp4"))
        assert set(clip.more) == {"poster", "captions", "transcript"}
    quiz, keys = content.model("quiz.yaml", Quiz), content.model("keys.yaml", Keys)
    assert quiz is not None
    assert keys is not None
    assert module.quiz is not None
    assert len(quiz.items) >= 8
    assert (module.quiz.draw, module.quiz.pass_mark) == (4, 80)
    assert {i.policy for i in quiz.items.values()} == {"POL-DA-003", "POL-DATA-RES-002"}
    assert next(editorial.needs(content)).startswith("secure-data-export: quiz needs 4 of 4")
    walkthrough = content.model("walkthrough.yaml", Walkthrough)
    assert walkthrough is not None
    assert len(walkthrough.steps) >= 4


def test_the_check_of_keys_would_find_a_habit(every: dict[str, Content]) -> None:
    """The same pool with every right option made the longest: told."""
    content = every["secure-data-export"]
    quiz, keys = content.model("quiz.yaml", Quiz), content.model("keys.yaml", Keys)
    assert quiz is not None
    assert keys is not None
    items = {}
    for n in range(3):
        for name, item in quiz.items.items():
            longer = {o: t + " and more" * 20 if o in keys.quiz[name].right else t for o, t in item.options.items()}
            items[f"{name}-{n}"] = item.model_copy(update={"options": longer})
    twisted = Content("twisted", content.files, content.documents, dict(content.models), content.lessons, ("en",))
    twisted.models["quiz.yaml"] = quiz.model_copy(update={"items": items})
    twisted.models["keys.yaml"] = keys.model_copy(
        update={"quiz": {f"{i}-{n}": k for i, k in keys.quiz.items() for n in range(3)}}
    )
    [found] = [message for _, _, message in guessing.tells([twisted])]
    assert "the longest option is right in 24 of 24" in found
