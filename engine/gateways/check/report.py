"""A report as a table for people, and as JSON for machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from engine.gateways.check.judging import Result
from engine.gateways.check.run import Report

_WORDS: Final = {"ok": "ok", "note": "note", "wrong": "WRONG", "skipped": "-"}
_INDENT: Final = " " * 8


def table(report: Report, kind: str | None) -> Iterator[str]:
    """A line for each probe, and below it what is wrong, what that lets happen, and the cure."""
    width = max(len(result.name) for result in report.results)
    for result in report.results:
        yield f"{_WORDS[result.result]:6}  {result.name:{width}}  {result.skipped or result.title}"
        yield from _faults(result, kind)
    wrong = [result.name for result in report.results if result.result == "wrong"]
    yield ""
    others = f"; {report.others} of others were not judged" if report.others else ""
    asks = f"{report.asked} asks, " if report.asked else ""
    yield f"{asks}{report.arrived} requests arrived{others}"
    if wrong:
        yield f"WRONG: {', '.join(wrong)}"
    if report.stopped:
        yield f"not all could be looked at: {report.stopped}"
    elif not wrong:
        yield "every request that arrived had its own decision"


def _faults(result: Result, kind: str | None) -> Iterator[str]:
    for name, fault in result.faults.items():
        times = result.seen[name]
        yield f"{_INDENT}{fault.what}{f' ({times} times)' if times > 1 else ''}: {fault.lets}."
        yield f"{_INDENT}Cure: {fault.cure_for(kind)}."
        yield from (f"{_INDENT}  {example}" for example in result.examples[name])


def document(report: Report, kind: str | None, url: str) -> dict[str, Any]:
    """The same for machines."""
    return {
        "gateway": url,
        "kind": kind,
        "ok": not report.wrong and not report.stopped,
        "stopped": report.stopped or None,
        "asks": report.asked,
        "arrived": report.arrived,
        "others": report.others,
        "probes": [
            {
                "probe": result.name,
                "title": result.title,
                "result": result.result,
                "faults": [
                    {
                        "fault": name,
                        "level": fault.level,
                        "what": fault.what,
                        "lets": fault.lets,
                        "cure": fault.cure_for(kind),
                        "times": result.seen[name],
                        "examples": list(result.examples[name]),
                    }
                    for name, fault in result.faults.items()
                ],
            }
            for result in report.results
        ],
    }
