"""What one file of a source says of another: every name has to be defined somewhere, and every tier to be reachable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, RootModel

from engine.bundling.models import TIERS, Exports, Module, Persona, Scope, Track
from engine.bundling.validate import near
from engine.bundling.yamlfile import Document

Place = tuple[str | int, ...]


@dataclass(slots=True)
class Reading:
    """The files of a source that were read, and the models of those that are in order."""

    documents: dict[str, Document] = field(default_factory=dict)
    models: dict[str, BaseModel] = field(default_factory=dict)
    modules: dict[str, Module] = field(default_factory=dict)

    def names(self, file: str) -> dict[str, BaseModel]:
        """What a file defines, by name; nothing where it is broken."""
        model = self.models.get(file)
        return dict(model.root) if isinstance(model, RootModel) else {}

    def wrong(self, document: str, place: Place, message: str, hint: str) -> None:
        """Note a mistake at its place."""
        self.documents[document].wrong(place, message, hint)

    def need(self, document: str, place: Place, kind: str, name: str) -> bool:
        """Whether a name is defined; notes it where it is not. A broken file is told already, not by this."""
        file = "policies" if kind == "policy" else f"{kind}s"
        if file in self.documents and file not in self.models:
            return False
        prefix = "modules/"
        known = (
            {d.removeprefix(prefix) for d in self.documents if d.startswith(prefix)}
            if kind == "module"
            else {*self.names(file)}
        )
        if name not in known:
            self.wrong(document, place, f"there is no {kind} {name}", near(name, known, "define it, or name another"))
        return name in known

    def once(self, document: str, place: Place, names: Sequence[str]) -> None:
        """A list names each thing once."""
        for i, name in enumerate(names):
            if name in names[:i]:
                self.wrong(document, (*place, i), f"{name} is listed twice", "keep one of them")

    def reach(self, document: str, place: Place, module: str, tier: str) -> None:
        """A module has to be there, and to prove the tier that is asked of it."""
        if self.need(document, (*place, "module"), "module", module) and module in self.modules:
            highest = self.modules[module].tier
            if TIERS.index(tier) > TIERS.index(highest):
                message = f"the module {module} can prove {highest} at most"
                self.wrong(document, (*place, "tier"), message, "ask for less, or name another module")


def check(reading: Reading) -> None:
    """Check every name that one file takes from another."""
    for name, persona in reading.names("personas").items():
        assert isinstance(persona, Persona)
        for level in ("core", "advanced"):
            track = getattr(persona, level)
            if track is not None and reading.need("personas", (name, level), "track", track):
                _own_track(reading, name, level, track)
    for name, track in reading.names("tracks").items():
        assert isinstance(track, Track)
        _track(reading, name, track)
    for name, scope in reading.names("scopes").items():
        assert isinstance(scope, Scope)
        _scope(reading, name, scope)
    for name, module in reading.modules.items():
        for key, kind in (("policies", "policy"), ("runbooks", "runbook"), ("scopes", "scope")):
            for i, reference in enumerate(getattr(module, key)):
                reading.need(f"modules/{name}", (key, i), kind, reference)
            reading.once(f"modules/{name}", (key,), getattr(module, key))
        _renewal(reading, name, module)
    exports = reading.models.get("exports")
    if isinstance(exports, Exports):
        reading.once("exports", ("destinations",), [d.id for d in exports.destinations])


def _own_track(reading: Reading, persona: str, level: str, name: str) -> None:
    track = reading.names("tracks")[name]
    assert isinstance(track, Track)
    if (track.persona, track.level) != (persona, level):
        message = f"the track {name} is {track.persona}' {track.level} track"
        reading.wrong("personas", (persona, level), message, "name a track of this persona and level")


def _renewal(reading: Reading, name: str, module: Module) -> None:
    major = int(module.version.partition(".")[0])
    if module.recertify is not None and module.recertify.below > major:
        message = f"asks for a version that is not there: the module is at {module.version}"
        reading.wrong(f"modules/{name}", ("recertify", "below"), message, f"{major} at most")


def _track(reading: Reading, name: str, track: Track) -> None:
    reading.need("tracks", (name, "persona"), "persona", track.persona)
    if name.rpartition("/")[2] != track.level:
        message = f"is not the level in the track's ID {name}"
        reading.wrong("tracks", (name, "level"), message, "make them equal")
    for i, part in enumerate(track.modules):
        reading.reach("tracks", (name, "modules", i), part.module, part.tier)
    reading.once("tracks", (name, "modules"), [part.module for part in track.modules])


def _scope(reading: Reading, name: str, scope: Scope) -> None:
    reading.once("scopes", (name, "takes"), [f"{take.module or take.track} at {take.tier}" for take in scope.takes])
    for i, take in enumerate(scope.takes):
        place = (name, "takes", i)
        if take.module is not None:
            reading.reach("scopes", place, take.module, take.tier)
        elif take.track is not None:
            reading.need("scopes", (*place, "track"), "track", take.track)
