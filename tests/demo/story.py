"""The service of the demo, the tokens of those who play in it, and what every part of the story uses."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

DESTINATION = "warehouse://analytics"
LESSON = "secure-data-export"
SCENARIO = "export-scenario"


class Told(AssertionError):
    """A step of the story was not as told."""


def expect(condition: bool, what: str) -> None:
    """Fail the demo with a sentence."""
    if not condition:
        raise Told(what)


def instant(ahead: timedelta = timedelta()) -> str:
    """The instant that lies so far ahead of now."""
    return (datetime.now(UTC) + ahead).strftime("%Y-%m-%dT%H:%M:%S.") + "000Z"


class Story:
    """The service, the tokens of those who play in the story, and its steps."""

    def __init__(self, home: Path) -> None:
        self.home = home
        found = dict(re.findall(r"^export (\w+)='(.*)'$", (home / "demo.env").read_text("utf-8"), re.MULTILINE))
        self.tokens = {role.lower(): text for role, text in found.items()}
        base = os.environ.get("MUSTER_URL") or found["MUSTER_URL"]
        if base.startswith("unix:"):
            self.http = httpx.Client(transport=httpx.HTTPTransport(uds=base[5:]), base_url="http://muster")
        else:
            self.http = httpx.Client(base_url=base)
        run = secrets.token_hex(3)
        self.engineer, self.operator = f"ada-{run}", f"olu-{run}"
        self.approvers = (f"bea-{run}", f"cem-{run}")

    def call(self, who: str, method: str, path: str, body: Any = None, *, want: int = 200) -> Any:
        """One request under somebody's token, printed with its answer."""
        print(f"\n  {method} {path}   (as {who})")
        if body is not None:
            print("  > " + json.dumps(body, ensure_ascii=False))
        answer = self.http.request(
            method, path, json=body, headers={"Authorization": f"Bearer {self.tokens[who]}"}, timeout=30
        )
        print(f"  < {answer.status_code} " + json.dumps(answer.json(), ensure_ascii=False))
        expect(answer.status_code == want, f"{method} {path}: expected {want}, got {answer.status_code}")
        return answer.json()

    def muster(self, *words: str) -> str:
        """One command, printed with its answer."""
        print("\n  $ muster " + " ".join(words))
        done = subprocess.run(
            [str(Path(sys.executable).with_name("muster")), *words],
            env={**os.environ, "MUSTER_HOME": str(self.home)},
            capture_output=True,
            text=True,
            check=False,
        )
        print("  " + (done.stdout + done.stderr).strip().replace("\n", "\n  "))
        expect(done.returncode == 0, f"muster {' '.join(words)}: exit code {done.returncode}")
        return done.stdout

    def decide(self, subject: str, action: str, resource: Any, context: Any) -> Any:
        """Ask as a gateway does."""
        request = {
            "subject": {"type": "user", "id": subject},
            "action": {"name": action},
            "resource": resource,
            "context": context,
        }
        return self.call("gateway", "POST", "/v1/decisions", request)


def codes(answer: Any) -> set[str]:
    """The codes of an answer's denials."""
    return {d["code"] for d in answer["denials"]}


@contextmanager
def step(number: int, title: str) -> Iterator[None]:
    """A step of the story; a deviation says in which."""
    print(f"\n{number}. {title}")
    try:
        yield
    except Told as exc:
        print(f"\nNOT AS TOLD in step {number}: {exc}", file=sys.stderr)
        sys.exit(1)


def export(story: Story, *, without: str | None = None, customer: str = "acme", **changed: Any) -> Any:
    """Ask for the data export, with one thing changed or left out."""
    context = {
        "destination": DESTINATION,
        "ticket": "REQ-2041",
        "columns": ["customer_id", "country"],
        **changed,
    }
    properties = {"customer": customer}
    context.pop(without or "", None)
    properties.pop(without or "", None)
    resource = {"type": "dataset", "id": "customers", "properties": properties}
    return story.decide(story.engineer, "data-export", resource, context)
