"""A folder of modules that are broken on purpose: every fault is named at its file and line, with what to do."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from engine.opa.binary import OpaBinary
from tests.content.good import COURSE_FILES, LESSON_FILES, SCENARIO_FILES, write
from tests.service.running import MUSTER, ROOT, environment

BREAKS: dict[str, tuple[str, str, str, str, str]] = {
    # name: (kind of module, file, what stands there, what it becomes, what is said of it)
    "owner-missing": ("lesson", "module.yaml", "owner: security-training\n", "", "Field required"),
    "key-unknown": ("lesson", "module.yaml", "minutes: 5", "minuets: 5\nminutes: 5", "did you mean minutes?"),
    "policy-unknown": ("lesson", "quiz.yaml", "policy: POL-DA-003", "policy: POL-DA-004", "POL-DA-004 is no policy"),
    "outcome-unknown": ("lesson", "quiz.yaml", "outcome: dest", "outcome: dust", "dust is no outcome"),
    "outcome-untested": ("lesson", "module.yaml", "  recall: Starts a recall",
                         "  recall: Starts a recall\n  third: Is never asked", "tested by no item"),
    "slide-unknown": ("lesson", "quiz.yaml", "slide: wrong", "slide: wring", "wring is no slide"),
    "too-long": ("lesson", "module.yaml", "minutes: 5", "minutes: 9", "takes 2 to 5 minutes, not 9"),
    "too-much-to-read": ("lesson", "lesson.md", "To an allowlisted", "word " * 900 + "To an allowlisted", "not 5"),
    "pass-mark-low": ("lesson", "module.yaml", "pass_mark: 80", "pass_mark: 50", "50 % is not enough"),
    "draw-too-many": ("lesson", "module.yaml", "draw: 3", "draw: 9", "draws 9 of a pool of 4"),
    "no-quiz-rules": ("lesson", "module.yaml", "quiz: {draw: 3, pass_mark: 80, cooldown: [PT0S, PT10M], "
                      "reopen_lesson: true, time_limit: null}\n", "", "says how many items are drawn"),
    "telemetry-missing": ("lesson", "module.yaml", "telemetry: [impression, completion, score, expiry]\n",
                          "telemetry: []\n", "says nothing of its telemetry"),
    "right-unknown": ("lesson", "keys.yaml", "right: [b]", "right: [z]", "z is no option"),
    "two-rights": ("lesson", "keys.yaml", "right: [b]", "right: [a, b]", "names 2 options where one"),
    "reason-missing": ("lesson", "keys.yaml", 'say: {a: "Why a.", b: "Why b.", c: "Why c."}',
                       'say: {a: "Why a.", b: "Why b."}', "the option c is missing"),
    "key-missing": ("lesson", "keys.yaml", "  item-2:\n    right: [c]\n    say: {a: \"Why a.\", b: \"Why b.\", "
                    "c: \"Why c.\"}\n", "", "the item item-2 is missing"),
    "reference-unknown": ("lesson", "lesson.md", "[[RB-EXPORT-RECALL]]", "[[RB-EXPORT-RECAL]] [[RB-EXPORT-RECALL]]",
                          "no policy or runbook RB-EXPORT-RECAL"),
    "link-dead": ("lesson", "lesson.md", "https://example.org/guide", "guide.html", "leads nowhere"),
    "alt-missing": ("lesson", "lesson.md", "![A masked table]", "![]", "is not described"),
    "captions-missing": ("lesson", "lesson.md", " captions=media/clip.vtt", "", "has no captions"),
    "captions-broken": ("lesson", "media/clip.vtt", "WEBVTT", "no captions", "is not WebVTT"),
    "file-missing": ("lesson", "lesson.md", "poster=media/clip.png", "poster=media/clap.png", "no file media/clap.png"),
    "anchor-missing": ("lesson", "lesson.md", "# When it went wrong {#wrong}", "# When it went wrong",
                       "without its title and anchor"),
    "html": ("lesson", "lesson.md", "Start [[", "<b>Now</b>\nStart [[", "HTML inside a slide"),
    "pattern-broken": ("lesson", "walkthrough.yaml", 'kind: one, label: "Destination", options: {w: "Warehouse", '
                       'd: "Drive"}, accept: [w]', 'kind: text, label: "D", pattern: "(?=x"',
                       "is not a regular expression"),
    "column-nameless": ("lesson", "lesson.md", "Start [[", "| | Day |\n|---|---|\n| a | 1 |\n\nStart [[",
                        "a column without a name"),
    "german-item-missing": ("lesson", "i18n/de/quiz.yaml", "  item-3:\n", "  item-9:\n", "item-3 is not translated"),
    "german-slide-missing": ("lesson", "i18n/de/lesson.md", "{#wrong}", "{#falsch}", "has not the slides"),
    "german-option-missing": ("lesson", "i18n/de/walkthrough.yaml", ', d: "Laufwerk"', "", "d is not translated"),
    "stray-file": ("lesson", "quizz.yaml", "", "x: 1\n", "did you mean quiz.yaml?"),
    "accept-unknown": ("lesson", "walkthrough.yaml", "accept: [w]", "accept: [x]", "x is no option"),
    "target-unknown": ("scenario", "scenario.yaml", "to: three", "to: thre", "there is no state or end thre"),
    "loop": ("scenario", "scenario.yaml", '      a: {text: "Finish", to: done}',
             '      a: {text: "Finish", to: done}\n      c: {text: "Again", to: one}', "reached from itself"),
    "unreachable": ("scenario", "scenario.yaml", 'b: {text: "Give up", to: lost}', 'b: {text: "Give up", to: late}',
                    "is never reached"),
    "one-step": ("scenario", "scenario.yaml", 'a: {text: "Go on", to: two}',
                 'a: {text: "Go on", to: two}\n      c: {text: "Jump", to: done}', "can be passed in 1 steps"),
    "end-says-nothing-to-read": ("scenario", "scenario.yaml", 'late: {passed: false, say: "Late.", '
                                 "policy: POL-DA-003, read: {module: good, slide: wrong}}",
                                 'late: {passed: false, say: "Late."}', "names the policy and the slide"),
    "read-unknown": ("scenario", "scenario.yaml", "slide: wrong", "slide: rong", "rong is no slide of good"),
    "part-order": ("course", "course.yaml", "after: [read]", "after: [later]", "later is no part before this one"),
    "minutes-apart": ("course", "course.yaml", "minutes: 20", "minutes: 25", "add up to 35"),
    "slide-in-no-part": ("course", "course.yaml", "slides: [where, wrong]", "slides: [where]", "wrong is in no part"),
}  # fmt: skip
KINDS = {"lesson": LESSON_FILES, "scenario": SCENARIO_FILES, "course": COURSE_FILES}
AT_MODULE = {"file-missing": "lesson.md", "captions-broken": "lesson.md", "stray-file": "module.yaml",
             "minutes-apart": "module.yaml", "german-slide-missing": "i18n/de/lesson.md"}  # fmt: skip
"""Where a fault is told that is made in one file and seen from another."""


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory, opa_binary: OpaBinary) -> list[dict[str, Any]]:
    """What `muster content check --json` says of all broken modules at once."""
    source = tmp_path_factory.mktemp("broken") / "source"
    real = ROOT / "bundles" / "companyos"
    shutil.copytree(real, source)
    shutil.rmtree(source / "i18n", ignore_errors=True)
    for name, (kind, files) in {"good": ("", LESSON_FILES), "good-scenario": ("", SCENARIO_FILES),
                                "good-course": ("", COURSE_FILES)}.items():  # fmt: skip
        del kind
        write(source / "modules" / name, files)
    for name, (kind, file, old, new, _) in BREAKS.items():
        files = dict(KINDS[kind])
        text = files.get(file, "")
        assert isinstance(text, str)
        assert old in text, f"{name}: {old!r} does not stand in {file}"
        files[file] = text.replace(old, new, 1) if old else new
        write(source / "modules" / name, files)
    env = environment(tmp_path_factory.mktemp("no-home"), opa_binary.path, MUSTER_BUNDLE=str(source))
    done = subprocess.run(
        [MUSTER, "content", "check", "--json"], env=env, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 1, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def line_of(name: str) -> int:
    """The line on which the fault stands."""
    kind, file, old, new, _ = BREAKS[name]
    text = str(KINDS[kind].get(file, ""))
    start = text.index(old) if old else 0
    changed = text.replace(old, new, 1)
    offset = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    return changed.count("\n", 0, start + offset) + 1


@pytest.mark.parametrize("name", BREAKS)
def test_each_fault_is_named_at_its_line(findings: list[dict[str, Any]], name: str) -> None:
    """File, line, what is wrong, and what to do."""
    file, told = BREAKS[name][1], BREAKS[name][4]
    own = [f for f in findings if f["file"].startswith(f"modules/{name}/")]
    matching = [f for f in own if told in f"{f['message']} ({f['hint']})"]
    assert matching, own
    wanted = AT_MODULE.get(name, file)
    assert any(f["file"] == f"modules/{name}/{wanted}" for f in matching), matching
    if wanted == file and name not in WHOLE:
        lines = {f["line"] for f in matching}
        assert min(abs(line - line_of(name)) for line in lines) <= NEAR.get(name, 0), (lines, line_of(name))


WHOLE = {"owner-missing", "no-quiz-rules", "key-missing", "too-much-to-read", "one-step", "loop", "unreachable",
         "german-slide-missing", "german-item-missing", "slide-in-no-part"}  # fmt: skip
"""Faults of a whole file, or of something that is not there any more: told at the place they belong to."""
NEAR = {"outcome-untested": 1}
"""The fault is a line that was added after the one that changed."""


def test_good_modules_have_no_finding(findings: list[dict[str, Any]]) -> None:
    """What is not broken is not told of."""
    assert [f for f in findings if f["file"].startswith(("modules/good/", "modules/good-"))] == []


def test_there_are_thirty_and_more(findings: list[dict[str, Any]]) -> None:
    """Every broken module is named."""
    assert len(BREAKS) >= 30
    assert {f["file"].split("/")[1] for f in findings if f["file"].startswith("modules/")} >= set(BREAKS)


def test_no_fault_is_without_advice(findings: list[dict[str, Any]]) -> None:
    """Each finding of content says what to do, or its message does."""
    own = [f for f in findings if f["file"].startswith("modules/")]
    assert all(f["line"] >= 1 for f in own)
    silent = [
        f for f in own if not f["hint"] and not f["message"].startswith(("Field required", "an exercise", "a failed"))
    ]
    assert not silent
