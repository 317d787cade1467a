"""xAPI 2.0 statements (IEEE 9274.1.1): one for each result and certification, made from the ledger alone.

An export for learning record stores, never a source: `statement.id` is the evidence ID, `registration` the attempt's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ledger.model import JSON, Entry, Person
from ledger.store import Reader

VERSION = "2.0.0"
KINDS = ("result", "certification")
_VERBS = "http://adlnet.gov/expapi/verbs/"
_EARNED = "https://w3id.org/xapi/tla/verbs/certified"
_TYPES = {
    "course": "http://adlnet.gov/expapi/activities/course",
    "quiz": "http://adlnet.gov/expapi/activities/assessment",
    "scenario": "http://adlnet.gov/expapi/activities/simulation",
    "walkthrough": "http://adlnet.gov/expapi/activities/interaction",
}


@dataclass(frozen=True, slots=True)
class Statements:
    """Makes statements; `base` is where the service is reached from outside."""

    reader: Reader
    base: str
    tenant: str

    def page(self, after: int, most: int, person: Person | None = None) -> tuple[list[JSON], int | None]:
        """Statements of entries with index >= `after`, and where the next page begins (None at the end)."""
        size = self.reader.head(self.tenant).size
        made: list[JSON] = []
        for entry in self.reader.of_kind(self.tenant, KINDS, after, size):
            if len(made) == most:
                return made, entry.index
            if entry.payload is not None and person in (None, entry.about):
                made.append(self.statement(entry))
        return made, None

    def statement(self, entry: Entry) -> dict[str, JSON]:
        """The statement of an entry."""
        value = entry.value
        person = value["person"]
        assert isinstance(person, dict)
        common: dict[str, JSON] = {
            "id": entry.id,
            "version": VERSION,
            "actor": {"objectType": "Agent", "account": {"homePage": self.base, "name": str(person["id"])}},
            "stored": entry.at,
            "authority": {"objectType": "Agent", "account": {"homePage": self.base, "name": "muster"}},
        }
        return common | (self._result(entry) if entry.kind == "result" else self._certification(entry))

    def _result(self, entry: Entry) -> dict[str, JSON]:
        value = entry.value
        module, part = str(value["module"]), value.get("part")
        passed, whole = value["passed"] is True, part is None
        strand = str(value.get("strand") or "quiz")
        verb = "completed" if strand == "course" else "passed" if passed else "failed"
        activity = f"{self.base}/learn/modules/{module}" + (f"#{part}" if part else "")
        parent: JSON = [_activity(f"{self.base}/learn/modules/{module}")] if part else []
        grouping: list[JSON] = [_activity(f"{self.base}/tracks/{track}") for track in _texts(value["tracks"])]
        context: dict[str, JSON] = {
            "platform": "Muster",
            "revision": str(value["version"]),
            "contextActivities": {
                **({"parent": parent} if parent else {}),
                **({"grouping": grouping} if grouping else {}),
            },
            "extensions": {
                f"{self.base}/xapi/digest": value["digest"],
                f"{self.base}/xapi/tier": value["tier"],
                f"{self.base}/xapi/source": value["source"],
                f"{self.base}/xapi/scopes": value["scopes"],
                f"{self.base}/xapi/policies": value["policy_ids"],
                f"{self.base}/xapi/persona": value["persona"],
                f"{self.base}/xapi/tested-out": value.get("tested_out"),
                f"{self.base}/xapi/attempts": value["attempts"],
            },
        }
        if isinstance(value.get("attempt"), str):
            context["registration"] = value["attempt"]
        if isinstance(value.get("locale"), str):
            context["language"] = value["locale"]
        return {
            "verb": {"id": f"{_VERBS}{verb}", "display": {"en": verb}},
            "object": _activity(activity, _TYPES.get(strand, _TYPES["quiz"]), module),
            "result": {
                "success": passed,
                "completion": passed and whole,
                **_score(value["score"]),
                **({"duration": f"PT{value['seconds']}S"} if isinstance(value["seconds"], int) else {}),
            },
            "context": context,
            "timestamp": str(value["occurred_at"]),
        }

    def _certification(self, entry: Entry) -> dict[str, JSON]:
        value = entry.value
        scope = f"{self.base}/scopes/{value['scope']}"
        return {
            "verb": {"id": _EARNED, "display": {"en": "certified"}},
            "object": _activity(f"{scope}/{value['tier']}", None, f"{value['scope']}: {value['tier']}"),
            "context": {
                "platform": "Muster",
                "statement": {"objectType": "StatementRef", "id": str(value["for"])},
                "extensions": {
                    f"{self.base}/xapi/scope": value["scope"],
                    f"{self.base}/xapi/tier": value["tier"],
                    f"{self.base}/xapi/expires-at": value["expires_at"],
                    f"{self.base}/xapi/revision": value["revision"],
                },
            },
            "timestamp": str(value["issued_at"]),
        }


def _activity(identifier: str, kind: str | None = None, name: str | None = None) -> dict[str, JSON]:
    definition: dict[str, JSON] = {**({"type": kind} if kind else {}), **({"name": {"en": name}} if name else {})}
    return {"objectType": "Activity", "id": identifier, **({"definition": definition} if definition else {})}


def _score(score: JSON) -> dict[str, JSON]:
    """Points as xAPI has them; `scaled` is a decimal between 0 and 1, of four places at most."""
    if not isinstance(score, dict) or not isinstance(score["max"], int) or not isinstance(score["points"], int):
        return {}
    if score["max"] == 0:
        return {}
    scaled = round(score["points"] / score["max"], 4)
    return {"score": {"raw": score["points"], "min": 0, "max": score["max"], "scaled": scaled}}


def _texts(value: JSON) -> Iterator[str]:
    yield from (str(v) for v in value) if isinstance(value, list) else ()
