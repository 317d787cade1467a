"""The checks of a replay that need no evaluation: did this record lean on the ledger as it stood, and on nothing else?

1. `facts`: what the input took from the ledger equals the reduction of the entries before this one, for each object in
   `reads`, and `reads` names exactly the objects that such an input takes from.
2. `revision`: the revision is the one that was active at this index.
3. `instant`: `now <= at` within the bound, and the answer was still valid when it was recorded.

Besides, `record`: it says the same thing throughout; `caller`: its author held a token that was in force; `gateway`:
what it says of the gateway that asked is what its revision gives (`engine.replay.gateways`).

A leased decision comes here as the record that it and its first give together (`engine.replay.leases`).

The fourth, `result`, is `rego(revision, input) = result` (`engine.replay.replay`). The fourth alone would let an
operator record invented facts. What the decider builds is built again here with the decider's own pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from engine.bundling.catalogue import Catalogue
from engine.decide import inputs, stored
from engine.decide.record import AWARD, CERTIFIED, GATE, GATEWAY
from engine.decide.request import Entity, Request
from engine.replay.finding import Finding
from ledger import canonical, instants
from ledger.model import JSON, Entry, Person
from ledger.reduce import REDUCER, Reduction

_BY_ITSELF = ("expiry", "attempt", "log.key", "alarm")
"""What Muster writes down by itself: what time has ended, what it signs with, what a witness said."""
_OF_NOBODY = ("approval", "certification")
"""Approvals are their person's own, and certifications their result's: they name no other author."""
_PARTS = {
    GATE: {"subject", "action", "resource", "context", "facts", "now"},
    CERTIFIED: {"subject", "scope", "facts", "now"},
    AWARD: {"subject", "result", "facts", "now"},
    GATEWAY: {"subject", "reason", "detail", "route", "asked", "facts", "now"},
}
"""What an input has. What else stood there no rule would read, and whoever reads the record might."""
_MAY_BE = {CERTIFIED: {"tier", "within"}}
LATEST_MS = 2000
LONGEST_CALL_MS = 600_000
"""How long after its caller was authenticated an entry may still be appended (an import of many rows)."""


@dataclass(slots=True)
class Past:
    """The ledger as it stood before the entry that is looked at, and before the last result."""

    tenant: str
    reduction: Reduction = field(default_factory=Reduction)
    revision: str | None = None
    result: Entry | None = None
    erasures: Mapping[int, int] = field(default_factory=dict)
    """Index of an erased entry -> index of the `erasure` that lists it."""
    _before_result: dict[str, tuple[int, JSON | None]] = field(default_factory=dict)

    def advance(self, entry: Entry) -> None:
        """Take an entry into the past."""
        if entry.kind == "result" and entry.about is not None:
            self.result = entry
            name = f"person/{self.reduction.ref(entry.about)}"
            self._before_result = {name: (self.reduction.version(name), self.reduction.state(name))}
        elif entry.kind != "certification":
            self.result = None
        if entry.kind == "activation":
            self.revision = str(entry.value["revision"])
        self.reduction.apply(entry)

    def erased_since(self, index: int, entry: Entry) -> bool:
        """Whether the entry at an index was there when this one was made, and has been erased since."""
        return index < entry.index < self.erasures.get(index, -1)

    def seen_by(self, entry: Entry, name: str) -> tuple[int, JSON | None]:
        """Version and state of an object as this entry may have seen it: an award looks behind its own result."""
        if entry.kind == "certification" and name in self._before_result:
            return self._before_result[name]
        return self.reduction.version(name), self.reduction.state(name)


def check(entry: Entry, past: Past, catalogue: Catalogue) -> Iterator[Finding]:
    """Checks 1 to 3 of one decision or certification."""

    def finding(which: str, detail: str) -> Finding:
        return Finding(index=entry.index, id=entry.id, check=which, detail=detail)

    record = entry.value
    yield from (finding("record", d) for d in _coherent(entry, record))
    if record["revision"] != past.revision:
        yield finding("revision", f"revision {record['revision']} was not active, {past.revision} was")
    asked = record["input"]
    assert isinstance(asked, dict)
    latest = LATEST_MS if record.get("undecided") is None else None
    yield from (finding("instant", d) for d in _instants(entry, asked, record["result"], latest))
    if record.get("undecided") is not None:
        return
    if leans_on_erased(entry, past):
        return  # the answer is given again all the same; what it was read from nobody can tell any more
    reads = _reads(record)
    for name, version in reads.items():
        held, _ = past.seen_by(entry, name)
        if held != version:
            yield finding("facts", f"{name} was read at version {version}, the ledger had version {held}")
    states = {name: past.seen_by(entry, name)[1] for name in reads}
    yield from (finding("facts", d) for d in _facts(entry, asked, states, past, catalogue))
    if entry.kind == "certification":
        yield from (finding("facts", d) for d in _award(entry, asked, past))


def leans_on_erased(entry: Entry, past: Past) -> bool:
    """Whether an object that this entry read has been erased since: an approver, or what they approved."""
    return any(
        past.seen_by(entry, name)[0] != version and past.erased_since(version, entry)
        for name, version in _reads(entry.value).items()
    )


def callers(entry: Entry, past: Past) -> Iterator[Finding]:
    """Whoever an entry names as its author held a token that the ledger had issued, with that role and principal."""
    record = entry.value
    named = record.get("caller" if entry.kind == "decision" else "by")
    if named is None and entry.kind in _OF_NOBODY:
        return
    for caller in named if isinstance(named, list) and named else [named]:
        if not isinstance(caller, dict):
            yield Finding(index=entry.index, id=entry.id, check="caller", detail="it names nobody as its author")
        elif not _held_token(caller, entry, past):
            detail = f"no token {caller.get('token')} was in force for {caller.get('role')} {caller.get('principal')}"
            yield Finding(index=entry.index, id=entry.id, check="caller", detail=detail)


def _held_token(caller: dict[str, JSON], entry: Entry, past: Past) -> bool:
    principal = _table(caller["principal"])
    if caller["token"] is None:
        # The operator owns the home's files and needs no token; some things Muster writes down by itself.
        by_itself = caller["role"] == "muster" and principal["id"] == "muster" and entry.kind in _BY_ITSELF
        return (
            by_itself
            or _has_a_way_of_its_own(caller, principal, entry)
            or (caller["role"] == "admin" and principal == {"type": "system", "id": "operator"})
        )
    token = past.reduction.state(f"token/{caller['token']}")
    if token is None:
        # A person's tokens are erased with them; that somebody was erased is all that can still be seen. Who is still
        # there was not.
        gone = principal["type"] == "user" and past.reduction.state(f"person/{principal.get('ref')}") is None
        return gone and any(past.erased_since(index, entry) for index in past.erasures)
    holder = _table(token["principal"])
    if holder["type"] == "user":
        same = principal == {"type": "user", "ref": past.reduction.ref(Person("user", str(holder["id"])))}
    else:
        same = principal == holder
    earliest = instants.parse(entry.at) - LONGEST_CALL_MS
    ends = [str(token[k]) for k in ("expires_at", "revoked_at") if token.get(k) is not None]
    return same and token["role"] == caller["role"] and all(instants.parse(end) > earliest for end in ends)


def _has_a_way_of_its_own(caller: dict[str, JSON], principal: dict[str, JSON], entry: Entry) -> bool:
    """A gateway that the operator has named by a socket or a certificate needs no token, as the operator does not."""
    via = _table(entry.value.get("via"))
    credential = str(via.get("credential")).partition(" ")[0]
    own = principal == {"type": "system", "id": via.get("gateway")}
    return caller["role"] == "gateway" and own and credential in ("socket", "certificate")


def _coherent(entry: Entry, record: dict[str, JSON]) -> Iterator[str]:
    """Does a record say the same thing throughout?"""
    if record["strict"] is not True or record["reducer"] != REDUCER:
        yield f"strict {record['strict']}, reducer {record['reducer']}: not how this version decides"
    if entry.kind != "decision":
        return
    result = _table(record["result"])
    if record["undecided"] is not None:
        if record["result"] is not None or record["reads"] != []:
            yield "it says that it could not decide, and has an answer"
        return
    if record["evidence"] != result.get("evidence") or record["mode"] != result.get("mode"):
        yield "its evidence or mode is not that of its answer"
    if record["evaluator"] != "own":
        yield f"an evaluator {record['evaluator']} is not known"


def _instants(entry: Entry, asked: dict[str, JSON], result: JSON, latest: int | None) -> Iterator[str]:
    """`latest`: milliseconds; None for what could not be decided, which leans on no instant and may have taken long."""
    now = str(asked["now"])
    late = instants.parse(entry.at) - instants.parse(now)
    if late < 0 or (latest is not None and late > latest):
        yield f"decided for {now}, recorded at {entry.at}"
    until = result.get("valid_until") if isinstance(result, dict) else None
    if isinstance(until, str) and not entry.at < until:
        yield f"recorded at {entry.at}, when it had ended at {until}"


def _facts(
    entry: Entry, asked: dict[str, JSON], states: inputs.States, past: Past, catalogue: Catalogue
) -> Iterator[str]:
    subject = asked["subject"]
    assert isinstance(subject, dict)
    kind, identifier = str(subject["type"]), str(subject["id"])
    if entry.about is None or (entry.about.type, entry.about.id) != (kind, identifier):
        yield "the entry is not about the subject of its input"
        return
    ref = past.reduction.ref(entry.about)
    name = inputs.subject_object(kind, identifier, ref)
    person = states.get(name)
    entrypoint = entry.value["entrypoint"]
    wanted = {name}
    expected: dict[str, JSON]
    if entrypoint == GATE:
        expected, more = _gate_parts(asked, person, states, past, catalogue)
        wanted |= more
        route = _table(_table(entry.value.get("via")).get("route"))
        cites = _table(_table(asked["facts"]).get("request")).get("cited") is True
        if not cites and catalogue.takes_stored(str(route.get("group")), str(route.get("id"))):
            yield "its route takes a stored request, and it leans on none"
    elif entrypoint == CERTIFIED:
        scopes, modules, waivers = catalogue.scope_facts(str(asked["scope"]))
        expected = {
            "subject": inputs.subject_part(None, kind, identifier, person),
            "facts": inputs.personal_facts(person, scopes=scopes, modules=modules, waivers=waivers),
        }
    elif entrypoint == AWARD:
        result = asked["result"]
        assert isinstance(result, dict)
        award_scopes, award_modules = catalogue.awards(str(result["module"]))
        facts = inputs.personal_facts(person, scopes=award_scopes, modules=award_modules, waivers=())
        del facts["waivers"]
        expected = {"subject": inputs.subject_part(None, kind, identifier, person), "facts": facts}
    elif entrypoint == GATEWAY:
        expected = {"subject": inputs.subject_part(None, kind, identifier, person), "facts": {}}
    else:
        yield f"unknown entrypoint {entrypoint}"
        return
    parts = _PARTS[str(entrypoint)]
    if asked.keys() - _MAY_BE.get(str(entrypoint), set()) != parts:
        yield f"its input has {sorted(asked)}, a question to {entrypoint} has {sorted(parts)}"
    if wanted != states.keys():
        yield f"reads names {sorted(states)}, this input takes from {sorted(wanted)}"
    for part, value in expected.items():
        if canonical.encode(asked[part]) != canonical.encode(value):
            yield f"input.{part} is not what the ledger held"


def _gate_parts(
    asked: dict[str, JSON], person: JSON | None, states: inputs.States, past: Past, catalogue: Catalogue
) -> tuple[dict[str, JSON], set[str]]:
    """What the ledger's parts of a gate's input have to be, and the objects that they take from."""
    subject, action, resource, context, facts = (
        asked[k] for k in ("subject", "action", "resource", "context", "facts")
    )
    assert isinstance(subject, dict)
    assert isinstance(action, dict)
    assert isinstance(resource, dict)
    assert isinstance(context, dict)
    assert isinstance(facts, dict)
    gate = catalogue.gate(str(action["name"]))
    kind, identifier = str(subject["type"]), str(subject["id"])
    part = inputs.subject_part(gate, kind, identifier, person)
    cited = _table(facts.get("request")).get("id")
    request = Request(
        subject=Entity(type=kind, id=identifier, properties=_table(subject.get("properties"))),
        action=str(action["name"]),
        action_properties=_table(action.get("properties")),
        resource=Entity(
            type=str(resource["type"]), id=str(resource.get("id")), properties=_table(resource.get("properties"))
        ),
        context=context,
        stored=cited if isinstance(cited, str) else None,
    )
    ref = _table(person).get("ref")
    request = stored.filled(gate, request, states, ref)  # which adds nothing where the input has all that it gives
    asserted = inputs.assert_declared(gate, request)
    digest = str(facts["request_digest"])
    if resource["type"] != "user":  # a person as resource stands by ref: the digest over their ID cannot be made again
        digest = inputs.request_digest(past.tenant, request, asserted)
    if asserted.subject_properties:
        part["properties"] = asserted.subject_properties
    more = {*inputs.cited(gate, context), *stored.cited(gate, request.stored)}
    more |= {*inputs.approvers({n: s for n, s in states.items() if n in more})}
    if "ref" in resource:
        more.add(f"person/{resource['ref']}")
    properties: dict[str, JSON] = {"properties": asserted.resource_properties} if asserted.resource_properties else {}
    return {
        "subject": part,
        "action": asserted.action,
        "resource": _resource(resource) | properties,
        "context": asserted.context,
        "facts": inputs.facts_part(gate, person, states, context, digest)
        | stored.facts(gate, request.stored, states, ref),
    }, more


def _resource(resource: dict[str, JSON]) -> dict[str, JSON]:
    """Which resource it is; a person stands by `ref`, and one who is unknown by nothing at all."""
    if resource["type"] != "user":
        return {"type": resource["type"], "id": resource.get("id")}
    known = {"ref": resource["ref"]} if "ref" in resource else {}
    return {"type": "user", "known": "ref" in resource, **known}


def _award(entry: Entry, asked: dict[str, JSON], past: Past) -> Iterator[str]:
    """Is a certification what its award said, for the result that stands right before it?"""
    record, result = entry.value, past.result
    if result is None or record["for"] != result.id or result.about != entry.about:
        yield "the certification does not follow the result that it is for"
        return
    told, named = result.value, asked["result"]
    expected: JSON = {
        "module": told["module"],
        "tier": told["tier"],
        "passed_at": told["occurred_at"],
        "version": told["version"],
        "digest": told["digest"],
        "imported": told["source"] == "import",
        "evidence": result.id,
    }
    if canonical.encode(named) != canonical.encode(expected):
        yield "input.result is not the result that stands before it"
    answer = record["result"]
    awarded = answer.get("certifications") if isinstance(answer, dict) else None
    own = {k: record[k] for k in ("scope", "tier", "issued_at", "expires_at", "parts")}
    if not isinstance(awarded, list) or own not in awarded:
        yield "the certification is not among those that were awarded"


def _reads(record: dict[str, JSON]) -> dict[str, int]:
    reads = record["reads"]
    assert isinstance(reads, list)
    return {str(r[0]): int(str(r[1])) for r in reads if isinstance(r, list)}


def _table(value: JSON | None) -> dict[str, JSON]:
    return value if isinstance(value, dict) else {}
