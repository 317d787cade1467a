"""Markdown of lessons and scenarios as HTML: no HTML of an author's gets through, references become links."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

from markdown_it import MarkdownIt
from markupsafe import Markup

_MARKDOWN = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table")
_REFERENCE = re.compile(r"\[\[([A-Z0-9-]+)\]\]")
_MEDIA = re.compile(r"^!\[([^\]\n]*)\]\(([^)\s]+)\)(?:\{([^}\n]*)\})?[ \t]*$", re.MULTILINE)
_BIG = re.compile(r"^#(?= )", re.MULTILINE)
"""A transcript's own title: below the title of the slide that it is shown in."""
_CLIPS = {".webm": "video/webm", ".mp4": "video/mp4"}

Title = Callable[[str], str]
Address = Callable[[str], str]


def inline(text: str) -> Markup:
    """A line of Markdown without a paragraph around it."""
    return Markup(_MARKDOWN.renderInline(text))  # noqa: S704 - the renderer lets no HTML through


def render(text: str, title: Title, address: Address, transcript: Callable[[str], str], words: Title) -> Markup:
    """A slide or situation. `title` names a policy or runbook, `address` leads to a file of the module."""
    kept: list[str] = []

    def media(found: re.Match[str]) -> str:
        more = dict(p.split("=", 1) for p in (found[3] or "").split() if "=" in p)
        kept.append(_media(found[1], found[2], more, address, transcript, words))
        return f"\n\nmuster-media-{len(kept) - 1}\n\n"

    text = _MEDIA.sub(media, text)
    text = _REFERENCE.sub(lambda m: f"[{_plain(title(m[1]))}]({_place(m[1])})", text)
    shown = _MARKDOWN.render(text)
    for number, figure in enumerate(kept):
        shown = shown.replace(f"<p>muster-media-{number}</p>", figure)
    scroll = f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(words("a-table"))}">'
    shown = shown.replace("<table>", f"{scroll}<table>").replace("</table>", "</table></div>")
    shown = shown.replace('<a href="https://', '<a rel="noreferrer" href="https://')
    return Markup(shown)  # noqa: S704 - the renderer lets no HTML through, and figures are escaped below


def _media(
    alt: str, path: str, more: dict[str, str], address: Address, transcript: Callable[[str], str], words: Title
) -> str:
    source, told = escape(address(path)), escape(alt)
    suffix = "." + path.rpartition(".")[2]
    if suffix not in _CLIPS:
        return f'<figure><img src="{source}" alt="{told}"></figure>'
    captions = more.get("captions", "")
    language = captions.split(".")[-2] if captions.count(".") > 1 else "en"
    poster = f' poster="{escape(address(more["poster"]))}"' if "poster" in more else ""
    code = escape(language)
    track = f'<track kind="captions" src="{escape(address(captions))}" srclang="{code}" label="{code}" default>'
    read = _MARKDOWN.render(_BIG.sub("##", transcript(more["transcript"]))) if "transcript" in more else ""
    return (
        f'<figure><video controls preload="metadata" playsinline width="960" height="540"{poster} aria-label="{told}">'
        f'<source src="{source}" type="{_CLIPS[suffix]}">{track if captions else ""}</video>'
        f"<figcaption>{told}</figcaption>"
        f"<details><summary>{escape(words('transcript'))}</summary>{read}</details></figure>"
    )


def _place(reference: str) -> str:
    return f"/learn/{'policies' if reference.startswith('POL-') else 'runbooks'}/{reference}"


def _plain(text: str) -> str:
    return re.sub(r"([\[\]\\`*_])", r"\\\1", text)
