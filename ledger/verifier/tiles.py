"""An exported log as a folder of C2SP tlog-tiles: every entry is hashed, every tile compared, the checkpoint checked.

What is published are headers, so this proves order, completeness and who signed; it opens no payload. Where the log
ends before its checkpoint says, reading ends too, and nothing is compared that leans on the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Final

from . import entries, note, reading
from .errors import Invalid
from .finding import Finding, Report
from .ids import Ids
from .note import Checkpoint, Key
from .policy import Policy
from .tree import Tree, node_hash

WIDTH: Final = 256
_MOST_TILE: Final = WIDTH * 32
_MOST_BUNDLE: Final = WIDTH * (2 + entries.MOST_BYTES)
_MOST_FINDINGS: Final = 1_000
Progress = Callable[[int, int], None]


def check(
    folder: Path,
    vkey: str | None = None,
    *,
    former: tuple[str, ...] = (),
    since: tuple[tuple[str, bytes], ...] = (),
    quorum: bytes | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Report:
    """Check a folder whole, against a verifier key that the auditor holds; without one by its own `log.vkey`.

    The `former` keys handed over to it: what was kept since may be signed by one of them.
    """
    with closing(Ids()) as ids:
        run = _Tiles(folder, progress, ids)
        try:
            run.whole(vkey, former, since, quorum)
        except Invalid as exc:
            run.found(None, "checkpoint", str(exc))
        except OSError as exc:
            run.found(None, "storage", f"{exc.filename}: {exc.strerror}")
        return run.report()


class _Tiles:
    def __init__(self, folder: Path, progress: Progress, ids: Ids) -> None:
        self._folder = folder
        self._progress = progress
        self._ids = ids
        self._tree = Tree()
        self._checkpoints = 0
        self._findings: list[Finding] = []
        self._more = 0
        self._told: list[str] = []
        self._roots: dict[int, bytes] = {0: Tree().root()}
        self._levels: list[list[bytes]] = [[]]
        self._rooms: set[Path] = set()

    def found(self, index: int | None, check: str, detail: str, entry_id: str | None = None) -> None:
        if len(self._findings) < _MOST_FINDINGS:
            self._findings.append(Finding(index=index, id=entry_id, check=check, detail=detail))
        else:
            self._more += 1

    def report(self) -> Report:
        size = self._tree.size
        findings = sorted(self._findings, key=lambda found: size if found.index is None else found.index)
        if self._more:
            findings.append(Finding(index=None, id=None, check="more", detail=f"{self._more} findings are not listed"))
        return Report(
            size=size,
            root=self._tree.root(),
            findings=tuple(findings),
            checkpoints=self._checkpoints,
            told=tuple(self._told),
        )

    def whole(
        self, vkey: str | None, former: tuple[str, ...], since: tuple[tuple[str, bytes], ...], quorum: bytes | None
    ) -> None:
        if vkey is None:
            vkey = note.key_text(reading.read(self._folder / "log.vkey", reading.MOST_KEY))
            self._told.append(f"the key is the one in {self._folder / 'log.vkey'}: compare it with one from elsewhere")
        key, *before = [note.parse_key(text) for text in (vkey, *former)]
        said, signed = note.opened(reading.read(self._folder / "checkpoint", reading.MOST_NOTE), key)
        self._checkpoints = 1
        earlier = [(where, *self._earlier(where, data, (key, *before))) for where, data in since]
        self._read(said, sorted({old.size for _, old in earlier if old is not None and old.size}))
        for index, entry_id, wrong in self._ids.twice():
            self.found(index, "id", wrong, entry_id)
        root = self._tree.root()
        if self._tree.size == said.size and root != said.root:
            self.found(None, "root", f"the entries give {root.hex()}, the checkpoint says {said.root.hex()}")
        for where, old in earlier:
            if old is not None:
                self._compare(where, old, said)
        if quorum is not None and not Policy.parse(quorum).satisfied(signed):
            self.found(None, "witness", "the quorum of the policy has not cosigned the checkpoint")

    def _earlier(self, where: str, data: bytes, keys: tuple[Key, ...]) -> tuple[Checkpoint | None]:
        try:
            return (note.opened(data, *keys)[0],)
        except Invalid as exc:
            self.found(None, "checkpoint", f"{where}: {exc}")
            return (None,)

    def _compare(self, where: str, old: Checkpoint, new: Checkpoint) -> None:
        if old.size > new.size:
            self.found(None, "checkpoint", f"{where} has {old.size} entries, this log {new.size}: rolled back")
        elif old.size <= self._tree.size and self._roots[old.size] != old.root:
            self.found(None, "checkpoint", f"{where}: the first {old.size} entries are other ones: forked")

    def _read(self, said: Checkpoint, sizes: list[int]) -> None:
        """Every entry and tile, up to the first entry that is not there; the roots of `sizes` are kept."""
        tree, newest_at = self._tree, ""
        bundles = (said.size + WIDTH - 1) // WIDTH
        for number in range(bundles):
            leaves: list[bytes] = []
            try:
                for entry in self._bundle(number, min(WIDTH, said.size - number * WIDTH)):
                    newest_at = self._entry(tree.size, entry, newest_at)
                    leaves.append(sha256(b"\x00" + entry).digest())
                    tree.append(leaves[-1])
                    if sizes and sizes[0] == tree.size:
                        self._roots[sizes.pop(0)] = tree.root()
            except Invalid as exc:
                self.found(tree.size, "index", f"from this entry on the log is not there: {exc}")
                return
            self._tile(0, number, leaves)
            self._progress(number + 1, bundles)
        for level, row in enumerate(self._levels[1:], start=1):
            for start in range(0, len(row), WIDTH):
                self._compare_tile(level, start // WIDTH, row[start : start + WIDTH])

    def _entry(self, index: int, data: bytes, newest_at: str) -> str:
        header = entries.header(data)
        if header is None:
            self.found(index, "header", "the entry is not a header that the format has, in its canonical form")
            return newest_at
        self._ids.take(index, header.id)
        if header.at < newest_at and header.kind != "clock.adjusted":
            self.found(index, "at", f"{header.at}, behind an entry of {newest_at}")
        return header.at

    def _bundle(self, number: int, width: int) -> Iterator[bytes]:
        """The entries of a bundle; raises Invalid where it is not there, or has no more."""
        data, longer = self._file("entries", number, width, _MOST_BUNDLE)
        at = 0
        for _ in range(width):
            end = at + 2 + int.from_bytes(data[at : at + 2])
            if at + 2 > len(data) or end > len(data):
                raise Invalid("the entry bundle ends before it is whole")
            yield data[at + 2 : end]
            at = end
        if at != len(data) and not longer:
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
        try:
            data, longer = self._file(str(level), number, len(row), _MOST_TILE)
        except Invalid as exc:
            self.found(None, "tile", str(exc))
            return
        for place, node in enumerate(row):
            if data[32 * place : 32 * place + 32] != node:
                first = (number * WIDTH + place) << 8 * level
                self.found(first, "tile", f"the hash of level {level} over entry {first} is not what the entries give")
        if len(data) != 32 * len(row) and not longer:
            self.found(None, "tile", f"tile {number} of level {level} has {len(data)} bytes for {len(row)} hashes")

    def _file(self, room: str, number: int, width: int, most: int) -> tuple[bytes, bool]:
        """A tile's bytes, and whether it is the full one that took the place of the partial one; raises Invalid."""
        groups = [f"{number % 1000:03d}"]
        while number := number // 1000:
            groups.insert(0, f"x{number % 1000:03d}")
        full = self._folder.joinpath("tile", room, *groups)
        wanted = full if width == WIDTH else full.with_name(f"{full.name}.p") / str(width)
        for path in dict.fromkeys((wanted, full)):
            where = path.relative_to(self._folder)
            self._no_link(where.parent)
            try:
                return reading.read(path, most), path != wanted
            except (FileNotFoundError, NotADirectoryError):
                continue
            except Invalid as exc:
                raise Invalid(f"{where.parent}/{exc}") from exc
        raise Invalid(f"{wanted.relative_to(self._folder)} is missing")

    def _no_link(self, room: Path) -> None:
        """Refuse a folder of tiles that is another one by a link; raises Invalid."""
        if room in self._rooms:
            return
        for folder in (*reversed(room.parents[:-1]), room):  # the export itself may be one
            if (self._folder / folder).is_symlink():
                raise Invalid(f"{folder} is a link")
        self._rooms.add(room)
