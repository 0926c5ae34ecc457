"""Curves with intervals as SVG, readable on light and on dark paper."""

from __future__ import annotations

from dataclasses import dataclass

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 300, 64, 90, 16, 44
COLOURS = ("#1b6ca8", "#c26a1b", "#777777")


@dataclass(frozen=True)
class Curve:
    """points: (x, value, low, high) of each, x rising."""

    name: str
    points: list[tuple[float, float, float, float]]


@dataclass(frozen=True)
class _Paper:
    """Where values lie on the paper."""

    left: float
    right: float
    low: float
    high: float

    @classmethod
    def around(cls, curves: list[Curve]) -> _Paper:
        every = [point for curve in curves for point in curve.points]
        low, high = min(p[2] for p in every), max(p[3] for p in every)
        margin = 0.05 * (high - low) or 0.5
        ends = [p[0] for p in every]
        return cls(min(ends), max(ends), low - margin, high + margin)

    def x(self, value: float) -> float:
        share = (value - self.left) / (self.right - self.left or 1)
        return round(LEFT + (WIDTH - LEFT - RIGHT) * share, 1)

    def y(self, value: float) -> float:
        share = (self.high - value) / (self.high - self.low)
        return round(TOP + (HEIGHT - TOP - BOTTOM) * share, 1)


def chart(curves: list[Curve], x_is: str, y_is: str) -> str:
    """At most three curves, at least one point each."""
    paper = _Paper.around(curves)
    width, height = paper.right - paper.left, paper.high - paper.low
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{y_is} by {x_is}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for n in range(5):
        at, value = paper.left + width * n / 4, paper.low + height * n / 4
        y = paper.y(value)
        parts += [
            f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="#ddd"/>',
            _text(LEFT - 8, y + 4, _number(value, height), "end"),
            _text(paper.x(at), HEIGHT - BOTTOM + 18, _number(at, width), "middle"),
        ]
    parts += [
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_is, "middle"),
        _text(8, TOP - 3, y_is, "start"),
    ]
    for curve, colour in zip(curves, COLOURS, strict=False):
        parts += _drawn(curve, colour, paper)
    return "".join([*parts, *_names(curves, paper), "</svg>\n"])


def _drawn(curve: Curve, colour: str, paper: _Paper) -> list[str]:
    line = " ".join(f"{paper.x(at)},{paper.y(value)}" for at, value, _, _ in curve.points)
    drawn = [f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>']
    for at, value, low, high in curve.points:
        if high > low:
            x, bar = paper.x(at), f"{paper.y(low)}V{paper.y(high)}"
            drawn += [
                f'<path d="M{x} {bar}" stroke="{colour}" stroke-opacity=".45"/>',
                f'<circle cx="{x}" cy="{paper.y(value)}" r="3" fill="{colour}"/>',
            ]
    return drawn


def _names(curves: list[Curve], paper: _Paper) -> list[str]:
    """At the curves' ends, none on top of another."""
    ends = sorted(
        (paper.y(curve.points[-1][1]), number, curve.name) for number, curve in enumerate(curves)
    )
    lowest, named = 0.0, []
    for place, number, name in ends:
        lowest = max(place + 4, lowest + 14)
        named.append(_text(WIDTH - RIGHT + 10, lowest, name, "start", COLOURS[number]))
    return named


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#555") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def _number(value: float, span: float) -> str:
    return f"{value:,.0f}" if span >= 20 else f"{value:.2f}" if span >= 0.2 else f"{value:.4f}"
