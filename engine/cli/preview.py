"""`muster content preview`: a small server on this machine that shows a module as its folder is now."""

from __future__ import annotations

import html
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from markdown_it import MarkdownIt

from engine.bundling.source import Source
from engine.cli.output import YES, progress
from engine.cli.setup import configured
from engine.content.check import contents
from engine.content.module import Content
from engine.content.preview import Audience, page
from engine.errors import NotFound
from engine.settings import Settings

_AUDIENCES: tuple[Audience, ...] = ("learner", "reviewer", "text")
_TYPES = {".webm": "video/webm", ".mp4": "video/mp4", ".png": "image/png", ".jpg": "image/jpeg", ".vtt": "text/vtt"}
_STYLE = (
    "body{max-width:46rem;margin:2rem auto;padding:0 1rem;font:1.05rem/1.6 system-ui,sans-serif}"
    "blockquote{border-left:.3rem solid #888;margin-left:0;padding-left:1rem}code{background:#8882;padding:.1rem .3rem}"
    ":root{color-scheme:light dark}"
)


def serve(settings: Settings, module: str, host: str, port: int) -> int:
    """Serve a module's preview until it is told to stop; raises NotFound for a module that is not there."""
    find(configured(settings), module)

    class Handler(BaseHTTPRequestHandler):
        """Answers with the module as its folder is at this moment."""

        def do_GET(self) -> None:
            status, kind, body = answer(settings, module, self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", "default-src 'self'; style-src 'unsafe-inline'")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the class above has it
            """Say nothing: whoever runs this looks at the page."""

    with ThreadingHTTPServer((host, port), Handler) as server:
        address = f"http://{host}:{server.server_address[1]}"
        for audience in _AUDIENCES:
            progress(f"{address}/{audience}")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            progress("")
    return YES


def answer(settings: Settings, module: str, target: str) -> tuple[int, str, bytes]:
    """Status, type and body for a path of the preview."""
    split = urlsplit(target)
    content = find(configured(settings), module)
    name = split.path.strip("/") or "learner"
    if name.startswith("media/") and name in content.files:
        suffix = "." + name.rpartition(".")[2]
        return 200, _TYPES.get(suffix, "text/plain; charset=utf-8"), content.files[name]
    if name not in _AUDIENCES:
        return 404, "text/plain; charset=utf-8", b"learner, reviewer or text\n"
    locale = parse_qs(split.query).get("locale", [None])[0]
    text = page(content, locale, name)
    if name == "text":
        return 200, "text/plain; charset=utf-8", text.encode()
    links = " ".join(f'<a href="/{a}?locale={code}">{a} ({code})</a>' for a in _AUDIENCES for code in content.locales)
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    shown = content.words(locale)
    head = f'<!doctype html><html lang="{shown.locale}"><meta charset="utf-8"><title>{html.escape(shown.title)}</title>'
    return 200, "text/html; charset=utf-8", f"{head}<style>{_STYLE}</style><nav>{links}</nav>{body}".encode()


def find(source: Source, module: str) -> Content:
    """A module of the source whose files are in order; raises NotFound that says what is not."""
    found = contents(source).get(module)
    if found is None:
        known = ", ".join(sorted(source.files)) or "none"
        raise NotFound(f"there is no module {module} whose module.yaml is in order; there are: {known}")
    return found
