"""My training: what a person's tracks, certifications and attempts stand at; `muster/training/overview` judges.

A display, so it is not recorded. Titles are put on in the language asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.content.site import Site
from engine.decide import inputs
from engine.decide.facts import Seen
from engine.errors import NotFound, Unavailable, Undecided
from engine.opa.errors import CouldNotDecide
from engine.runtime import Active
from engine.training.attempts import Attempts
from ledger import canonical
from ledger.model import JSON, Entry, Person

ENTRYPOINT = "muster/training/overview"
_SHOWN = ("result", "certification", "revocation", "waiver", "expiry", "regrade")


@dataclass(frozen=True, slots=True)
class Overview:
    """Shows where a person stands."""

    attempts: Attempts

    def site(self, active: Active) -> Site:
        """The words of the source that is in force."""
        try:
            return self.attempts.library.site(active.catalogue.words)
        except FileNotFoundError as exc:
            raise Unavailable("the words of the source are not in this home: build and activate it again") from exc

    def state(self, tenant: str, person: Person) -> dict[str, JSON]:
        """What the ledger holds about a person; raises NotFound."""
        reader = self.attempts.writer.runtime.reader
        state = Seen.none(reader, tenant).person(person.type, person.id)
        if not isinstance(state, dict):
            raise NotFound(f"there is no {person.type} {person.id} in the directory")
        return state

    async def of(self, tenant: str, person: Person) -> dict[str, JSON]:
        """Tracks, scopes and what is due, as the rules have them."""
        runtime = self.attempts.writer.runtime
        active, state = runtime.active(tenant), self.state(tenant, person)
        directory = state["directory"]
        assert isinstance(directory, dict)
        now = runtime.now(tenant)
        question: JSON = {
            "subject": {
                **inputs.subject_part(None, person.type, person.id, state),
                "persona": directory.get("persona"),
            },
            "facts": {"modules": state["modules"], "scopes": state["scopes"], "waivers": state["waivers"]},
            "now": now,
        }
        try:
            answer = await active.evaluator.evaluate(ENTRYPOINT, canonical.encode(question))
        except CouldNotDecide as exc:
            raise Undecided(exc.cause, exc.detail) from exc
        if not isinstance(answer, dict) or not all(
            isinstance(answer.get(k), list) for k in ("tracks", "scopes", "due")
        ):
            raise Undecided("bad-shape", "the overview has not its three lists")
        return {"user": person.id, "persona": directory.get("persona"), "now": now, **answer}

    def history(self, tenant: str, person: Person, most: int = 200) -> list[Entry]:
        """What stands in the log about a person's learning, newest first."""
        reader = self.attempts.writer.runtime.reader
        found = reader.about(tenant, person, _SHOWN, reader.head(tenant).size, most)
        return [entry for entry in found if entry.payload is not None]

    def open(self, tenant: str, person: Person, modules: frozenset[str]) -> list[str]:
        """The IDs of a person's attempts that are open."""
        reader = self.attempts.writer.runtime.reader
        ref = reader.person(tenant, person)
        states = reader.objects(tenant, [f"learning/{ref}/{m}" for m in sorted(modules)]).values() if ref else ()
        tables = (s["open"] for _, s in states if isinstance(s, dict))
        return [str(a) for t in tables if isinstance(t, dict) for a in t.values()]


def told(entry: Entry) -> dict[str, JSON]:
    """An entry of a person's history without anything that could reveal an answer."""
    names: dict[str, tuple[str, ...]] = {
        "result": (
            "module",
            "version",
            "tier",
            "passed",
            "part",
            "score",
            "attempts",
            "seconds",
            "source",
            "occurred_at",
        ),
        "certification": ("scope", "tier", "issued_at", "expires_at"),
        "revocation": ("scope", "reason"),
        "waiver": ("requirement", "until"),
        "expiry": ("scope", "tier", "certification"),
        "regrade": ("module", "event", "until"),
    }  # fmt: skip
    value = entry.value
    return {"id": entry.id, "at": entry.at, "kind": entry.kind, **{n: value.get(n) for n in names[entry.kind]}}
