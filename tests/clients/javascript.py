"""Runs the JavaScript kit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DRIVER = Path(__file__).with_name("driver.mjs")


def node(asked: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One answer of the driver for each line."""
    lines = "".join(json.dumps(each) + "\n" for each in asked)
    done = subprocess.run(["node", str(DRIVER)], input=lines, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(asked)
    return answers
