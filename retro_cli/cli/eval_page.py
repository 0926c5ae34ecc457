"""An evaluation as a page that needs nothing but itself: tables, and curves in SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retro_cli.cli import page
from retro_cli.cli.eval_table import interval, number
from retro_cli.cli.page_chart import Curve, Mark, lines

if TYPE_CHECKING:
    from retro_cli.evaluate.bootstrap import Estimate
    from retro_cli.evaluate.lm_report import LmReport

_ORDER = ("on", "shuffled", "off")
_STYLES = {"on": "first", "shuffled": "second", "off": "third"}


def write(path: Path, report: LmReport) -> None:
    """Raises UsageError where the file cannot be written."""
    settings = report.settings
    facts = (
        f"{report.documents:,} documents, {report.tokens:,} tokens and {report.bytes:,} bytes "
        f"scored; database {report.database}, generation {report.generation} of "
        f"{report.database_rows:,} chunks by {report.encoder}; window {settings.window}, stride "
        f"{settings.stride}, {settings.k} neighbours, seed {settings.seed}."
    )
    body = f"""{page.paragraph(facts)}
<h2>Bits per byte</h2>{_overall(report)}
<h2>By overlap with the neighbours</h2>
<p>Chunks whose longest run of tokens shared with one of their ten nearest neighbours is at most
this share of the chunk.</p>{_overlap(report)}{_by_count(report)}{_by_share(report)}
<h2>To read these numbers</h2>{page.notes(report.notes())}{_left_out(report)}"""
    page.save(path, f"{report.model} on held-out text", body)


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
    return page.table(["", "bits per byte", "95 % interval"], rows)


def _overlap(report: LmReport) -> str:
    rows = report.measured.leakage
    names = [name for name in _ORDER if name in rows[-1].compared.bpb]
    curves = [
        _curve(name, [(r.alpha, r.compared.bpb[name]) for r in rows if r.alpha is not None])
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
    return _chart(curves, ticks, "share of the chunk") + page.table(head, cells)


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
    off = _curve("off", [(place, known["off"]) for place in places])
    curves = [_curve("on", list(zip(places, found, strict=True))), off]
    rows = [
        [label, number(value.value), interval(value)]
        for (label, _), value in zip(asked, found, strict=True)
    ]
    table = page.table([axis, "bits per byte", "95 % interval"], rows)
    return f"<h2>{title}</h2>{_chart(curves, ticks, axis)}{table}"


def _signed(value: Estimate) -> str:
    spread = interval(value, "+")
    return number(value.value, "+") + (f" ({spread})" if spread else "")


def _left_out(report: LmReport) -> str:
    rows = [[one.name, one.copy, f"{one.jaccard:.3f}"] for one in report.contaminated]
    if not rows:
        return ""
    return "<h2>Left out</h2>" + page.table(["document", "copy of", "Jaccard"], rows)


def _curve(name: str, points: Sequence[tuple[float, Estimate]]) -> Curve:
    """points: (place on the axis from 0 to 1, estimate)."""
    return Curve(name, _STYLES[name], [Mark(place, value) for place, value in points])


def _chart(curves: Sequence[Curve], ticks: Sequence[tuple[float, str]], axis: str) -> str:
    return lines(curves, ticks, axis, f"Bits per byte by {axis}")
