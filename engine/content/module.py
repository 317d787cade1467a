"""One version of a module, read from its files: what is taught, asked and tried, in every language it is there in.

`read` takes files and gives the content with every mistake in it; `Content.words(locale)` is the same content in one
language, so that nothing that draws, grades or shows has to know of languages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar, cast

from engine.bundling import folder
from engine.bundling.models import Module, Strict
from engine.bundling.validate import validated
from engine.bundling.yamlfile import Document, parse
from engine.content import lesson
from engine.content.lesson import Slide
from engine.content.models import (
    FILES,
    WORDS,
    Course,
    CourseWords,
    Exercise,
    Item,
    Keys,
    KeysWords,
    ModuleWords,
    Part,
    Quiz,
    QuizWords,
    Scenario,
    ScenarioWords,
    Walkthrough,
    WalkthroughWords,
)

LESSON = "lesson.md"
Kind = Literal["quiz", "scenario", "walkthrough"]
Model = TypeVar("Model", bound=Strict)
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Strand:
    """What is attempted for itself in a module; `part` where it is a part of a course, `proves` whether a pass of it is
    a pass of the module."""

    name: str
    kind: Kind
    draw: int = 0
    proves: bool = True
    part: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A module in one language."""

    locale: str
    title: str
    summary: str
    objective: str
    prerequisites: tuple[str, ...]
    outcomes: Mapping[str, str]
    slides: tuple[Slide, ...]
    quiz: Quiz | None
    keys: Keys | None
    scenario: Scenario | None
    walkthrough: Walkthrough | None
    course: Course | None

    def slide(self, anchor: str) -> Slide | None:
        """A slide by its anchor."""
        return next((s for s in self.slides if s.id == anchor), None)


@dataclass(slots=True)
class Content:
    """A module's files, parsed. `documents` has the place of everything, `models` what is in order."""

    id: str
    files: folder.Files
    documents: dict[str, Document] = field(default_factory=dict)
    models: dict[str, Strict] = field(default_factory=dict)
    lessons: dict[str, tuple[Slide, ...]] = field(default_factory=dict)
    locales: tuple[str, ...] = ()
    _words: dict[str, Words] = field(default_factory=dict, repr=False)
    _digest: str = ""

    @property
    def digest(self) -> str:
        """The digest of the files: what an attempt is pinned to."""
        self._digest = self._digest or folder.digest(self.files)
        return self._digest

    @property
    def module(self) -> Module:
        return cast(Module, self.models["module.yaml"])

    @property
    def empty(self) -> bool:
        """Whether there is nothing but `module.yaml`: the module is taken elsewhere, and its results are imported."""
        return set(self.files) <= {"module.yaml"}

    def model(self, name: str, kind: type[Model]) -> Model | None:
        """A file's model, None where there is no such file or it is broken."""
        found = self.models.get(name)
        return found if isinstance(found, kind) else None

    def strands(self) -> tuple[Strand, ...]:
        """What can be attempted here, in order."""
        course = self.model("course.yaml", Course)
        if course is not None:
            return tuple(_strand(part) for part in course.parts if part.kind != "lesson")
        rules, found = self.module.quiz, []
        if "quiz.yaml" in self.models and rules is not None:
            found.append(Strand(name="quiz", kind="quiz", draw=rules.draw))
        if "scenario.yaml" in self.models:
            found.append(Strand(name="scenario", kind="scenario"))
        walkthrough = self.model("walkthrough.yaml", Walkthrough)
        if walkthrough is not None:
            # Beside a quiz a walkthrough is practice; alone it is what the module is about.
            alone = self.module.kind == "walkthrough" or walkthrough.counts_as == "simulation"
            part = None if alone else "walkthrough"
            found.append(Strand(name="walkthrough", kind="walkthrough", proves=alone, part=part))
        return tuple(found)

    def strand(self, name: str | None) -> Strand | None:
        """A strand by its name; without one, the first that proves the module."""
        return next((s for s in self.strands() if (s.name == name if name else s.proves)), None)

    def pool(self, strand: Strand) -> dict[str, Item]:
        """The items that a quiz draws from."""
        quiz = self.model("quiz.yaml", Quiz)
        part = strand.part if self.model("course.yaml", Course) else None
        return {i: item for i, item in quiz.items.items() if item.part == part} if quiz else {}

    def words(self, locale: str | None) -> Words:
        """The module in a language that it is there in: the one asked for, or the one it was written in."""
        chosen = locale if locale in self.locales else self.module.locales.source
        assert chosen is not None
        if chosen not in self._words:
            self._words[chosen] = _source(self) if chosen == self.module.locales.source else _translated(self, chosen)
        return self._words[chosen]


def read(identifier: str, files: folder.Files, name: str | None = None) -> Content:
    """Read a module; every mistake that one file has by itself is noted in its document. `name` prefixes the files."""
    prefix = name or f"modules/{identifier}"
    content = Content(identifier, files)
    source = "en"

    def take(path: str, model: type[Strict]) -> None:
        document = content.documents[path] = parse(files[path], f"{prefix}/{path}")
        found = validated(document, model)
        if found is not None:
            content.models[path] = found

    def words(path: str, locale: str) -> None:
        document = content.documents[path] = Document(f"{prefix}/{path}")
        try:
            content.lessons[locale] = lesson.parse(document, files[path].decode("utf-8"))
        except UnicodeDecodeError as exc:
            line = files[path].count(b"\n", 0, exc.start) + 1
            document.note(line, "", f"is not UTF-8: byte {exc.start}", "save it as UTF-8")

    if "module.yaml" in files:
        take("module.yaml", Module)
        if "module.yaml" in content.models:
            source = content.module.locales.source
    found = {source}
    for path in sorted(files):
        if path in FILES:
            take(path, FILES[path])
        elif path == LESSON:
            words(path, source)
        elif path.startswith("i18n/") and path.count("/") == 2:
            _, locale, file = path.split("/")
            if not _LOCALE.fullmatch(locale) or locale == source:
                continue
            found.add(locale)
            if file in WORDS:
                take(path, WORDS[file])
            elif file == LESSON:
                words(path, locale)
    content.locales = tuple(sorted(found))
    return content


def _strand(part: Part) -> Strand:
    kind: Kind = "quiz" if part.kind == "quiz" else "walkthrough"
    return Strand(name=part.id, kind=kind, draw=part.draw or 0, proves=False, part=part.id)


def _source(content: Content) -> Words:
    module = content.module
    return Words(
        locale=module.locales.source,
        title=module.title,
        summary=module.summary,
        objective=module.objective or module.summary,
        prerequisites=tuple(module.prerequisites),
        outcomes=module.outcomes,
        slides=content.lessons.get(module.locales.source, ()),
        quiz=content.model("quiz.yaml", Quiz),
        keys=content.model("keys.yaml", Keys),
        scenario=content.model("scenario.yaml", Scenario),
        walkthrough=content.model("walkthrough.yaml", Walkthrough),
        course=content.model("course.yaml", Course),
    )


def _translated(content: Content, locale: str) -> Words:
    """The source's content with a translation's texts; what is not translated stays as it is."""
    own = _source(content)

    def texts(file: str, kind: type[Model]) -> Model | None:
        return content.model(f"i18n/{locale}/{file}", kind)

    words = texts("module.yaml", ModuleWords)
    return Words(
        locale=locale,
        title=words.title if words else own.title,
        summary=words.summary if words else own.summary,
        objective=words.objective if words else own.objective,
        prerequisites=tuple(words.prerequisites) if words else own.prerequisites,
        outcomes={**own.outcomes, **(words.outcomes if words else {})},
        slides=content.lessons.get(locale) or own.slides,
        quiz=_quiz(own.quiz, texts("quiz.yaml", QuizWords)),
        keys=_keys(own.keys, texts("keys.yaml", KeysWords)),
        scenario=_scenario(own.scenario, texts("scenario.yaml", ScenarioWords)),
        walkthrough=_walkthrough(own.walkthrough, texts("walkthrough.yaml", WalkthroughWords)),
        course=_course(own.course, texts("course.yaml", CourseWords)),
    )


def _quiz(own: Quiz | None, words: QuizWords | None) -> Quiz | None:
    if own is None or words is None:
        return own
    items = {}
    for name, item in own.items.items():
        text = words.items.get(name)
        change = (
            {"ask": text.ask, "options": {o: text.options.get(o, t) for o, t in item.options.items()}} if text else {}
        )
        items[name] = item.model_copy(update=change)
    return own.model_copy(update={"items": items})


def _keys(own: Keys | None, words: KeysWords | None) -> Keys | None:
    if own is None or words is None:
        return own
    said = {
        name: key.model_copy(update={"say": {**key.say, **words.quiz[name].say}}) if name in words.quiz else key
        for name, key in own.quiz.items()
    }
    return own.model_copy(update={"quiz": said})


def _scenario(own: Scenario | None, words: ScenarioWords | None) -> Scenario | None:
    if own is None or words is None:
        return own
    states = {}
    for name, state in own.states.items():
        text = words.states.get(name)
        if text is not None:
            choices = {
                c: choice.model_copy(update={"text": text.choices.get(c, choice.text)})
                for c, choice in state.choices.items()
            }
            state = state.model_copy(update={"say": text.say, "choices": choices})
        states[name] = state
    ends = {
        name: end.model_copy(update={"say": words.ends[name].say}) if name in words.ends else end
        for name, end in own.ends.items()
    }
    return own.model_copy(update={"states": states, "ends": ends})


def _walkthrough(own: Walkthrough | None, words: WalkthroughWords | None) -> Walkthrough | None:
    if own is None or words is None:
        return own
    steps = []
    for step in own.steps:
        text = words.steps.get(step.id)
        if text is None:
            steps.append(step)
            continue
        options = step.exercise.options
        exercise: Exercise = step.exercise.model_copy(
            update={
                "label": text.label,
                "hint": text.hint,
                "options": {o: (text.options or {}).get(o, t) for o, t in options.items()} if options else None,
            }
        )
        missing = step.missing.model_copy(update={"text": text.missing})
        steps.append(step.model_copy(update={"say": text.say, "missing": missing, "exercise": exercise}))
    return own.model_copy(update={"steps": steps})


def _course(own: Course | None, words: CourseWords | None) -> Course | None:
    if own is None or words is None:
        return own
    parts = [p.model_copy(update={"title": words.parts[p.id].title}) if p.id in words.parts else p for p in own.parts]
    return own.model_copy(update={"parts": parts})
