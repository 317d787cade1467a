"""The source: a folder of YAML that says what the rules are about. Loads it whole, or tells every mistake at once.

Each file has a model; references between files are checked when all have been read. The result is `data.source`.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, StringConstraints, ValidationError, model_validator

from engine.bundling.errors import Finding, Invalid
from engine.bundling.yamlfile import Document, read
from ledger import canonical
from ledger.canonical import JSON

Text = Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True)]
Id = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=64)]
PolicyId = Annotated[str, StringConstraints(pattern=r"^POL(-[A-Z0-9]+)+$", max_length=64)]
RunbookId = Annotated[str, StringConstraints(pattern=r"^RB(-[A-Z0-9]+)+$", max_length=64)]
TrackId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*/(core|advanced)$", max_length=80)]
Version = Annotated[str, StringConstraints(pattern=r"^(0|[1-9]\d{0,5})(\.(0|[1-9]\d{0,5})){2}$")]
Duration = Annotated[str, StringConstraints(pattern=r"^P[1-9]\d{0,2}M$|^P[1-9]\d{0,3}D$")]
Days = Annotated[str, StringConstraints(pattern=r"^P[1-9]\d{0,3}D$")]
Instant = Annotated[str, StringConstraints(pattern=r"^2[0-2]\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{3}Z$")]
Tier = Literal["completed", "proficient"]
TIERS = ("completed", "proficient")


class Strict(BaseModel):
    """A mapping of the source: typed, with no key that is not known."""

    model_config = ConfigDict(extra="forbid", strict=True)


class About(Strict):
    """source.yaml"""

    name: Id
    version: Version
    title: Text


class Action(Strict):
    """An action that has a gate."""

    title: Text
    risk: Literal["high", "medium"]


class Persona(Strict):
    """A persona and its two tracks."""

    title: Text
    core: TrackId | None
    advanced: TrackId | None


class TrackModule(Strict):
    """A module of a track, with the tier it asks."""

    module: Id
    tier: Tier


class Track(Strict):
    """A list of modules."""

    title: Text
    persona: Id
    level: Literal["core", "advanced"]
    modules: list[TrackModule] = Field(min_length=1, max_length=64)


class Take(Strict):
    """One part of what a scope takes: a module or a track, at a tier."""

    module: Id | None = None
    track: TrackId | None = None
    tier: Tier

    @model_validator(mode="after")
    def _one(self) -> Take:
        if (self.module is None) == (self.track is None):
            raise ValueError("name either a module or a track")
        return self


class Scope(Strict):
    """What it takes to be certified, and for how long that holds."""

    title: Text
    takes: list[Take] = Field(min_length=1, max_length=32)
    valid: Duration
    renewal: Literal["completion"]
    within_parts: Duration
    renewal_window: Days = "P30D"


class Policy(Strict):
    """An organisation's policy."""

    title: Text
    summary: Text


class Runbook(Strict):
    """What to do when it happens."""

    title: Text
    within_minutes: Annotated[int, Field(ge=1, le=100_000)] | None
    steps: list[Text] = Field(min_length=1, max_length=50)


class Recertify(Strict):
    """Passes of an older major version count only until an instant."""

    below: Annotated[int, Field(ge=1)]
    by: Instant


class Module(Strict):
    """modules/<id>/module.yaml"""

    title: Text
    kind: Literal["course", "micro_lesson", "walkthrough", "quiz", "simulation"]
    version: Version
    minutes: Annotated[int, Field(ge=1, le=600)]
    tier: Tier
    owner: Id
    policies: list[PolicyId] = Field(min_length=1)
    runbooks: list[RunbookId] = Field(default_factory=list)
    scopes: list[Id] = Field(default_factory=list)
    tags: list[Id] = Field(default_factory=list)
    summary: Text
    recertify: Recertify | None = None


class Destination(Strict):
    """Where an export may go, by exact ID."""

    id: Text
    title: Text


class Dataset(Strict):
    """The columns of a dataset, classed."""

    columns: dict[str, Literal["public", "personal", "secret"]] = Field(min_length=1)


class Exports(Strict):
    """exports.yaml"""

    destinations: list[Destination]
    datasets: dict[Id, Dataset]


class Actions(RootModel[dict[Id, Action]]):
    """actions.yaml"""


class Personas(RootModel[dict[Id, Persona]]):
    """personas.yaml"""


class Tracks(RootModel[dict[TrackId, Track]]):
    """tracks.yaml"""


class Scopes(RootModel[dict[Id, Scope]]):
    """scopes.yaml"""


class Policies(RootModel[dict[PolicyId, Policy]]):
    """policies.yaml"""


class Runbooks(RootModel[dict[RunbookId, Runbook]]):
    """runbooks.yaml"""


FILES: dict[str, type[BaseModel]] = {
    "source": About,
    "actions": Actions,
    "personas": Personas,
    "tracks": Tracks,
    "scopes": Scopes,
    "policies": Policies,
    "runbooks": Runbooks,
    "exports": Exports,
}


@dataclass(slots=True)
class Source:
    """A source that was read; `data` is `data.source`, complete once `findings` is empty."""

    documents: dict[str, Document] = field(default_factory=dict)
    models: dict[str, BaseModel] = field(default_factory=dict)
    modules: dict[str, Module] = field(default_factory=dict)
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
            hint = _near(path.name, known)
            source.stray.append(
                Finding(file=path.name, line=0, field="", message="is not a file of a source", hint=hint)
            )
    _references(source)
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
                hint = _near(str(place[-1]), _field_names())
            elif error["type"] == "string_pattern_mismatch":
                hint = f"expected {error['ctx']['pattern']}"
            document.wrong(place, str(error["msg"]).removeprefix("Value error, "), hint)
        return None


def _field_names() -> set[str]:
    return {name for model in Strict.__subclasses__() for name in model.model_fields}


def _near(word: str, known: Iterable[str], otherwise: str = "remove it") -> str:
    close = difflib.get_close_matches(word, sorted(known), 1)
    return f"did you mean {close[0]}?" if close else otherwise


def _references(source: Source) -> None:
    """Check every name that one file takes from another."""

    def names(name: str) -> dict[str, BaseModel]:
        model = source.models.get(name)
        return dict(model.root) if isinstance(model, RootModel) else {}

    def need(document: str, place: tuple[str | int, ...], kind: str, name: str, known: Iterable[str]) -> bool:
        known = set(known)
        file = "policies" if kind == "policy" else f"{kind}s"
        if file in FILES and file not in source.models:
            return False  # the file that should know it is broken itself, which is told already
        if name not in known:
            source.documents[document].wrong(
                place, f"there is no {kind} {name}", _near(name, known, "define it, or name another")
            )
        return name in known

    tracks, scopes = names("tracks"), names("scopes")
    policies, runbooks, personas = names("policies"), names("runbooks"), names("personas")
    module_files = {d.removeprefix("modules/") for d in source.documents if d.startswith("modules/")}

    def reach(document: str, place: tuple[str | int, ...], module: str, tier: str) -> None:
        if need(document, (*place, "module"), "module", module, module_files) and module in source.modules:
            highest = source.modules[module].tier
            if TIERS.index(tier) > TIERS.index(highest):
                message = f"the module {module} can prove {highest} at most"
                source.documents[document].wrong((*place, "tier"), message, "ask for less, or name another module")

    for name, persona in personas.items():
        assert isinstance(persona, Persona)
        for level in ("core", "advanced"):
            track = getattr(persona, level)
            if track is not None:
                need("personas", (name, level), "track", track, tracks)
    for name, track in tracks.items():
        assert isinstance(track, Track)
        need("tracks", (name, "persona"), "persona", track.persona, personas)
        if name.rpartition("/")[2] != track.level:
            source.documents["tracks"].wrong(
                (name, "level"), f"is not the level in the track's ID {name}", "make them equal"
            )
        seen: set[str] = set()
        for i, part in enumerate(track.modules):
            reach("tracks", (name, "modules", i), part.module, part.tier)
            if part.module in seen:
                source.documents["tracks"].wrong(
                    (name, "modules", i), f"{part.module} is listed twice", "keep one of them"
                )
            seen.add(part.module)
    for name, scope in scopes.items():
        assert isinstance(scope, Scope)
        for i, take in enumerate(scope.takes):
            if take.module is not None:
                reach("scopes", (name, "takes", i), take.module, take.tier)
            elif take.track is not None and need("scopes", (name, "takes", i, "track"), "track", take.track, tracks):
                track = tracks[take.track]
                assert isinstance(track, Track)
                if all(TIERS.index(p.tier) > TIERS.index(take.tier) for p in track.modules):
                    message = f"no module of {take.track} asks for {take.tier}"
                    source.documents["scopes"].wrong((name, "takes", i, "tier"), message, "ask for a higher tier")
    for name, module in source.modules.items():
        document = f"modules/{name}"
        for key, kind, known in (
            ("policies", "policy", policies),
            ("runbooks", "runbook", runbooks),
            ("scopes", "scope", scopes),
        ):
            for i, reference in enumerate(getattr(module, key)):
                need(document, (key, i), kind, reference, known)


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
