"""Charts in SVG: lines with their intervals, and bars. Text is escaped, colours are the page's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retro_cli.cli.eval_table import interval, number
from retro_cli.cli.page import escaped

if TYPE_CHECKING:
    from retro_cli.evaluate.bootstrap import Estimate

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 304, 64, 18, 28, 52
_KEY_STEP = 96  # between the names above a chart


@dataclass(frozen=True)
class Mark:
    """place: on the axis, from 0 to 1. label: what it says when it is pointed at. strong: larger,
    with its label beside it."""

    place: float
    value: Estimate
    label: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Curve:
    """style: first, second or third."""

    name: str
    style: str
    marks: Sequence[Mark]


def lines(
    curves: Sequence[Curve],
    ticks: Sequence[tuple[float, str]],
    axis: str,
    title: str,
    most: float = math.inf,
) -> str:
    """Curves with their intervals; what has no value is left out. ticks: places and their names.
    most: the highest value there can be."""
    values = [
        number
        for curve in curves
        for mark in curve.marks
        for number in (mark.value.value, mark.value.low, mark.value.high)
        if number is not None
    ]
    if not values:
        return "<p>There is nothing to draw.</p>"
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.01
    low, high = low - margin, min(high + margin, most)

    def across(place: float) -> float:
        return _LEFT + place * (_WIDTH - _LEFT - _RIGHT)

    def down(value: float) -> float:
        return _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    levels = [(down(low + step / 4 * (high - low)), f"{low + step / 4 * (high - low):.3f}")
              for step in range(5)]  # fmt: skip
    parts = [_frame(levels, [(across(place), name) for place, name in ticks], axis, title)]
    named = len(curves) > 1
    for turn, curve in enumerate(curves):
        if named:
            parts.append(
                f'<text class="{curve.style}" x="{_LEFT + _KEY_STEP * turn}" y="{_TOP - 12}">'
                f"{escaped(curve.name)}</text>"
            )
        parts.append(_line(curve, across, down, 4 * (turn - (len(curves) - 1) / 2)))
    return "".join([*parts, "</svg>"])


def bars(
    counts: Sequence[int], ticks: Sequence[tuple[float, str]], axis: str, title: str,
    names: Sequence[str], hot: int | None = None,
) -> str:  # fmt: skip
    """A histogram. names: what each bar is. hot: the first bar of the second colour."""
    highest = max([*counts, 1])
    inside = _WIDTH - _LEFT - _RIGHT
    room = _HEIGHT - _TOP - _BOTTOM
    levels = [(_TOP + room * (1 - step / 2), _short(highest * step / 2)) for step in range(3)]
    parts = [_frame(levels, [(_LEFT + place * inside, name) for place, name in ticks], axis, title)]
    step = inside / max(1, len(counts))
    for place, count in enumerate(counts):
        style = "second" if hot is not None and place >= hot else "first"
        tall = room * count / highest
        parts.append(
            f'<rect class="{style}" x="{_LEFT + place * step:.1f}" y="{_TOP + room - tall:.1f}" '
            f'width="{max(0.5, step - min(2, step / 4)):.1f}" height="{tall:.1f}">'
            f"<title>{escaped(names[place])}: {count:,}</title></rect>"
        )
    return "".join([*parts, "</svg>"])


def _short(count: float) -> str:
    return f"{count:,.0f}" if count < 10_000 else f"{count / 1000:,.0f}k"


def _frame(
    levels: Sequence[tuple[float, str]], ticks: Sequence[tuple[float, str]], axis: str, title: str
) -> str:
    """The grid with its names. levels, ticks: pixels down and across."""
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escaped(title)}">']
    for y, name in levels:
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escaped(name)}</text>'
        )
    for x, name in ticks:
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 22}" text-anchor="middle">'
            f"{escaped(name)}</text>"
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle:.1f}" y="{_HEIGHT - 5}" text-anchor="middle">{escaped(axis)}</text>'
    )
    return "".join(parts)


def _line(
    curve: Curve, across: Callable[[float], float], down: Callable[[float], float], aside: float
) -> str:
    """A curve with its intervals, moved aside so that those of several can be told apart."""
    known = [
        (across(mark.place) + aside, mark, mark.value.value)
        for mark in curve.marks
        if mark.value.value is not None
    ]
    if not known:
        return ""
    path = " ".join(f"{x:.1f},{down(value):.1f}" for x, _, value in known)
    parts = [f'<path class="{curve.style}" style="fill: none" d="M{path}"/>']
    for x, mark, value in known:
        said = f"{mark.label or curve.name}: {number(value)} {interval(mark.value)}"
        parts.append(
            f'<circle class="{curve.style}" cx="{x:.1f}" cy="{down(value):.1f}" '
            f'r="{6 if mark.strong else 3}"><title>{escaped(said)}</title></circle>'
        )
        if mark.value.low is not None and mark.value.high is not None:
            parts.append(
                f'<line class="{curve.style}" x1="{x:.1f}" x2="{x:.1f}" '
                f'y1="{down(mark.value.low):.1f}" y2="{down(mark.value.high):.1f}" opacity=".5"/>'
            )
        if mark.strong:
            parts.append(
                f'<text class="{curve.style}" x="{x:.1f}" y="{down(value) + 22:.1f}" '
                f'text-anchor="middle">{escaped(mark.label)}</text>'
            )
    return "".join(parts)
