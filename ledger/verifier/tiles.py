"""An exported log as a folder of C2SP tlog-tiles: every entry is hashed, every tile compared, the checkpoint checked.

What is published are headers, so this proves order, completeness and who signed; it opens no payload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from . import entries, note
from .errors import Invalid
from .finding import Finding, Report
from .note import Checkpoint, Key
from .policy import Policy
from .tree import Tree, node_hash

WIDTH = 256
Progress = Callable[[int, int], None]


def check(
    folder: Path,
    vkey: str | None = None,
    *,
    since: tuple[tuple[str, bytes], ...] = (),
    quorum: bytes | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Report:
    """Check a folder whole, against a verifier key that the auditor holds; without one by its own `log.vkey`."""
    run = _Tiles(folder, progress)
    try:
        run.whole(vkey, since, quorum)
    except Invalid as exc:
        run.found(None, "checkpoint", str(exc))
    except OSError as exc:
        run.found(None, "storage", f"{exc.filename}: {exc.strerror}")
    run.findings.sort(key=lambda found: run.size if found.index is None else found.index)
    return Report(
        size=run.size, root=run.root, findings=tuple(run.findings), checkpoints=run.checkpoints, told=tuple(run.told)
    )


class _Tiles:
    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder = folder
        self.progress = progress
        self.size = 0
        self.root = Tree().root()
        self.checkpoints = 0
        self.findings: list[Finding] = []
        self.told: list[str] = []
        self._roots: dict[int, bytes] = {}
        self._levels: list[list[bytes]] = [[]]

    def found(self, index: int | None, check: str, detail: str) -> None:
        self.findings.append(Finding(index=index, id=None, check=check, detail=detail))

    def whole(self, vkey: str | None, since: tuple[tuple[str, bytes], ...], quorum: bytes | None) -> None:
        if vkey is None:
            vkey = (self.folder / "log.vkey").read_text("utf-8")
            self.told.append(f"the key is the one in {self.folder / 'log.vkey'}: compare it with one from elsewhere")
        key = note.parse_key(vkey)
        said, signed = note.opened((self.folder / "checkpoint").read_bytes(), key)
        self.checkpoints = 1
        earlier = [(where, *self._earlier(where, data, key)) for where, data in since]
        self._read(said, sorted({e.size for _, e in earlier if e is not None}))
        if self.root != said.root:
            self.found(None, "root", f"the entries give {self.root.hex()}, the checkpoint says {said.root.hex()}")
        for where, old in earlier:
            if old is not None:
                self._compare(where, old, said)
        if quorum is not None and not Policy.parse(quorum).satisfied(signed):
            self.found(None, "witness", "the quorum of the policy has not cosigned the checkpoint")

    def _earlier(self, where: str, data: bytes, key: Key) -> tuple[Checkpoint | None]:
        try:
            return (note.opened(data, key)[0],)
        except Invalid as exc:
            self.found(None, "checkpoint", f"{where}: {exc}")
            return (None,)

    def _compare(self, where: str, old: Checkpoint, new: Checkpoint) -> None:
        if old.size > new.size:
            self.found(None, "checkpoint", f"{where} has {old.size} entries, this log {new.size}: rolled back")
        elif self._roots.get(old.size, Tree().root()) != old.root:
            self.found(None, "checkpoint", f"{where}: the first {old.size} entries are other ones: forked")

    def _read(self, said: Checkpoint, sizes: list[int]) -> None:
        tree, newest_at = Tree(), ""
        for number in range((said.size + WIDTH - 1) // WIDTH):
            width = min(WIDTH, said.size - number * WIDTH)
            leaves: list[bytes] = []
            for entry in self._bundle(number, width):
                index = number * WIDTH + len(leaves)
                newest_at = self._entry(index, entry, newest_at)
                leaves.append(sha256(b"\x00" + entry).digest())
                tree.append(leaves[-1])
                if sizes and sizes[0] == index + 1:
                    self._roots[sizes.pop(0)] = tree.root()
            self._tile(0, number, leaves)
            self.progress(number + 1, (said.size + WIDTH - 1) // WIDTH)
        self.size, self.root = tree.size, tree.root()
        for level, row in enumerate(self._levels[1:], start=1):
            for number in range(0, len(row), WIDTH):
                self._compare_tile(level, number // WIDTH, row[number : number + WIDTH])

    def _entry(self, index: int, data: bytes, newest_at: str) -> str:
        header = entries.header(data)
        if header is None:
            self.found(index, "header", "the entry is not a header that the format has, in its canonical form")
            return newest_at
        if header.at < newest_at and header.kind != "clock.adjusted":
            self.found(index, "at", f"{header.at}, behind an entry of {newest_at}")
        return header.at

    def _bundle(self, number: int, width: int) -> Iterator[bytes]:
        data = self._file("entries", number, width)
        at = 0
        for done in range(width):
            end = at + 2 + int.from_bytes(data[at : at + 2])
            if at + 2 > len(data) or end > len(data):
                self.found(number * WIDTH + done, "index", "the entry bundle ends before it is whole")
                return
            yield data[at + 2 : end]
            at = end
        if at != len(data):
            self.found(number * WIDTH + width - 1, "index", "the entry bundle goes on behind its last entry")

    def _tile(self, level: int, number: int, row: list[bytes]) -> None:
        """Compare a tile of leaves, and take a full one's root upwards."""
        self._compare_tile(level, number, row)
        while len(row) == WIDTH:
            while len(row) > 1:
                row = [node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=True)]
            level += 1
            if len(self._levels) == level:
                self._levels.append([])
            self._levels[level].append(row[0])
            row = self._levels[level][-WIDTH:] if len(self._levels[level]) % WIDTH == 0 else row

    def _compare_tile(self, level: int, number: int, row: list[bytes]) -> None:
        data = self._file(str(level), number, len(row))
        for place, node in enumerate(row):
            if data[32 * place : 32 * place + 32] != node:
                first = (number * WIDTH + place) << 8 * level
                self.found(first, "tile", f"the hash of level {level} over entry {first} is not what the entries give")
        if len(data) != 32 * len(row):
            self.found(None, "tile", f"tile {number} of level {level} has {len(data)} bytes for {len(row)} hashes")

    def _file(self, room: str, number: int, width: int) -> bytes:
        """A tile's bytes: the partial one, or the beginning of the full one that took its place."""
        groups = [f"{number % 1000:03d}"]
        while number := number // 1000:
            groups.insert(0, f"x{number % 1000:03d}")
        full = self.folder.joinpath("tile", room, *groups)
        partial = full.with_name(f"{full.name}.p") / str(width)
        for path in (full,) if width == WIDTH else (partial, full):
            if path.is_file():
                data = path.read_bytes()
                return data if room == "entries" or path is partial or width == WIDTH else data[: 32 * width]
        self.found(None, "tile", f"{full.relative_to(self.folder)} is missing")
        return b""
