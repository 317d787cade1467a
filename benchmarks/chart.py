"""Bar charts as SVG, readable on light and on dark pages: no script, no font of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from benchmarks.table import number

_WIDTH: Final = 760
_LABEL: Final = 330
_VALUE: Final = 80
_ROW: Final = 34
_TOP: Final = 46
_STYLE: Final = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; }
.ours { fill: #2563c9; } .other { fill: #8a939e; } .spread { stroke: #1f2328; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .ours { fill: #6ea8fe; } .other { fill: #7d8590; } .spread { stroke: #e6edf3; }
}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: the median, and the least and the most of the rounds."""

    name: str
    value: float
    low: float
    high: float
    ours: bool


def svg(title: str, bars: Sequence[Bar]) -> str:
    """The chart; longer is more, from 0 on."""
    height = _TOP + _ROW * len(bars) + 10
    room = _WIDTH - _LABEL - _VALUE
    most = max([bar.high for bar in bars if bar.high > 0] or [1.0])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="10" y="24">{escape(title)}</text>',
    ]
    for place, bar in enumerate(bars):
        y = _TOP + _ROW * place
        length, low, high = (room * value / most for value in (bar.value, bar.low, bar.high))
        parts += [
            f'<text x="{_LABEL - 10}" y="{y + 16}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect class="{"ours" if bar.ours else "other"}" x="{_LABEL}" y="{y}" width="{length:.1f}" height="22"/>',
            f'<text x="{_LABEL + max(length, high) + 8:.1f}" y="{y + 16}">{number(bar.value)}</text>',
        ]
        if bar.high > bar.low:
            ends = " ".join(f"M{_LABEL + x:.1f} {y + 6} v10" for x in (low, high))
            line = f"M{_LABEL + low:.1f} {y + 11} H{_LABEL + high:.1f} {ends}"
            parts.append(f'<path class="spread" d="{line}" fill="none"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def write(path: Path, title: str, bars: Sequence[Bar]) -> None:
    """Write the chart."""
    path.write_text(svg(title, bars))
