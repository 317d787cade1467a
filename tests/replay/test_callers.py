"""Whom an entry names as its author held a token; where that is gone, only an erasure can have taken it."""

from __future__ import annotations

import pytest

from engine.replay.checks import Past, callers
from ledger import canonical
from ledger.model import JSON, Entry
from tests.ledger.builders import ANN, START, TENANT, ref_of, subject

ERASED, ERASURE = 3, 9
TOKEN = "01890000-0000-7000-8000-000000000000"


def entry(index: int, kind: str, value: dict[str, JSON]) -> Entry:
    """An entry as a reader has it."""
    return Entry(
        index=index, id=f"e{index}", at=START, kind=kind, tenant=TENANT, header=b"", payload=canonical.encode(value),
        salt=None, about=ANN if kind == "subject" else None,
    )  # fmt: skip


def found(principal: dict[str, JSON], index: int = 5, *, erased: bool = True) -> list[str]:
    """What is said of an author without a token, in a log where somebody was erased later."""
    past = Past(TENANT, erasures={ERASED: ERASURE} if erased else {})
    past.advance(entry(0, "subject", dict(subject(ANN, {"active": True}).payload)))
    by: JSON = {"role": "admin", "token": TOKEN, "principal": principal}
    return [f.detail for f in callers(entry(index, "change_window", {"by": by}), past)]


def test_the_token_of_who_was_erased_went_with_them() -> None:
    """Nobody can tell any more that they held it; that is no finding."""
    assert found({"type": "user", "ref": "f" * 32}) == []


@pytest.mark.parametrize(
    ("principal", "index", "erased"),
    [
        pytest.param({"type": "user", "ref": ref_of(ANN)}, 5, True, id="who is still there was not erased"),
        pytest.param({"type": "system", "id": "ci"}, 5, True, id="no system is erased"),
        pytest.param({"type": "user", "ref": "f" * 32}, 5, False, id="nobody was erased"),
        pytest.param({"type": "user", "ref": "f" * 32}, 10, True, id="the erasure was before"),
        pytest.param({"type": "user", "ref": "f" * 32}, 2, True, id="who was erased came later"),
    ],
)
def test_any_other_token_that_is_not_there_is_named(principal: dict[str, JSON], index: int, erased: bool) -> None:
    """Though somebody was erased, it cannot have been this author."""
    assert [TOKEN in detail for detail in found(principal, index, erased=erased)] == [True]
