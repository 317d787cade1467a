"""The words of the pages, in a language: texts with plurals by CLDR, dates and numbers as people there write them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from babel import Locale, dates, lists, numbers

FOLDER = Path(__file__).with_name("locales")
DEFAULT = "en"
_REGIONS = {"en": "en_GB"}
"""Where a language writes its dates in more than one way: as the pages' own words are spelled."""


@cache
def locales() -> tuple[str, ...]:
    """The languages that the pages are there in."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def texts(locale: str) -> dict[str, Any]:
    """Every text of a language: a string, or one for each plural category that the language has."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{locale}.yaml").read_text("utf-8"))
    return found


def choose(*wanted: str | None) -> str:
    """The first language that the pages are there in; `en` where none is."""
    for text in wanted:
        for part in (text or "").split(","):
            code = part.partition(";")[0].strip().partition("-")[0].lower()
            if code in locales():
                return code
    return DEFAULT


@dataclass(frozen=True, slots=True)
class Words:
    """One language, and the zone in which instants are told."""

    locale: str
    zone: str = "UTC"

    def __call__(self, key: str, **values: Any) -> str:
        """A text; with `n`, the plural form of that number. A key that is not there is our own mistake."""
        text = texts(self.locale)[key]
        if isinstance(text, dict):
            text = text[Locale.parse(self.locale).plural_form(values["n"])]
        shown = {k: self.number(v) if isinstance(v, int) else v for k, v in values.items()}
        return str(text).format(**shown)

    def number(self, value: int) -> str:
        """A number."""
        return str(numbers.format_decimal(value, locale=self.locale))

    def date(self, instant: str) -> str:
        """The day of an instant."""
        return dates.format_date(self._moment(instant), format="long", locale=_REGIONS.get(self.locale, self.locale))

    def moment(self, instant: str) -> str:
        """Day and time of an instant, with the zone."""
        return f"{self.date(instant)}, {self._moment(instant):%H:%M} ({self._zone().key})"

    def days(self, now: str, until: str) -> str:
        """How many whole days remain: rounded down, as `remaining_days` of the API is."""
        left = (self._moment(until) - self._moment(now)).days
        return self("days", n=max(0, left))

    def all_of(self, parts: list[str]) -> str:
        """Parts as a list in a sentence."""
        return lists.format_list(parts, locale=self.locale)

    def _moment(self, instant: str) -> datetime:
        return datetime.strptime(instant, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).astimezone(self._zone())

    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError):
            return ZoneInfo("UTC")
