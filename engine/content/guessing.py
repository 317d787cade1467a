"""Whether a key can be guessed from how an item looks: over all items, neither the position nor the length of an option
may predict what is right better than chance.

Each habit of a guesser ("the longest", "the second") is tried on every item. Chance gives it an expected number of
hits; more than that by 2.33 standard deviations (one chance in a hundred) is a tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

from engine.content.models import Keys, Quiz
from engine.content.module import Content

DEVIATIONS = 2.33
FEWEST_ITEMS = 16
"""Below this the numbers say nothing."""

Habit = Callable[[Mapping[str, str]], str | None]


def tells(found: Iterable[Content]) -> Iterator[tuple[Content, tuple[str | int, ...], str]]:
    """Every habit that pays, at the first item where it does: (module, place in keys.yaml, message)."""
    items = [item for content in found for locale in content.locales for item in _items(content, locale)]
    for locale in sorted({i[1] for i in items}):
        own = [i for i in items if i[1] == locale]
        if len(own) < FEWEST_ITEMS:
            continue
        for name, habit in _habits().items():
            tried = [(content, item, habit(options), options, right) for content, _, item, options, right in own]
            used = [t for t in tried if t[2] is not None]
            hits = [(content, item) for content, item, guess, _, right in used if guess == right]
            chance = [1 / len(options) for _, _, _, options, _ in used]
            bound = sum(chance) + DEVIATIONS * math.sqrt(sum(p * (1 - p) for p in chance))
            if used and len(hits) > bound:
                content, item = hits[0]
                told = f"choosing {name} is right in {len(hits)} of {len(used)} items ({locale})"
                yield content, ("quiz", item), f"{told}, chance gives {sum(chance):.0f}"


def _items(content: Content, locale: str) -> Iterator[tuple[Content, str, str, Mapping[str, str], str]]:
    words = content.words(locale)
    quiz, keys = content.model("quiz.yaml", Quiz), content.model("keys.yaml", Keys)
    if quiz is None or keys is None or words.quiz is None:
        return
    for name, item in words.quiz.items.items():
        key = keys.quiz.get(name)
        if key is not None and not item.many and len(key.right) == 1:
            yield content, locale, name, item.options, key.right[0]


def _habits() -> dict[str, Habit]:
    positions: dict[str, Habit] = {f"option {n + 1}": _position(n) for n in range(6)}
    lengths = {"the longest option": -1, "the shortest option": 0, "the shortest option but one": 1}
    return {name: _length(rank) for name, rank in lengths.items()} | positions


def _position(number: int) -> Habit:
    def habit(options: Mapping[str, str]) -> str | None:
        names = list(options)
        return names[number] if number < len(names) else None

    return habit


def _length(rank: int) -> Habit:
    def habit(options: Mapping[str, str]) -> str | None:
        wanted = sorted(len(text) for text in options.values())[rank]
        found = [name for name, text in options.items() if len(text) == wanted]
        return found[0] if len(found) == 1 else None

    return habit
