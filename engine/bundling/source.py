"""The source: a folder of YAML that says what the rules are about. Loads it whole, or tells every mistake at once.

Each file has a model; references between files are checked when all have been read. The result is `data.source`, which
says nothing of the optional files that are not there: so a revision does not change with what others may write.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from engine.bundling import folder as folders
from engine.bundling import routing
from engine.bundling.errors import Finding, Invalid
from engine.bundling.gateways import OPTIONAL
from engine.bundling.models import DECIDED, FILES, Module
from engine.bundling.references import Reading, check
from engine.bundling.validate import near, validated
from engine.bundling.yamlfile import read
from ledger.canonical import JSON

_MODULE_HINTS = dict.fromkeys(("track", "tracks"), "tracks.yaml says which modules a track has")


@dataclass(slots=True)
class Source(Reading):
    """A source that was read; `data` is `data.source`, complete once `findings` is empty."""

    files: dict[str, folders.Files] = field(default_factory=dict)
    words: folders.Files = field(default_factory=dict)
    stray: list[Finding] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        """Every mistake, sorted by place."""
        return sorted({f for d in self.documents.values() for f in d.findings} | set(self.stray))

    @property
    def data(self) -> dict[str, JSON]:
        """`data.source`, with what is derived from it."""
        dumped = {name: model.model_dump(mode="json", exclude_none=False) for name, model in self.models.items()}
        for name in OPTIONAL.keys() & self.models.keys() - {"entities"}:  # whose nulls are what somebody wrote
            dumped[name] = self.models[name].model_dump(mode="json", exclude_none=True)
        about = dumped.pop("source")
        for scope in dumped["scopes"].values():
            scope["takes"] = [{k: v for k, v in take.items() if v is not None} for take in scope["takes"]]
        modules: dict[str, JSON] = {
            name: {
                **module.model_dump(mode="json", exclude_none=True, include=DECIDED),
                "digest": folders.digest(self.files[name]),
                "href": f"/learn/modules/{name}",
            }
            for name, module in self.modules.items()
        }
        whole: dict[str, JSON] = {**about, **dumped, "modules": modules, "words": folders.digest(self.words)}
        whole["awards"] = _awards(whole)
        asked = {name: module.recertify for name, module in self.modules.items() if module.recertify is not None}
        whole["recertified"] = {name: recertify.model_dump(mode="json") for name, recertify in asked.items()}
        return whole


def load_source(folder: Path, overlay: Path | None = None) -> Source:
    """Load a source; raises Invalid with every mistake in it."""
    source = read_source(folder, overlay)
    if source.findings:
        raise Invalid(source.findings)
    return source


def read_source(folder: Path, overlay: Path | None = None) -> Source:
    """Read a source with whatever mistakes it has; an overlay holds files of modules that are not for everybody."""
    source = Source()
    if not folder.is_dir():
        source.stray.append(
            Finding(file=str(folder), line=0, field="", message="is not a folder", hint="set MUSTER_BUNDLE")
        )
        return source
    there = {name: model for name, model in OPTIONAL.items() if os.path.lexists(folder / f"{name}.yaml")}
    for name, model in {**FILES, **there}.items():
        document = source.documents[name] = read(folder / f"{name}.yaml", f"{name}.yaml")
        found = validated(document, model)
        if found is not None:
            source.models[name] = found
    for path in sorted((folder / "modules").iterdir()) if (folder / "modules").is_dir() else ():
        name = path.name
        document = source.documents[f"modules/{name}"] = read(path / "module.yaml", f"modules/{name}/module.yaml")
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
            document.wrong((), f"the folder's name {name!r} is not a module ID", "use lower-case words with hyphens")
        module = validated(document, Module, _MODULE_HINTS)
        over = overlay / "modules" / name if overlay else None
        odd = [*folders.odd_files(path), *(folders.odd_files(over) if over else ())]
        for message in odd:
            document.wrong((), message, "a module is plain files; its digest is over all of them")
        if isinstance(module, Module):
            source.modules[name] = module
            source.files[name] = {} if odd else folders.read(path, over)
    for message in folders.odd_files(folder / "i18n"):
        source.stray.append(Finding(file="i18n", line=0, field="", message=message, hint="translations are YAML files"))
    source.words = _words(folder)
    known = {f"{name}.yaml" for name in (*FILES, *OPTIONAL)} | {"modules", "i18n"}
    for path in sorted(folder.iterdir()):
        if path.name not in known and not path.name.startswith("."):
            hint = near(path.name, known)
            source.stray.append(
                Finding(file=path.name, line=0, field="", message="is not a file of a source", hint=hint)
            )
    check(source)
    routing.check(source)
    return source


def _words(folder: Path) -> dict[str, bytes]:
    """What people read that belongs to no module: the files of the source itself, and their translations."""
    own = {f"{name}.yaml": folder / f"{name}.yaml" for name in FILES}
    texts = {f"i18n/{name}": data for name, data in folders.read(folder / "i18n").items()}
    return {**texts, **{name: path.read_bytes() for name, path in own.items() if path.is_file()}}


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
