"""An evaluation as a page that needs nothing but itself: tables, and curves in SVG."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retro_cli.cli import console
from retro_cli.cli.eval_table import interval, number

if TYPE_CHECKING:
    from retro_cli.evaluate.bootstrap import Estimate
    from retro_cli.evaluate.lm_report import LmReport

_STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ddd; --soft: #777;
  --on: #1b6ca8; --shuffled: #c26a1b; --off: #666 }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --paper: #181a1b; --line: #3a3d3f;
  --soft: #999; --on: #62b0ea; --shuffled: #f0a35c; --off: #aaa } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--ink); background: var(--paper) }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .25rem .8rem; border-bottom: 1px solid var(--line); text-align: right }
th:first-child, td:first-child { text-align: left }
svg { width: 100%; max-width: 46rem; height: auto; font: 12px system-ui, sans-serif }
svg text { fill: var(--soft) } .grid { stroke: var(--line) }
.on { stroke: var(--on); fill: var(--on) } .off { stroke: var(--off); fill: var(--off) }
.shuffled { stroke: var(--shuffled); fill: var(--shuffled) }
svg path { stroke-width: 2 } svg text.on, svg text.off, svg text.shuffled
  { stroke: none }
svg text.on { fill: var(--on) } svg text.off { fill: var(--off) }
svg text.shuffled { fill: var(--shuffled) }
.notes { color: var(--soft) } td { font-variant-numeric: tabular-nums }
"""
_ORDER = ("on", "shuffled", "off")
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 300, 60, 90, 15, 40


@dataclass(frozen=True)
class Curve:
    """points: (place on the axis from 0 to 1, estimate)."""

    name: str
    points: list[tuple[float, Estimate]]


def write(path: Path, report: LmReport) -> None:
    """Raises UsageError where the file cannot be written."""
    from retro_cli.store.atomic import check_output, write_bytes

    check_output(path)
    title = f"{html.escape(console.clean(report.model))} on held-out text"
    settings = report.settings
    facts = (
        f"{report.documents:,} documents, {report.tokens:,} tokens and {report.bytes:,} bytes "
        f"scored; database {report.database}, generation {report.generation} of "
        f"{report.database_rows:,} chunks by {report.encoder}; window {settings.window}, stride "
        f"{settings.stride}, {settings.k} neighbours, seed {settings.seed}."
    )
    notes = "".join(f"<li>{html.escape(console.clean(note))}</li>" for note in report.notes())
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{_STYLE}</style></head><body>
<h1>{title}</h1>
<p>{html.escape(console.clean(facts))}</p>
<h2>Bits per byte</h2>{_overall(report)}
<h2>By overlap with the neighbours</h2>
<p>Chunks whose longest run of tokens shared with one of their ten nearest neighbours is at most
this share of the chunk.</p>{_overlap(report)}{_by_count(report)}{_by_share(report)}
<h2>To read these numbers</h2><ul class="notes">{notes}</ul>{_left_out(report)}
</body></html>
"""
    write_bytes(path, page.encode("utf-8", "backslashreplace"))


def _overall(report: LmReport) -> str:
    overall = report.measured.overall
    rows = [
        [name, number(overall.bpb[name].value), interval(overall.bpb[name])]
        for name in _ORDER
        if name in overall.bpb
    ]
    if report.backbone == "verified":
        rows.append(["backbone", number(overall.bpb["off"].value), "the same as off"])
    rows += [
        [name, number(value.value, "+"), interval(value, "+")]
        for name, value in overall.differences.items()
    ]
    return _table(["", "bits per byte", "95 % interval"], rows)


def _overlap(report: LmReport) -> str:
    rows = report.measured.leakage
    names = [name for name in _ORDER if name in rows[-1].compared.bpb]
    curves = [
        Curve(name, [(r.alpha, r.compared.bpb[name]) for r in rows if r.alpha is not None])
        for name in names
    ]
    ticks = [(r.alpha, f"{r.alpha:.3g}") for r in rows if r.alpha is not None]
    differences = list(rows[-1].compared.differences)
    cells = [
        [
            "fewer than 8 tokens" if row.alpha is None else f"{row.alpha:g}",
            f"{row.chunks:,}",
            f"{row.bytes:,}",
            *[number(row.compared.bpb[name].value) for name in names],
            *[_signed(row.compared.differences[name]) for name in differences],
        ]
        for row in rows
    ]
    head = ["shared, at most", "chunks", "bytes", *names, *differences]
    return _chart(curves, ticks, "share of the chunk") + _table(head, cells)


def _by_count(report: LmReport) -> str:
    counts = list(report.counts.items())
    return _by("Number of neighbours", "neighbours", [(str(k), name) for k, name in counts], report)


def _by_share(report: LmReport) -> str:
    shares = list(report.shares.items())
    named = [(f"{share:g} %", name) for share, name in shares]
    return _by("Share of the database", "share of the documents", named, report)


def _by(title: str, axis: str, asked: Sequence[tuple[str, str]], report: LmReport) -> str:
    if not asked:
        return ""
    known = {**report.measured.overall.bpb, **report.measured.others}
    places = [index / max(1, len(asked) - 1) for index in range(len(asked))]
    found = [known[name] for _, name in asked]
    ticks = list(zip(places, [label for label, _ in asked], strict=True))
    off = Curve("off", [(place, known["off"]) for place in places])
    curves = [Curve("on", list(zip(places, found, strict=True))), off]
    rows = [
        [label, number(value.value), interval(value)]
        for (label, _), value in zip(asked, found, strict=True)
    ]
    table = _table([axis, "bits per byte", "95 % interval"], rows)
    return f"<h2>{title}</h2>{_chart(curves, ticks, axis)}{table}"


def _signed(value: Estimate) -> str:
    spread = interval(value, "+")
    return number(value.value, "+") + (f" ({spread})" if spread else "")


def _left_out(report: LmReport) -> str:
    rows = [[one.name, one.copy, f"{one.jaccard:.3f}"] for one in report.contaminated]
    if not rows:
        return ""
    return "<h2>Left out</h2>" + _table(["document", "copy of", "Jaccard"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def cells(values: Sequence[str], tag: str) -> str:
        return "".join(f"<{tag}>{html.escape(console.clean(value))}</{tag}>" for value in values)

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<table><thead><tr>{cells(head, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def _chart(curves: Sequence[Curve], ticks: Sequence[tuple[float, str]], axis: str) -> str:
    """Lines with their intervals; what has no value is left out."""
    values = [
        value
        for curve in curves
        for _, point in curve.points
        for value in (point.value, point.low, point.high)
        if value is not None
    ]
    if not values:
        return "<p>There is nothing to draw.</p>"
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.01
    low, high = low - margin, high + margin

    def across(place: float) -> float:
        return _LEFT + place * (_WIDTH - _LEFT - _RIGHT)

    def down(value: float) -> float:
        return _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Bits per byte by {html.escape(axis)}">'
    ]
    for step in range(5):
        value = low + step / 4 * (high - low)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{down(value):.1f}" '
            f'y2="{down(value):.1f}"/><text x="{_LEFT - 8}" y="{down(value) + 4:.1f}" '
            f'text-anchor="end">{value:.3f}</text>'
        )
    parts += [
        f'<text x="{across(place):.1f}" y="{_HEIGHT - _BOTTOM + 18}" '
        f'text-anchor="middle">{html.escape(label)}</text>'
        for place, label in ticks
    ]
    middle = across(0.5)
    parts.append(
        f'<text x="{middle:.1f}" y="{_HEIGHT - 4}" text-anchor="middle">{html.escape(axis)}</text>'
    )
    for turn, curve in enumerate(curves):
        parts.append(
            f'<text class="{curve.name}" x="{_WIDTH - _RIGHT + 14}" y="{_TOP + 12 + 16 * turn}">'
            f"{curve.name}</text>"
        )
        parts.append(_line(curve, across, down, 4 * (turn - (len(curves) - 1) / 2)))
    return "".join([*parts, "</svg>"])


def _line(
    curve: Curve, across: Callable[[float], float], down: Callable[[float], float], aside: float
) -> str:
    """A curve with its intervals, moved aside so that those of several can be told apart."""
    known = [
        (across(place) + aside, point, point.value)
        for place, point in curve.points
        if point.value is not None
    ]
    if not known:
        return ""
    path = " ".join(f"{x:.1f},{down(value):.1f}" for x, _, value in known)
    parts = [f'<path class="{curve.name}" style="fill: none" d="M{path}"/>']
    for x, point, value in known:
        parts.append(
            f'<circle class="{curve.name}" cx="{x:.1f}" cy="{down(value):.1f}" r="3">'
            f"<title>{curve.name}: {number(value)} {interval(point)}</title></circle>"
        )
        if point.low is not None and point.high is not None:
            parts.append(
                f'<line class="{curve.name}" x1="{x:.1f}" x2="{x:.1f}" '
                f'y1="{down(point.low):.1f}" y2="{down(point.high):.1f}" opacity=".5"/>'
            )
    return "".join(parts)
