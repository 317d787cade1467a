"""A real gateway that waits to be checked: its application and its Muster are addresses at which nobody listens yet."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.cli.main import main
from tests.gateways.programs import KEY, process, short_folder, written
from tests.ports import free_port


@dataclass(frozen=True, slots=True)
class Done:
    """What a check said."""

    code: int
    told: str
    """On stderr."""
    stdout: str

    @property
    def document(self) -> dict[str, Any]:
        """Its JSON."""
        document: dict[str, Any] = json.loads(self.stdout)
        return document

    @property
    def probes(self) -> dict[str, dict[str, Any]]:
        """Its probes, by name."""
        return {probe["probe"]: probe for probe in self.document["probes"]}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A gateway, and the addresses that it leads to."""

    profile: str
    port: int
    backend: int
    pdp: int

    def words(self) -> list[str]:
        """The command that checks it."""
        kind, _, over = self.profile.partition("-")
        places = ["--backend", f"127.0.0.1:{self.backend}", "--pdp", f"127.0.0.1:{self.pdp}"]
        return [f"http://127.0.0.1:{self.port}", *places, "--kind", kind, *(["--over", over] if over else [])]

    def check(self, *more: str) -> Done:
        """Check it."""
        return check(*self.words(), *more, "--json")


def check(*words: str) -> Done:
    """`muster gateway check`, as the command line runs it, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(["gateway", "check", *words])
        except SystemExit as exc:
            code = int(exc.code or 0)
    return Done(code, err.getvalue(), out.getvalue())


@contextmanager
def gateway(
    profile: str, edits: Sequence[tuple[str, str]] = (), *, muster: str = "", key: str = KEY
) -> Iterator[Waiting]:
    """A gateway on the printed configuration, with some of it put in another way; `muster` may be there already."""
    with short_folder() as folder:
        there = Waiting(profile, free_port(), free_port(), free_port())
        asked, app = (f"http://127.0.0.1:{port}" for port in (there.pdp, there.backend))
        written(profile, folder, muster or asked, app, f"127.0.0.1:{there.port}", key=key)
        for before, after in edits:
            _edit(folder, before, after)
        with process(profile, folder, ("127.0.0.1", there.port), key):
            yield there


def _edit(folder: Path, before: str, after: str) -> None:
    """In the one file, and the one place, where it stands."""
    found = [path for path in folder.iterdir() if path.is_file() and before in path.read_text("utf-8")]
    assert len(found) == 1, f"{before!r} stands in {[path.name for path in found]}"
    text = found[0].read_text("utf-8")
    assert text.count(before) == 1, f"{before!r} stands {text.count(before)} times"
    found[0].write_text(text.replace(before, after), "utf-8")
