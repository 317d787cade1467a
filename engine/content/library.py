"""The library: every version of every module that was ever in force, by digest, so that an attempt can end on what it
began with.

    content/<digest>/...    the files of one module, or of the source's own words

What is read is checked against its name. Nothing is ever overwritten or removed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from engine.bundling import folder
from engine.bundling.errors import Tampered
from engine.bundling.source import Source
from engine.content.module import Content, read
from engine.content.site import Site, read_site

_KEPT = 256


@dataclass(slots=True)
class Library:
    """The library in a folder; what was read is kept parsed."""

    path: Path
    _modules: OrderedDict[tuple[str, str], Content] = field(default_factory=OrderedDict)
    _sites: OrderedDict[str, Site] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, source: Source) -> None:
        """Keep all modules of a source and its words, durably once this returns."""
        for files in (*source.files.values(), source.words):
            self._store(files)

    def module(self, identifier: str, digest: str) -> Content:
        """A version of a module; raises FileNotFoundError, or Tampered."""
        key = (identifier, digest)
        with self._lock:
            if key in self._modules:
                self._modules.move_to_end(key)
                return self._modules[key]
        found = read(identifier, self._files(digest))
        with self._lock:
            self._modules[key] = found
            while len(self._modules) > _KEPT:
                self._modules.popitem(last=False)
        return found

    def site(self, digest: str) -> Site:
        """The words of a source outside its modules."""
        if digest not in self._sites:
            self._sites[digest] = read_site(self._files(digest))
            while len(self._sites) > _KEPT:
                self._sites.popitem(last=False)
        return self._sites[digest]

    def _files(self, digest: str) -> dict[str, bytes]:
        path = self.path / digest
        if not path.is_dir():
            raise FileNotFoundError(f"the content {digest} is not in {self.path}")
        files = folder.read(path)
        if folder.digest(files) != digest:
            raise Tampered(f"{path}: its content is not what its name says")
        return files

    def _store(self, files: folder.Files) -> None:
        digest = folder.digest(files)
        target = self.path / digest
        if target.exists():
            self._files(digest)  # raises Tampered where it was changed
            return
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=self.path, prefix=".new-"))
        try:
            for name, data in files.items():
                path = staging / name
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with path.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            for part in (*staging.rglob("*"), staging):
                if part.is_dir():
                    _sync(part)
            staging.rename(target)
        except OSError:
            shutil.rmtree(staging, ignore_errors=True)
            if not target.exists():  # somebody else may have stored the same meanwhile
                raise
        _sync(self.path)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
