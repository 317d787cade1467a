"""The source: a folder of YAML that says what the rules are about. Loads it whole, or tells every mistake at once.

Each file has a model; references between files are checked when all have been read. The result is `data.source`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from engine.bundling.errors import Finding, Invalid
from engine.bundling.models import FILES, Module
from engine.bundling.references import Reading, check, near
from engine.bundling.yamlfile import Document, read
from ledger import canonical
from ledger.canonical import JSON


@dataclass(slots=True)
class Source(Reading):
    """A source that was read; `data` is `data.source`, complete once `findings` is empty."""

    digests: dict[str, str] = field(default_factory=dict)
    stray: list[Finding] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        """Every mistake, sorted by place."""
        return sorted({f for d in self.documents.values() for f in d.findings} | set(self.stray))

    @property
    def data(self) -> dict[str, JSON]:
        """`data.source`, with what is derived from it."""
        dumped = {name: model.model_dump(mode="json", exclude_none=False) for name, model in self.models.items()}
        about = dumped.pop("source")
        for scope in dumped["scopes"].values():
            scope["takes"] = [{k: v for k, v in take.items() if v is not None} for take in scope["takes"]]
        modules: dict[str, JSON] = {
            name: {
                **module.model_dump(mode="json", exclude_none=True),
                "digest": self.digests[name],
                "href": f"/learn/modules/{name}",
            }
            for name, module in self.modules.items()
        }
        whole: dict[str, JSON] = {**about, **dumped, "modules": modules}
        whole["awards"] = _awards(whole)
        return whole


def load_source(folder: Path) -> Source:
    """Load a source; raises Invalid with every mistake in it."""
    source = read_source(folder)
    if source.findings:
        raise Invalid(source.findings)
    return source


def read_source(folder: Path) -> Source:
    """Read a source with whatever mistakes it has."""
    source = Source()
    if not folder.is_dir():
        source.stray.append(
            Finding(file=str(folder), line=0, field="", message="is not a folder", hint="set MUSTER_BUNDLE")
        )
        return source
    for name, model in FILES.items():
        document = source.documents[name] = read(folder / f"{name}.yaml", f"{name}.yaml")
        found = _validated(document, model)
        if found is not None:
            source.models[name] = found
    for path in sorted((folder / "modules").iterdir()) if (folder / "modules").is_dir() else ():
        name = path.name
        document = source.documents[f"modules/{name}"] = read(path / "module.yaml", f"modules/{name}/module.yaml")
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
            document.wrong((), f"the folder's name {name!r} is not a module ID", "use lower-case words with hyphens")
        module = _validated(document, Module)
        odd = False
        for message in _odd_files(path):
            document.wrong((), message, "a module is plain files; its digest is over all of them")
            odd = True
        if isinstance(module, Module):
            source.modules[name] = module
            source.digests[name] = "" if odd else folder_digest(path)
    known = {f"{name}.yaml" for name in FILES} | {"modules"}
    for path in sorted(folder.iterdir()):
        if path.name not in known and not path.name.startswith("."):
            hint = near(path.name, known)
            source.stray.append(
                Finding(file=path.name, line=0, field="", message="is not a file of a source", hint=hint)
            )
    check(source)
    return source


def folder_digest(folder: Path) -> str:
    """SHA-256 (hex) over the sorted list of (path, SHA-256) of a folder's files."""
    paths = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    files: list[JSON] = [[name, hashlib.sha256(p.read_bytes()).hexdigest()] for name, p in sorted(paths.items())]
    return hashlib.sha256(canonical.encode(files)).hexdigest()


def _odd_files(folder: Path) -> Iterator[str]:
    """What would make a module's digest mean something else than what a reviewer sees."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not name.isprintable():
            yield f"{name!r} is not a name that can be written"
        elif path.name.startswith("."):
            yield f"{name} is hidden"
        elif path.is_symlink() or not (path.is_dir() or path.is_file()):
            yield f"{name} is a link, or no file at all"
        elif not os.access(path, os.R_OK):
            yield f"{name} cannot be read"


def _validated(document: Document, model: type[BaseModel]) -> BaseModel | None:
    if document.value is None:
        return None
    try:
        return model.model_validate(document.value)
    except ValidationError as exc:
        for error in exc.errors(include_url=False):
            place = tuple(p for p in error["loc"] if p != "[key]")
            hint = ""
            if error["type"] == "extra_forbidden":
                hint = near(str(place[-1]), _keys(model, place))
                if model is Module and place[0] in ("track", "tracks"):
                    hint = "tracks.yaml says which modules a track has"
            elif error["type"] == "string_pattern_mismatch":
                hint = f"expected {error['ctx']['pattern']}"
            document.wrong(place, str(error["msg"]).removeprefix("Value error, "), hint)
        return None


def _keys(kind: Any, place: tuple[str | int, ...]) -> set[str]:
    """The keys that are known where a key stands; `place` ends with that key."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if "root" in kind.model_fields:
            return _keys(kind.model_fields["root"].annotation, place)
        if len(place) == 1:
            return set(kind.model_fields)
        return _keys(kind.model_fields[str(place[0])].annotation, place[1:])
    member = [part for part in get_args(kind) if part is not NoneType][-1]
    return _keys(member, place if isinstance(kind, UnionType) else place[1:])


def _awards(source: dict[str, JSON]) -> JSON:
    """For each module: the scopes that a pass of it can reach, and the modules whose passes the award must see."""
    tracks, scopes = source["tracks"], source["scopes"]
    assert isinstance(tracks, dict)
    assert isinstance(scopes, dict)
    by_scope = {name: scope_modules(scope, tracks) for name, scope in scopes.items()}
    awards: dict[str, JSON] = {}
    for module in source["modules"] if isinstance(source["modules"], dict) else ():
        reached = sorted(s for s, parts in by_scope.items() if module in parts)
        needed = sorted({m for s in reached for m in by_scope[s]} | {module})
        awards[module] = {"scopes": [*reached], "modules": [*needed]}
    return awards


def scope_modules(scope: JSON, tracks: dict[str, JSON]) -> list[str]:
    """The modules that a scope takes, its tracks expanded, in order."""
    assert isinstance(scope, dict)
    takes = scope["takes"]
    assert isinstance(takes, list)
    found: list[str] = []
    for take in takes:
        assert isinstance(take, dict)
        found += [str(take["module"])] if "module" in take else track_modules(tracks[str(take["track"])])
    return list(dict.fromkeys(found))


def track_modules(track: JSON) -> list[str]:
    """The modules of a track, in order."""
    assert isinstance(track, dict)
    parts = track["modules"]
    assert isinstance(parts, list)
    return [str(part["module"]) for part in parts if isinstance(part, dict)]
