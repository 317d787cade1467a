"""The models of METADATA's `custom` part: what a gate and the router say of themselves.

What they say of the source is checked in `engine.bundling.gates`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, model_validator

from engine.bundling.models import Days, Duration, Id, PolicyId, RunbookId, Strict, Text, TrackId

STORED_REQUESTS: Final = frozenset({"unknown-request", "request-withdrawn", "request-expired", "request-mismatch"})
"""What a router that knows of stored requests asks of one that is cited. Without these codes none can be cited."""

_PATHS = (
    r"^(subject\.(active|persona|customer|locale|zone)"
    r"|subject\.properties\.[A-Za-z_][A-Za-z0-9_]*"
    r"|(action|resource)\.properties\.[A-Za-z_][A-Za-z0-9_]*"
    r"|context\.[A-Za-z_][A-Za-z0-9_]*)$"
)


class Requires(Strict):
    """A training requirement: exactly one of scope, track, module; judged centrally."""

    scope: Id | None = None
    track: TrackId | None = None
    module: Id | None = None
    tier: Literal["completed", "proficient", "certified"]
    within: Duration | Days

    @model_validator(mode="after")
    def _one(self) -> Requires:
        if sum(v is not None for v in (self.scope, self.track, self.module)) != 1:
            raise ValueError("name exactly one of scope, track, module")
        return self


class Remedy(BaseModel):
    """What would cure a denial."""

    model_config = {"extra": "allow", "strict": True}
    kind: Literal["lesson", "approval", "request", "text"]
    module: Id | None = None
    policy_id: PolicyId | None = None

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Remedy:
        if self.kind == "lesson" and self.module is None:
            raise ValueError("a lesson names its module")
        return self


class Obligation(BaseModel):
    """What goes with a decision."""

    model_config = {"extra": "allow", "strict": True}
    type: Literal["runbook", "tip"]
    id: Text


class Requirement(Strict):
    """One thing that a gate asks."""

    code: Id
    title: Text
    message: Text
    remedy: Remedy
    requires: Requires | None = None


class Input(Strict):
    """One field that a gate reads."""

    source: Literal["asserted", "directory"]
    schema_: dict[str, Any] = Field(alias="schema")


class Gate(Strict):
    """The `custom` part of a gate's METADATA."""

    action: Id
    policy_id: PolicyId
    runbook_id: RunbookId
    mode: Literal["enforce", "shadow"]
    lease: bool | Literal["gateway"] = True
    """Whether an answer may be given again, to the same question, as long as it holds; `gateway`: an allow may also be
    kept by the gateway that asked, for some seconds."""
    inputs: dict[Annotated[str, Field(pattern=_PATHS)], Input]
    requirements: list[Requirement] = Field(min_length=1, max_length=64)
    ledger: list[Literal["approvals", "change_windows"]] = Field(default_factory=list)
    obligations: list[Obligation] = Field(default_factory=list)
    scopes: list[Id] = Field(default_factory=list)
