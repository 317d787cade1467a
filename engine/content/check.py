"""Whether content holds together: what one file of a module says of another, of the source, and in each language.

`structure` is what has to hold before a revision may decide: nobody can take a quiz without keys, or a scenario that
leads nowhere. `engine.content.editorial` adds what has to hold before people should be asked to read it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from engine.bundling.errors import Finding
from engine.bundling.models import Strict
from engine.bundling.source import Source
from engine.bundling.validate import near
from engine.content import patterns, scenario
from engine.content.lesson import Slide
from engine.content.models import FILES, WORDS, Course, Keys, Quiz, Scenario, Walkthrough
from engine.content.module import LESSON, Content, read

NEEDS: Mapping[str, tuple[str, ...]] = {
    "course": ("course.yaml", LESSON, "quiz.yaml", "keys.yaml"),
    "micro_lesson": (LESSON, "quiz.yaml", "keys.yaml"),
    "quiz": ("quiz.yaml", "keys.yaml"),
    "simulation": ("scenario.yaml",),
    "walkthrough": ("walkthrough.yaml",),
}
"""The files that each kind of module has to have besides `module.yaml`."""


def contents(source: Source) -> dict[str, Content]:
    """The content of every module of a source whose `module.yaml` is in order."""
    return {name: read(name, files) for name, files in sorted(source.files.items()) if files}


def structure(source: Source) -> list[Finding]:
    """Every mistake by which a module could not be taken; sorted by place."""
    found = contents(source)
    for content in found.values():
        if not content.empty:
            _module(content, found, source)
    return findings(found)


def findings(found: Mapping[str, Content]) -> list[Finding]:
    """What was noted in the documents of all modules, sorted; `module.yaml` by itself is the source's affair."""
    return sorted({f for c in found.values() for d in c.documents.values() for f in d.findings})


def _module(content: Content, every: Mapping[str, Content], source: Source) -> None:
    module = content.module
    _files(content)
    quiz, keys = content.model("quiz.yaml", Quiz), content.model("keys.yaml", Keys)
    if quiz is not None:
        _quiz(content, quiz)
        if keys is not None:
            _keys(content, quiz, keys)
        if module.kind != "course":
            _draw(content, "module.yaml", ("quiz", "draw"), module.quiz.draw if module.quiz else None, len(quiz.items))
    course = content.model("course.yaml", Course)
    if course is not None:
        _course(content, course)
    graph = content.model("scenario.yaml", Scenario)
    if graph is not None:
        _scenario(content, graph, every)
    walkthrough = content.model("walkthrough.yaml", Walkthrough)
    if walkthrough is not None:
        _walkthrough(content, walkthrough, source)
    for slides, document in _lessons(content):
        _references(content, slides, document, source)
    _translations(content)


def _files(content: Content) -> None:
    about = content.documents["module.yaml"]
    for file in NEEDS[content.module.kind]:
        if file not in content.files:
            hint = "it may lie in the private overlay" if file in ("keys.yaml", "scenario.yaml") else "write it"
            about.note(1, "kind", f"a {content.module.kind} needs {file}", hint)
    known = {"module.yaml", LESSON, *FILES}
    for path in sorted(content.files):
        parts = path.split("/")
        if path in known or parts[0] == "media":
            continue
        if parts[0] == "i18n" and len(parts) == 3 and parts[2] in (*WORDS, LESSON):
            if parts[1] not in content.locales or parts[1] == content.module.locales.source:
                about.note(1, "locales", f"{path} is of no other language", "name the folder like: i18n/de")
            continue
        about.note(1, "", f"{path} is not a file of a module", near(path, known))


def _quiz(content: Content, quiz: Quiz) -> None:
    document, module = content.documents["quiz.yaml"], content.module
    anchors = {s.id for s in content.lessons.get(module.locales.source, ())}
    course = content.model("course.yaml", Course)
    parts = {p.id for p in course.parts if p.kind == "quiz"} if course else set()
    for name, item in quiz.items.items():
        place = ("items", name)
        _known(document, (*place, "policy"), item.policy, module.policies, "policy of this module")
        _known(document, (*place, "outcome"), item.outcome, module.outcomes, "outcome of this module")
        if LESSON in content.files:
            _known(document, (*place, "slide"), item.slide, anchors, "slide of this lesson")
        if course is not None and item.part is None:
            document.wrong(place, "says nothing of its part", f"part: one of {', '.join(sorted(parts))}")
        elif item.part is not None:
            _known(document, (*place, "part"), item.part, parts, "part of kind quiz in course.yaml")


def _keys(content: Content, quiz: Quiz, keys: Keys) -> None:
    document = content.documents["keys.yaml"]
    _same(document, ("quiz",), keys.quiz, quiz.items, "item")
    for name, key in keys.quiz.items():
        item = quiz.items.get(name)
        if item is None:
            continue
        for i, option in enumerate(key.right):
            _known(document, ("quiz", name, "right", i), option, item.options, "option of this item")
        if len(set(key.right)) != len(key.right):
            document.wrong(("quiz", name, "right"), "names an option twice", "keep one of them")
        if not item.many and len(key.right) != 1:
            hint = "give the item `many: true` in quiz.yaml, or one right option"
            document.wrong(("quiz", name, "right"), f"names {len(key.right)} options where one can be chosen", hint)
        _same(document, ("quiz", name, "say"), key.say, item.options, "option")


def _draw(content: Content, file: str, place: tuple[str | int, ...], draw: int | None, pool: int) -> None:
    document = content.documents[file]
    if draw is None:
        document.wrong(place[:1], "a quiz says how many items are drawn", "quiz: {draw: 4, pass_mark: 80}")
    elif draw > pool:
        document.wrong(place, f"draws {draw} of a pool of {pool}", "write more items, or draw fewer")


def _course(content: Content, course: Course) -> None:
    document = content.documents["course.yaml"]
    before: dict[str, str] = {}
    shown: set[str] = set()
    anchors = {s.id for s in content.lessons.get(content.module.locales.source, ())}
    for i, part in enumerate(course.parts):
        if part.id in before:
            document.wrong(("parts", i, "id"), f"{part.id} is a part already", "choose another ID")
        for j, earlier in enumerate(part.after):
            if earlier not in before:
                hint = near(earlier, before, "name a part that stands before this one")
                document.wrong(("parts", i, "after", j), f"{earlier} is no part before this one", hint)
        for j, anchor in enumerate(part.slides or ()):
            _known(document, ("parts", i, "slides", j), anchor, anchors, "slide of this lesson")
            if anchor in shown:
                document.wrong(("parts", i, "slides", j), f"{anchor} is shown by an earlier part", "show it once")
            shown.add(anchor)
        if part.kind == "quiz":
            quiz = content.model("quiz.yaml", Quiz)
            pool = [item for item in quiz.items.values() if item.part == part.id] if quiz else []
            if quiz is not None:
                _draw(content, "course.yaml", ("parts", i, "draw"), part.draw, len(pool))
        if part.kind == "walkthrough" and "walkthrough.yaml" not in content.files:
            document.wrong(("parts", i, "kind"), "there is no walkthrough.yaml", "write it")
        before[part.id] = part.kind
    for slide in sorted(anchors - shown):
        document.wrong(("parts",), f"the slide {slide} is in no part", "add it to the slides of one")
    if "quiz" not in before.values():
        document.wrong(("parts",), "no part is a quiz", "a course is graded by at least one")


def _scenario(content: Content, graph: Scenario, every: Mapping[str, Content]) -> None:
    document, module = content.documents["scenario.yaml"], content.module
    for place, message, hint in scenario.mistakes(graph):
        document.wrong(place, message, hint)
    for name, state in graph.states.items():
        _known(document, ("states", name, "outcome"), state.outcome, module.outcomes, "outcome of this module")
    for name, end in graph.ends.items():
        if end.policy is not None:
            _known(document, ("ends", name, "policy"), end.policy, module.policies, "policy of this module")
        if end.read is None:
            continue
        other = every.get(end.read.module)
        if other is None:
            _known(document, ("ends", name, "read", "module"), end.read.module, every, "module")
        else:
            anchors = {s.id for slides in other.lessons.values() for s in slides}
            _known(document, ("ends", name, "read", "slide"), end.read.slide, anchors, f"slide of {other.id}")


def _walkthrough(content: Content, walkthrough: Walkthrough, source: Source) -> None:
    document = content.documents["walkthrough.yaml"]
    names = [step.id for step in walkthrough.steps]
    for i, step in enumerate(walkthrough.steps):
        if step.id in names[:i]:
            document.wrong(("steps", i, "id"), f"{step.id} is a step already", "choose another ID")
        for j, policy in enumerate(step.define):
            _known(document, ("steps", i, "define", j), policy, source.names("policies"), "policy")
        for j, option in enumerate(step.exercise.accept or ()):
            _known(document, ("steps", i, "try", "accept", j), option, step.exercise.options or (), "option")
        if step.exercise.pattern is not None and not patterns.compiles(step.exercise.pattern):
            document.wrong(("steps", i, "try", "pattern"), "is not a regular expression", "see RE2's syntax")


def _lessons(content: Content) -> Iterable[tuple[tuple[Slide, ...], str]]:
    for locale, slides in content.lessons.items():
        yield slides, LESSON if locale == content.module.locales.source else f"i18n/{locale}/{LESSON}"


def _references(content: Content, slides: tuple[Slide, ...], file: str, source: Source) -> None:
    document = content.documents[file]
    known = {*source.names("policies"), *source.names("runbooks")}
    for slide in slides:
        for line, reference in slide.references():
            if reference not in known:
                document.note(line, "", f"there is no policy or runbook {reference}", near(reference, known))
        for media in slide.media():
            for path in (media.path, *media.more.values()):
                if path not in content.files:
                    hint = near(path, [p for p in content.files if p.startswith("media/")], "put it into media/")
                    document.note(media.line, "", f"there is no file {path}", hint)


def _translations(content: Content) -> None:
    """Each required language has every text, under the same IDs."""
    own = content.module.locales.source
    for locale in content.module.locales.required:
        if locale == own:
            continue
        for file in ("module.yaml", LESSON, *FILES):
            path = f"i18n/{locale}/{file}"
            if file in content.files and path not in content.files:
                hint = f"write {path}"
                content.documents["module.yaml"].wrong(
                    ("locales", "required"), f"{file} is not there in {locale}", hint
                )
            elif file == LESSON and file in content.files:
                _same_slides(content, path, content.lessons.get(own, ()), content.lessons.get(locale, ()))
            elif file in content.models and path in content.models:
                told = _texts(file, content.models[file])
                _same_texts(content.documents[path], (), content.models[path].model_dump(exclude_none=True), told)


def _same_slides(content: Content, path: str, own: tuple[Slide, ...], other: tuple[Slide, ...]) -> None:
    if [s.id for s in own] != [s.id for s in other]:
        names = ", ".join(s.id for s in own)
        content.documents[path].note(1, "", "has not the slides of the lesson it translates", f"in this order: {names}")


def _texts(file: str, model: Strict) -> Any:
    """The texts of a file, in the shape that its translation has to have."""
    told = model.model_dump(by_alias=True)
    if file == "module.yaml":
        return {k: told[k] for k in ("title", "summary", "objective", "prerequisites", "outcomes")}
    if file == "quiz.yaml":
        return {"items": {n: {"ask": i["ask"], "options": i["options"]} for n, i in told["items"].items()}}
    if file == "keys.yaml":
        return {"quiz": {n: {"say": k["say"]} for n, k in told["quiz"].items()}}
    if file == "scenario.yaml":
        states = {
            n: {"say": s["say"], "choices": {c: x["text"] for c, x in s["choices"].items()}}
            for n, s in told["states"].items()
        }
        return {"states": states, "ends": {n: {"say": e["say"]} for n, e in told["ends"].items()}}
    if file == "walkthrough.yaml":
        steps = {}
        for s in told["steps"]:
            texts = {
                "say": s["say"],
                "missing": s["missing"]["text"],
                "label": s["try"]["label"],
                "hint": s["try"]["hint"],
            }
            steps[s["id"]] = {**texts, **({"options": s["try"]["options"]} if s["try"]["options"] else {})}
        return {"steps": steps}
    return {"parts": {p["id"]: {"title": p["title"]} for p in told["parts"]}}


def _same_texts(document: Any, place: tuple[str | int, ...], found: Any, wanted: Any) -> None:
    """Every text that is wanted is there, and nothing else."""
    if isinstance(wanted, dict):
        for key in wanted.keys() - found.keys():
            document.wrong(place, f"{key} is not translated", "add it")
        for key in found.keys() - wanted.keys():
            document.wrong((*place, key), f"{key} is not in the file that this translates", near(key, wanted))
        for key in wanted.keys() & found.keys():
            _same_texts(document, (*place, key), found[key], wanted[key])
    elif isinstance(wanted, list) and len(wanted) != len(found):
        document.wrong(place, f"has {len(found)} texts, not {len(wanted)}", "translate each one")


def _known(document: Any, place: tuple[str | int, ...], name: str, known: Collection[str], what: str) -> None:
    if name not in known:
        document.wrong(place, f"{name} is no {what}", near(name, known, f"one of {', '.join(sorted(known)) or 'none'}"))


def _same(
    document: Any, place: tuple[str | int, ...], found: Collection[str], wanted: Collection[str], what: str
) -> None:
    for name in sorted(set(wanted) - set(found)):
        document.wrong(place, f"the {what} {name} is missing", "add it")
    for name in sorted(set(found) - set(wanted)):
        document.wrong((*place, name), f"there is no {what} {name}", near(name, wanted))
