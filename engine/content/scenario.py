"""A scenario's graph: where each choice leads, and whether it is a scenario at all. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator

from engine.bundling.validate import near
from engine.content.models import Scenario

Mistake = tuple[tuple[str | int, ...], str, str]
FEWEST_STEPS, FEWEST_FAILED_ENDS = 3, 2


def mistakes(graph: Scenario) -> Iterator[Mistake]:
    """What makes a scenario impossible to finish: (place, message, what to do)."""
    places = {*graph.states, *graph.ends}
    broken = False
    for both in sorted(graph.states.keys() & graph.ends.keys()):
        yield ("ends", both), f"{both} is a state too", "choose another name"
    if graph.start not in graph.states:
        broken = True
        yield ("start",), f"there is no state {graph.start}", near(graph.start, graph.states, "name a state")
    for name, state in graph.states.items():
        for option, choice in state.choices.items():
            if choice.to not in places:
                broken = True
                place = ("states", name, "choices", option, "to")
                yield place, f"there is no state or end {choice.to}", near(choice.to, places)
    if broken:
        return
    reached = set(_walk(graph))
    for name in sorted(graph.states.keys() - reached):
        yield ("states", name), "is never reached", "lead a choice to it, or remove it"
    for name in sorted(graph.ends.keys() - reached):
        yield ("ends", name), "is never reached", "lead a choice to it, or remove it"
    loop = _loop(graph)
    if loop is not None:
        yield ("states", loop), "can be reached from itself", "a scenario goes forward, or it could be tried for ever"
    elif not any(graph.ends[name].passed for name in reached & graph.ends.keys()):
        yield ("ends",), "none that is passed can be reached", "lead a choice to one"


def shortest(graph: Scenario) -> int:
    """How many choices the shortest way to a passed end takes; the graph has none of `mistakes`."""
    lengths: dict[str, int] = {graph.start: 0}
    for name in _walk(graph):
        if name in graph.states:
            for choice in graph.states[name].choices.values():
                lengths.setdefault(choice.to, lengths[name] + 1)
    return min(lengths[name] for name, end in graph.ends.items() if end.passed and name in lengths)


def _walk(graph: Scenario) -> Iterator[str]:
    """Every state and end that can be reached, nearest first."""
    known, pending = {graph.start}, [graph.start]
    while pending:
        name = pending.pop(0)
        yield name
        state = graph.states.get(name)
        for choice in state.choices.values() if state else ():
            if choice.to not in known:
                known.add(choice.to)
                pending.append(choice.to)


def _loop(graph: Scenario) -> str | None:
    """A state that can be reached from itself."""
    done: set[str] = set()

    def search(name: str, way: tuple[str, ...]) -> str | None:
        if name in way:
            return name
        if name in done or name in graph.ends:
            return None
        done.add(name)
        found = (search(c.to, (*way, name)) for c in graph.states[name].choices.values())
        return next((loop for loop in found if loop is not None), None)

    return search(graph.start, ())
