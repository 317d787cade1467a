"""What has been encoded already, as a part of what is to be encoded.

By itself, since `ledger.canonical` is compiled, and what is compiled cannot extend `bytes`.
"""

from __future__ import annotations

from typing import Any

import orjson


class Encoded(bytes):
    """What `canonical.encode` has made of a value: where that stands in another value, these bytes are taken for it."""

    __slots__ = ()

    def value(self) -> Any:
        """What they say."""
        return orjson.loads(bytes(self))

    def part(self) -> Any:
        """As a part of a JSON value that is to be encoded, and is good for nothing else."""
        return self
