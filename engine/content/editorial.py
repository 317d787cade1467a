"""What has to hold before people are asked to read it: length, outcomes tested, captions, words for pictures.

`muster content check` tells it together with `engine.content.check.structure`. The pass mark and the length of a
scenario are here and not there: what a source may demand is its owner's affair, but a reviewer shall be told.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from io import StringIO

import webvtt

from engine.bundling.errors import Finding
from engine.bundling.source import Source
from engine.bundling.yamlfile import Document
from engine.content import guessing, scenario
from engine.content.check import contents, findings, structure
from engine.content.lesson import Media, nameless
from engine.content.models import Course, Quiz, Scenario
from engine.content.module import LESSON, Content

WORDS_A_MINUTE = 200
SECONDS_AN_ITEM = 30
SHORTEST_PASS_MARK = 80
_BEGINS = {
    "webm": rb"\x1a\x45\xdf\xa3",
    "mp4": rb"....ftyp",
    "png": rb"\x89PNG\r\n\x1a\n",
    "jpg": rb"\xff\xd8\xff",
    "jpeg": rb"\xff\xd8\xff",
    "webp": rb"RIFF....WEBP",
}
"""How each kind of media begins."""
CLIPS, PICTURES = (".webm", ".mp4"), (".png", ".jpg", ".jpeg", ".webp")
_MINUTES = {"course": (30, 60), "micro_lesson": (2, 5)}
_QUESTIONS = (3, 10)
_NAMELESS = ("a table has a column without a name", "name every column: it is read aloud with each cell")


def check(source: Source) -> list[Finding]:
    """Every mistake in content, structure included, sorted by place."""
    found = contents(source)
    for content in found.values():
        if content.empty:
            content.documents["module.yaml"].note(1, "", "has no content: nobody can take it here", "write its files")
        else:
            _module(content)
    for content, place, message in guessing.tells(c for c in found.values() if not c.empty):
        content.documents["keys.yaml"].wrong(place, message, "move or reword options, over all modules")
    return sorted({*structure(source), *findings(found)})


def needs(content: Content) -> Iterator[str]:
    """What each quiz of a module asks, in items: `4 of 4`."""
    rules = content.module.quiz
    for strand in content.strands():
        if strand.kind == "quiz" and rules is not None:
            right = -(-rules.pass_mark * strand.draw // 100)
            pool = len(content.pool(strand))
            drawn = f"drawn from {pool}, pass mark {rules.pass_mark} %"
            yield f"{content.id}: {strand.name} needs {right} of {strand.draw} ({drawn})"


def _module(content: Content) -> None:
    about, module = content.documents["module.yaml"], content.module
    for name in ("objective", "outcomes", "telemetry"):
        if not getattr(module, name):
            about.wrong((name,), f"says nothing of its {name}", "write it")
    _minutes(content, about)
    _tested(content)
    quiz = content.model("quiz.yaml", Quiz)
    if quiz is not None:
        _questions(content, about)
        for policy in module.policies:
            if sum(item.policy == policy for item in quiz.items.values()) < 2:
                content.documents["quiz.yaml"].note(1, "items", f"fewer than two items on {policy}", "write another")
    if module.quiz is not None and module.quiz.pass_mark < SHORTEST_PASS_MARK:
        hint = f"{SHORTEST_PASS_MARK} or more: completed means {SHORTEST_PASS_MARK} % at least"
        about.wrong(("quiz", "pass_mark"), f"{module.quiz.pass_mark} % is not enough to be called completed", hint)
    graph = content.model("scenario.yaml", Scenario)
    if graph is not None and not list(scenario.mistakes(graph)):
        _scenario(content.documents["scenario.yaml"], graph)
    for locale, slides in content.lessons.items():
        file = LESSON if locale == module.locales.source else f"i18n/{locale}/{LESSON}"
        document = content.documents[file]
        for slide in slides:
            for media in slide.media():
                _media(content, document, media)
            for line in nameless(slide.text):
                document.note(slide.line + 1 + line, "", *_NAMELESS)
            for line, link in slide.links():
                if not link.startswith(("https://", "#")):
                    document.note(line, "", f"the link {link} leads nowhere", "https://..., or [[POL-...]], [[RB-...]]")
        referred = {reference for slide in slides for _, reference in slide.references()}
        for reference in (*module.policies, *module.runbooks):
            if reference not in referred:
                document.note(1, "", f"does not refer to {reference}", f"link it where it is taught: [[{reference}]]")


def _minutes(content: Content, about: Document) -> None:
    module = content.module
    low, high = _MINUTES.get(module.kind, (1, 60))
    if not low <= module.minutes <= high:
        about.wrong(
            ("minutes",), f"a {module.kind} takes {low} to {high} minutes, not {module.minutes}", "cut, or split it"
        )
    course = content.model("course.yaml", Course)
    if course is not None:
        total = sum(part.minutes for part in course.parts)
        if total != module.minutes:
            about.wrong(("minutes",), f"the parts of course.yaml add up to {total}", "make them equal")
    elif content.lessons and module.quiz is not None:
        for locale, slides in content.lessons.items():
            words = sum(slide.words for slide in slides)
            clips = sum(_seconds(content, m) or 0.0 for slide in slides for m in slide.media())
            needed = words * 60 / WORDS_A_MINUTE + clips + SECONDS_AN_ITEM * module.quiz.draw
            if needed > module.minutes * 60:
                told = (
                    f"{words} words, {clips:.0f} s of clips and {module.quiz.draw} items take {needed / 60:.1f} minutes"
                )
                file = LESSON if locale == module.locales.source else f"i18n/{locale}/{LESSON}"
                content.documents[file].note(1, "", f"{told}, not {module.minutes}", "shorten it")


def _tested(content: Content) -> None:
    quiz, graph = content.model("quiz.yaml", Quiz), content.model("scenario.yaml", Scenario)
    tested = {item.outcome for item in quiz.items.values()} if quiz else set()
    tested |= {state.outcome for state in graph.states.values()} if graph else set()
    for outcome in content.module.outcomes:
        if outcome not in tested:
            about = content.documents["module.yaml"]
            about.wrong(("outcomes", outcome), "is tested by no item and no state", "write one, or drop the outcome")


def _questions(content: Content, about: Document) -> None:
    few, many = _QUESTIONS
    for strand in content.strands():
        if strand.kind != "quiz":
            continue
        place: tuple[str | int, ...] = ("quiz", "draw")
        if not few <= strand.draw <= many and content.module.kind != "micro_lesson":
            about.wrong(place, f"{strand.name} asks {strand.draw} questions", f"{few} to {many}")
        pool = content.pool(strand)
        policies = {item.policy for item in pool.values()}
        if len(policies) > strand.draw:
            about.wrong(
                place, f"{strand.name} draws too few to have an item of each policy", f"{len(policies)} or more"
            )


def _scenario(document: Document, graph: Scenario) -> None:
    for name, state in graph.states.items():
        if list(nameless(state.say)):
            document.wrong(("states", name, "say"), *_NAMELESS)
    steps = scenario.shortest(graph)
    if steps < scenario.FEWEST_STEPS:
        document.note(1, "states", f"can be passed in {steps} steps", f"{scenario.FEWEST_STEPS} at least")
    failed = sum(not end.passed for end in graph.ends.values())
    if failed < scenario.FEWEST_FAILED_ENDS:
        document.note(1, "ends", f"has {failed} failed ends", f"{scenario.FEWEST_FAILED_ENDS} at least")


def _media(content: Content, document: Document, media: Media) -> None:
    def wrong(message: str, hint: str) -> None:
        document.note(media.line, media.path, message, hint)

    if not media.alt:
        wrong("is not described", "say between the brackets what it shows")
    for path in (media.path, media.more.get("poster", "")):
        begins, data = _BEGINS.get(path.rpartition(".")[2]), content.files.get(path)
        if begins is not None and data is not None and not re.match(begins, data, re.DOTALL):
            document.note(media.line, path, "is not what its name says", "save it in that format, or rename it")
    if media.path.endswith(PICTURES):
        return
    if not media.path.endswith(CLIPS):
        wrong("cannot be shown", "WebM or MP4 for clips (a GIF can be neither paused nor captioned), PNG or JPEG")
        return
    for name, hint in (
        ("poster", "a picture to show first"),
        ("captions", "a WebVTT file"),
        ("transcript", "Markdown"),
    ):
        if name not in media.more:
            wrong(f"has no {name}", f"{name}=media/...: {hint}")
    captions = content.files.get(media.more.get("captions", ""))
    if captions is not None:
        _captions(document, media, captions, _seconds(content, media))


def _captions(document: Document, media: Media, data: bytes, seconds: float | None) -> None:
    name = media.more["captions"]
    try:
        cues = webvtt.from_buffer(StringIO(data.decode("utf-8"))).captions if data else []
    except (webvtt.errors.MalformedFileError, UnicodeDecodeError, ValueError) as exc:
        document.note(media.line, name, f"is not WebVTT: {exc}", "begin the file with WEBVTT")
        return
    if not cues:
        document.note(media.line, name, "has no captions", "write them")
    elif seconds is not None and cues[-1].end_in_seconds < seconds - 10:
        document.note(
            media.line, name, f"ends {seconds - cues[-1].end_in_seconds:.0f} s before the clip", "caption it all"
        )


def _seconds(content: Content, media: Media) -> float | None:
    """How long a WebM clip is, from its header; None for anything else.

    Matroska (RFC 9559): Duration (0x4489) is a float in units of TimestampScale (0x2AD7B1) nanoseconds.
    """
    head = content.files.get(media.path, b"")[:4096] if media.path.endswith(".webm") else b""
    at = head.find(b"\x44\x89")
    if at < 0 or len(head) < at + 11:
        return None
    scale_at = head.find(b"\x2a\xd7\xb1")
    size = head[scale_at + 3] & 0x0F if scale_at >= 0 else 0
    scale = int.from_bytes(head[scale_at + 4 : scale_at + 4 + size], "big") if size else 1_000_000
    wide = head[at + 2] == 0x88
    (duration,) = struct.unpack(">d" if wide else ">f", head[at + 3 : at + (11 if wide else 7)])
    return float(duration) * scale / 1e9
