"""The source: a folder of YAML that says what the rules are about. Loads it whole, or tells every mistake at once.

Each file has a model; references between files are checked when all have been read. The result is `data.source`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ValidationError

from engine.bundling.errors import Finding, Invalid
from engine.bundling.models import FILES, Module, Strict
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
        if isinstance(module, Module):
            source.modules[name] = module
            source.digests[name] = folder_digest(path)
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
    files: list[JSON] = [
        [str(p.relative_to(folder)), hashlib.sha256(p.read_bytes()).hexdigest()]
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    ]
    return hashlib.sha256(canonical.encode(files)).hexdigest()


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
                hint = near(str(place[-1]), _field_names())
            elif error["type"] == "string_pattern_mismatch":
                hint = f"expected {error['ctx']['pattern']}"
            document.wrong(place, str(error["msg"]).removeprefix("Value error, "), hint)
        return None


def _field_names() -> set[str]:
    return {name for model in Strict.__subclasses__() for name in model.model_fields}


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
