"""The canonical input, put together from its parts, is the canonical form of the whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.decide.record import canonical_input, key_of, lease_key
from ledger import canonical
from ledger.model import JSON

NOW = "2026-11-26T12:00:00.000Z"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e9, 1e9) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
PARTS = st.fixed_dictionaries(
    {name: st.dictionaries(st.text(max_size=4), VALUES, max_size=3) for name in ("action", "context", "facts")}
    | {name: st.dictionaries(st.text(max_size=4), VALUES, max_size=3) for name in ("resource", "subject")}
)


@given(PARTS)
def test_the_parts_make_the_whole(question: dict[str, JSON]) -> None:
    """Byte for byte, with `now` and without, and so is the key of a lease."""
    timeless, whole = canonical_input(question, NOW)
    assert timeless == canonical.encode(question)
    assert whole == canonical.encode({**question, "now": NOW})
    assert key_of("r", timeless) == lease_key("r", {**question, "now": NOW})
