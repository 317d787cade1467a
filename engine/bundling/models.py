"""The models of a source's files: typed, and with no key that is not known.

What one file says of another is checked in `engine.bundling.references`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    StringConstraints,
    model_validator,
)

from ledger import instants

Text = Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True)]
Id = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=64)]
PolicyId = Annotated[str, StringConstraints(pattern=r"^POL(-[A-Z0-9]+)+$", max_length=64)]
RunbookId = Annotated[str, StringConstraints(pattern=r"^RB(-[A-Z0-9]+)+$", max_length=64)]
TrackId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*/(core|advanced)$", max_length=80)]
# [0-9], not \d: the models' \d takes the digits of every script, and the rules read only these.
Version = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){2}$")]
Duration = Annotated[str, StringConstraints(pattern=r"^P[1-9][0-9]{0,2}M$|^P[1-9][0-9]{0,3}D$")]
Days = Annotated[str, StringConstraints(pattern=r"^P[1-9][0-9]{0,3}D$")]
DayOfYear = Annotated[str, StringConstraints(pattern=r"^[0-9]{2}-[0-9]{2}$")]
Wait = Annotated[str, StringConstraints(pattern=r"^P[0-9]{1,3}D$|^PT[0-9]{1,4}[HMS]$")]
Locale = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")]
Tier = Literal["completed", "proficient"]
TIERS = ("completed", "proficient")


def _shortest(duration: str) -> int:
    """The fewest days that a duration has."""
    return int(duration[1:-1]) * (28 if duration.endswith("M") else 1)


def _a_window(days: str) -> str:
    if _shortest(days) < 30:
        raise ValueError("is shorter than P30D: the reminder of 14 days has to find the window open")
    return days


def _every_year(day: str) -> str:
    if day == "02-29" or not instants.is_instant(f"2024-{day}T00:00:00.000Z"):
        raise ValueError("is not a day of every year")
    return day


def _exists(text: str) -> str:
    if not instants.is_instant(text):
        raise ValueError("there is no such instant")
    return text


Instant = Annotated[
    str,
    StringConstraints(pattern=r"^2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"),
    AfterValidator(_exists),
]


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
    """What it takes to be certified, and for how long that holds.

    `renewal` says where a next expiry is counted from: from the `completion`, from the old `expiry` while its window is
    open, or to the same day (`calendar`, MM-DD) that is at least `min_active` away. Whatever it says, a renewal never
    shortens. The window is 30 days at least, so that the first reminder finds it open.
    """

    title: Text
    takes: list[Take] = Field(min_length=1, max_length=32)
    valid: Duration
    renewal: Literal["completion", "expiry", "calendar"]
    within_parts: Duration
    renewal_window: Annotated[Days, AfterValidator(_a_window)] = "P30D"
    calendar: Annotated[DayOfYear, AfterValidator(_every_year)] | None = None
    min_active: Duration | None = None

    @model_validator(mode="after")
    def _by_calendar(self) -> Scope:
        if {self.calendar is not None, self.min_active is not None} != {self.renewal == "calendar"}:
            raise ValueError("renewal: calendar takes `calendar` and `min_active`, and nothing else does")
        if self.min_active is not None and _shortest(self.min_active) < _shortest(self.renewal_window):
            raise ValueError("`min_active` is shorter than the renewal window: a renewal in it would gain nothing")
        return self


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


class QuizRules(Strict):
    """How a module's quiz is drawn, passed and tried again.

    `cooldown` is the wait before a next try, by the number of failures before it; the last one goes on for ever, and
    with `reopen_lesson` the lesson has to be opened again then. `time_limit` is for the whole of one try.
    """

    draw: Annotated[int, Field(ge=1, le=50)]
    pass_mark: Annotated[int, Field(ge=1, le=100)] = 80
    cooldown: list[Wait] = Field(default=["PT0S", "PT0S", "PT10M", "P1D"], min_length=1, max_length=10)
    reopen_lesson: bool = True
    time_limit: Wait | None = None


class Locales(Strict):
    """The language a module is written in, and those it has to be there in."""

    source: Locale = "en"
    required: list[Locale] = Field(default=["en"], min_length=1, max_length=20)


Telemetry = Literal["impression", "dismissal", "completion", "score", "expiry", "step_reached", "step_missing"]


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
    objective: Text | None = None
    prerequisites: list[Text] = Field(default_factory=list, max_length=20)
    trigger: list[Id] = Field(default_factory=list, max_length=20)
    outcomes: dict[Id, Text] = Field(default_factory=dict, max_length=20)
    quiz: QuizRules | None = None
    telemetry: list[Telemetry] = Field(default_factory=list)
    locales: Locales = Locales()


DECIDED = {
    "title", "kind", "version", "minutes", "tier", "owner", "policies", "runbooks", "scopes", "tags", "summary",
    "recertify",
}  # fmt: skip
"""What the rules know of a module. What a learner reads is content, which OPA never sees."""


class Destination(Strict):
    """Where an export may go, by exact ID."""

    id: Text
    title: Text


class Dataset(Strict):
    """The columns of a dataset, classed."""

    columns: dict[str, Literal["public", "personal", "secret"]] = Field(min_length=1)


class Exports(Strict):
    """exports.yaml"""

    destinations: list[Destination] = Field(min_length=1)
    datasets: dict[Id, Dataset] = Field(min_length=1)


class Actions(RootModel[Annotated[dict[Id, Action], Field(min_length=1)]]):
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
}
