"""The canary: a package in every bundle whose answers prove, at each start, that OPA works as it must.

`strict` must be an *error* when `input.text` is no number. Without strict builtin errors it would be undefined, and a
gate's erring condition would vanish in silence. The bundle build packs this text at `CANARY_PATH`.
"""

from __future__ import annotations

from typing import Final

CANARY_PATH: Final = "muster/canary/canary.rego"

ALIVE: Final = "muster/canary/alive"
STRICT: Final = "muster/canary/strict"
STRICT_INPUT: Final = b'{"text":"no number"}'

CANARY_REGO: Final = """\
# METADATA
# description: proves at each start that OPA answers, and that a builtin error is an error
package muster.canary

# METADATA
# description: true in every bundle
# entrypoint: true
alive := true

# METADATA
# description: an error under strict builtin errors where the text is no number
# entrypoint: true
strict := to_number(input.text)
"""
