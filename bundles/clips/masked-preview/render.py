"""Renders the clip of the lesson `secure-data-export`: page.html, second by second, to WebM (VP9) and a poster.

    python bundles/clips/masked-preview/render.py            # into the lesson's media/
    python bundles/clips/masked-preview/render.py FOLDER     # somewhere else

Needs `pip install playwright`, a Chromium and an ffmpeg with libvpx on PATH. The page moves only by `window.seek`, and
the encoder runs on one thread without time stamps, so the same programs make the same bytes. Captions and transcripts
are written by hand and lie beside the clip: a change of the page's timing changes them too.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent
MEDIA = HERE.parents[1] / "companyos" / "modules" / "secure-data-export" / "media"
NAME = HERE.name
WIDTH, HEIGHT = 960, 540
SECONDS, RATE = 60, 10
POSTER_AT = 36.0
LIMITS = {"webm": 1_500_000, "png": 150_000}
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ENCODE = (
    *("-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p", "-crf", "30", "-b:v", "0", "-g", "100", "-threads", "1"),
    *("-an", "-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact"),
)


def program(*names: str) -> str:
    """The first of these programs that is on PATH."""
    for name in names:
        if found := shutil.which(name):
            return found
    sys.exit(f"Not found on PATH: {' or '.join(names)}. Install one of them and run this again.")


def frames(page: Page) -> Iterator[bytes]:
    """One PNG a frame; a frame that looks like the one before is not taken again."""
    before, picture = "", b""
    for number in range(SECONDS * RATE):
        state = str(page.evaluate("second => window.seek(second)", number / RATE))
        if state != before:
            before, picture = state, page.screenshot(animations="disabled", caret="hide")
        yield picture


def encode(pictures: Iterator[bytes], target: Path) -> None:
    """Pipes the pictures through ffmpeg into a WebM."""
    command = [program("ffmpeg"), "-v", "error", "-y", "-f", "image2pipe", "-c:v", "png", "-framerate", str(RATE)]
    with subprocess.Popen([*command, "-i", "-", *ENCODE, str(target)], stdin=subprocess.PIPE) as ffmpeg:
        assert ffmpeg.stdin is not None
        for picture in pictures:
            ffmpeg.stdin.write(picture)
        ffmpeg.stdin.close()
        if ffmpeg.wait():
            sys.exit(f"ffmpeg ended with {ffmpeg.returncode}; its message is above.")


def render(folder: Path) -> None:
    """Clip and poster into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    clip, poster = folder / f"{NAME}.webm", folder / f"{NAME}.png"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program(*CHROMIUM), args=["--disable-lcd-text", "--force-color-profile=srgb"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, offline=True)
        page.goto((HERE / "page.html").as_uri())
        page.evaluate("second => window.seek(second)", POSTER_AT)
        page.screenshot(path=poster)
        encode(frames(page), clip)
        browser.close()
    for made in (clip, poster):
        size, limit = made.stat().st_size, LIMITS[made.suffix[1:]]
        sys.stdout.write(f"{made}: {size} bytes\n")
        if size >= limit:
            sys.exit(f"{made.name} has {size} bytes; it may have {limit} at most.")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(__doc__)
    render(Path(sys.argv[1]) if len(sys.argv) == 2 else MEDIA)
