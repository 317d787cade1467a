"""A source with small modules that have nothing wrong, to be broken one place at a time."""

from __future__ import annotations

from pathlib import Path

MODULE = """\
title: "A good lesson"
kind: micro_lesson
version: 1.0.0
minutes: 5
tier: completed
owner: security-training
policies: [POL-DA-003]
runbooks: [RB-EXPORT-RECALL]
scopes: []
tags: [one]
summary: "A summary."
objective: "An objective."
prerequisites: []
trigger: [export]
outcomes:
  dest: Chooses a destination
  recall: Starts a recall
quiz: {draw: 3, pass_mark: 80, cooldown: [PT0S, PT10M], reopen_lesson: true, time_limit: null}
telemetry: [impression, completion, score, expiry]
locales: {source: en, required: [en, de]}
"""

LESSON = """\
# Where it goes {#where}

To an allowlisted destination. [[POL-DA-003]]

![A masked table](media/clip.webm){poster=media/clip.png captions=media/clip.vtt transcript=media/clip.md}

---

# When it went wrong {#wrong}

Start [[RB-EXPORT-RECALL]]. See [the guide](https://example.org/guide).
"""

QUIZ = "items:\n" + "".join(
    f"""\
  item-{n}:
    policy: POL-DA-003
    outcome: {"dest" if n % 2 else "recall"}
    slide: {"where" if n % 2 else "wrong"}
    ask: "What do you do in case {n}?"
    options:
      a: "First way {"x" * (n % 4)}"
      b: "Second way {"x" * ((n + 1) % 4)}"
      c: "Third way {"x" * ((n + 2) % 4)}"
"""
    for n in range(1, 5)
)

KEYS = "quiz:\n" + "".join(
    f"""\
  item-{n}:
    right: [{"abc"[n % 3]}]
    say: {{a: "Why a.", b: "Why b.", c: "Why c."}}
"""
    for n in range(1, 5)
)

SIMULATION = """\
title: "A good scenario"
kind: simulation
version: 1.0.0
minutes: 10
tier: proficient
owner: security-training
policies: [POL-DA-003]
runbooks: []
scopes: []
tags: [two]
summary: "A summary."
objective: "An objective."
prerequisites: []
trigger: []
outcomes:
  notice: Notices what is wrong
telemetry: [completion, score]
locales: {source: en, required: [en]}
"""

SCENARIO = """\
start: one
states:
  one:
    outcome: notice
    say: "Something happens."
    choices:
      a: {text: "Go on", to: two}
      b: {text: "Give up", to: lost}
  two:
    outcome: notice
    say: "Something else happens."
    choices:
      a: {text: "Go on", to: three}
      b: {text: "Give up", to: late}
  three:
    outcome: notice
    say: "It goes on."
    choices:
      a: {text: "Finish", to: done}
      b: {text: "Give up", to: late}
ends:
  done: {passed: true, say: "Done."}
  lost: {passed: false, say: "Lost.", policy: POL-DA-003, read: {module: good, slide: where}}
  late: {passed: false, say: "Late.", policy: POL-DA-003, read: {module: good, slide: wrong}}
"""

WALKTHROUGH = """\
counts_as: practice
needs: {flag: export_v2, route: /exports/new}
steps:
  - id: pick
    target: {muster: export-destination, css: "#destination"}
    say: "Pick one."
    define: [POL-DA-003]
    until: {change: export-destination}
    missing: {wait: PT6S, then: stop, text: "Open it."}
    try: {kind: one, label: "Destination", options: {w: "Warehouse", d: "Drive"}, accept: [w], hint: "Not that."}
verify: {event: export.requested, has: [ticket], not: [secrets]}
"""

GERMAN = {
    "module.yaml": """\
title: "Eine gute Lektion"
summary: "Eine Zusammenfassung."
objective: "Ein Ziel."
prerequisites: []
outcomes:
  dest: Wählt ein Ziel
  recall: Startet einen Rückruf
""",
    "lesson.md": LESSON,
    "quiz.yaml": "items:\n"
    + "".join(
        f"""\
  item-{n}:
    ask: "Was tust du im Fall {n}?"
    options: {{a: "Weg {"x" * (n % 4)}", b: "Weg {"x" * ((n + 1) % 4)}", c: "Weg {"x" * ((n + 2) % 4)}"}}
"""
        for n in range(1, 5)
    ),
    "keys.yaml": "quiz:\n"
    + "".join(f'  item-{n}:\n    say: {{a: "Weil a.", b: "Weil b.", c: "Weil c."}}\n' for n in range(1, 5)),
    "walkthrough.yaml": """\
steps:
  pick: {say: "Wähle.", missing: "Öffne.", label: "Ziel", hint: "Nicht das.", options: {w: "Lager", d: "Laufwerk"}}
""",
}

LESSON_FILES: dict[str, str | bytes] = {
    "module.yaml": MODULE,
    "lesson.md": LESSON,
    "quiz.yaml": QUIZ,
    "keys.yaml": KEYS,
    "walkthrough.yaml": WALKTHROUGH,
    "media/clip.webm": b"\x1a\x45\xdf\xa3 and no more",
    "media/clip.png": b"\x89PNG\r\n\x1a\n and no more",
    "media/clip.vtt": "WEBVTT\n\n00:00.000 --> 00:05.000\nA masked table.\n",
    "media/clip.md": "A masked table is shown.\n",
    **{f"i18n/de/{name}": text for name, text in GERMAN.items()},
}
SCENARIO_FILES: dict[str, str | bytes] = {"module.yaml": SIMULATION, "scenario.yaml": SCENARIO}

COURSE_FILES: dict[str, str | bytes] = {
    "module.yaml": MODULE.replace("kind: micro_lesson", "kind: course")
    .replace("minutes: 5", "minutes: 30")
    .replace("required: [en, de]", "required: [en]"),
    "lesson.md": LESSON,
    "quiz.yaml": "".join(
        line + ("\n    part: check" if line.startswith("    slide") else "") + "\n" for line in QUIZ.splitlines()
    ),
    "keys.yaml": KEYS,
    "course.yaml": """\
parts:
  - {id: read, kind: lesson, title: "Read", minutes: 20, slides: [where, wrong]}
  - {id: check, kind: quiz, title: "Check", minutes: 10, draw: 3, after: [read]}
""",
    **{name: LESSON_FILES[name] for name in LESSON_FILES if name.startswith("media/")},
}


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    """Write a module's files."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
