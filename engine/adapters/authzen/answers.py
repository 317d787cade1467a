"""Writes the answers of AuthZEN's Authorization API 1.0 (sections 5.5, 7.2 and 8.3).

A decision is the gate's `allow`; its `context` is the whole answer of `/v1/decisions`: decision ID, verdict, denials
with their remedies, obligations, `valid_until` and the rest. All of it is written already when it comes here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

from engine.adapters.authzen.reading import Invalid, Kind, Semantic
from ledger.model import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One evaluation's answer, written as JSON."""

    permitted: bool
    document: bytes


def decision(permitted: bool, context: bytes) -> Answered:
    """A decision, with its context as it is written already."""
    word = b"true" if permitted else b"false"
    return Answered(permitted=permitted, document=b'{"decision":%b,"context":%b}' % (word, context))


def invalid(item: Invalid) -> Answered:
    """The answer in the place of an item that is no request; nothing was evaluated or recorded for it."""
    errors: list[JSON] = [{"pointer": e.pointer, "detail": e.detail} for e in item.errors]
    first = item.errors[0]
    context: JSON = {"code": "invalid", "reason": f"{first.pointer} {first.detail}".strip(), "errors": errors}
    return Answered(permitted=False, document=orjson.dumps({"decision": False, "context": context}))


def evaluations(answered: Iterable[Answered]) -> bytes:
    """The answers of a batch, in the order of its items; it ends where the evaluation ended."""
    return b'{"evaluations":[%b]}' % b",".join(each.document for each in answered)


def ends(semantic: Semantic, answered: Answered) -> bool:
    """Whether a batch ends with this answer (section 7.1.2.1)."""
    if semantic == "deny_on_first_deny":
        return not answered.permitted
    return semantic == "permit_on_first_permit" and answered.permitted


def found(
    kind: Kind, entity_type: str, names: Sequence[str], *, next_token: str | None, revision: str, at: str
) -> bytes:
    """A search's answer; `next_token` is None where nobody asked for pages and everything is here.

    `context` says that nothing of it was recorded: a search shows, and decides nothing.
    """
    results: list[JSON] = [{"name": n} if kind == "action" else {"type": entity_type, "id": n} for n in names]
    answer: dict[str, JSON] = {}
    if next_token is not None:
        answer["page"] = {"next_token": next_token, "count": len(results)}
    answer["context"] = {"recorded": False, "revision": revision, "at": at}
    answer["results"] = results
    return orjson.dumps(answer)
