"""A report as a page: facts, plots and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retro_cli.cli import console, filter_page, page
from retro_cli.cli.eval_table import interval, number
from retro_cli.cli.page_chart import Curve, Mark, bars, lines
from retro_cli.wording import counted

if TYPE_CHECKING:
    from retro_cli.evaluate.bootstrap import Estimate
    from retro_cli.evaluate.index import IndexReport, Point
    from retro_cli.evaluate.saved import Evaluation
    from retro_cli.reporting import Report, Toxicity

IN_TABLE = 40  # sources
_MOST_BARS = 80
_MAIN = ("ndcg@10", "recall@10", "recall@100", "hit@5", "mrr", "map")


def write(path: Path, report: Report) -> None:
    """Raises UsageError where the file cannot be written."""
    body = "".join(
        [
            _facts(report),
            _index(report.index),
            _sources(report),
            _lengths(report.lengths),
            _evaluations(report.evaluations),
        ]
    )
    page.save(path, report.database, body)


def _facts(report: Report) -> str:
    rows = [("on the disk", console.size(report.status.bytes))]
    for stage in report.status.stages:
        known = [
            f"{name.replace('_', ' ')} {_fact(value)}"
            for name, value in stage.facts.items()
            if value not in (0, None, "")
        ]
        state = stage.state + (f" ({stage.why})" if stage.why else "")
        rows.append((f"{stage.name}: {state}", ", ".join(known)))
    return "<h2>State</h2>" + page.facts(rows)


def _fact(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(str(item) for item in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _index(found: IndexReport | None) -> str:
    if found is None:
        return ""
    said = (
        f"{found.factory}, generation {found.generation}: {counted(found.rows, 'row')} in "
        f"{counted(found.lists, 'list')}, {counted(found.queries, 'query', 'queries')}."
    )
    rows = [
        [
            f"{point.nprobe:,}" + (" (tuned)" if point.tuned else ""),
            number(point.recall.value),
            interval(point.recall),
            *_milliseconds(point.latency),
            f"{point.p95:.2f}",
        ]
        for point in found.points
    ]
    rows.append(["exact search", number(1.0), "", *_milliseconds(found.exact), ""])
    kinds = [*("strong" if point.tuned else "" for point in found.points), "out"]
    recall = f"recall@{found.settings.k}"
    head = ["lists probed", recall, "95 % interval", "ms, median", "95 % interval", "p95, ms"]
    words = page.paragraph(" ".join([said, *found.notes()]))
    chart = _recall_chart(found.points, recall)
    return f"<h2>Recall against latency</h2>{words}{chart}{page.table(head, rows, kinds)}"


def _milliseconds(value: Estimate) -> list[str]:
    spread = "" if value.low is None else f"{value.low:.2f} to {value.high:.2f}"
    return ["-" if value.value is None else f"{value.value:.2f}", spread]


def _recall_chart(points: Sequence[Point], recall: str) -> str:
    """Recall by the logarithm of the latency."""
    if len(points) < 2:
        return ""
    times = [math.log10(max(point.latency.value or 0, 1e-3)) for point in points]
    low = min(times)
    width = max(times) - low or 1.0
    marks = [
        Mark((time - low) / width, point.recall, f"nprobe {point.nprobe}", point.tuned)
        for time, point in zip(times, points, strict=True)
    ]
    ticks = [(step / 4, f"{10 ** (low + step / 4 * width):.2g}") for step in range(5)]
    axis = "milliseconds a query (median, one thread)"
    return lines([Curve(recall, "first", marks)], ticks, axis, f"{recall} against latency", 1.0)


def _sources(report: Report) -> str:
    if report.toxicity is not None:
        return _toxic(report.toxicity)
    rows = [
        [each.source, f"{each.docs:,}", f"{each.chunks:,}", f"{each.filtered:,}"]
        for each in report.sources[:IN_TABLE]
    ]
    said = "No toxicity scores are there: retro filter score gives every chunk one."
    head = ["source", "documents", "chunks", "kept out"]
    return f"<h2>Sources</h2>{page.paragraph(said)}{page.table(head, rows)}" + _more(report.sources)


def _toxic(found: Toxicity) -> str:
    said = (
        f"Scores of the table {found.table}; toxic from {found.threshold:g} on. Coloured rows have "
        "a mean above it; pale ones are filtered, in part or whole."
    )
    return (
        f"<h2>Sources and their toxicity</h2>{page.paragraph(said)}"
        f"{filter_page.histogram(found.counts, found.threshold)}"
        f"{filter_page.scores(found.sources[:IN_TABLE], found.threshold)}{_more(found.sources)}"
    )


def _more(sources: Sequence[Any]) -> str:
    more = len(sources) - IN_TABLE
    return page.paragraph(f"and {counted(more, 'more source')}") if more > 0 else ""


def _lengths(counts: Sequence[int]) -> str:
    total = sum(counts)
    if not total:
        return ""
    mean = sum(tokens * count for tokens, count in enumerate(counts)) / total
    longest = len(counts) - 1
    step = math.ceil(len(counts) / _MOST_BARS)
    firsts = range(0, len(counts), step)
    grouped = [sum(counts[first : first + step]) for first in firsts]
    names = [str(n) if step == 1 else f"{n} to {min(n + step - 1, longest)}" for n in firsts]
    ticks = [
        ((value // step + 0.5) / len(grouped), str(value))
        for value in sorted({round(part * longest / 4) for part in range(5)})
    ]
    said = f"{counted(total, 'chunk')} of {mean:.1f} tokens on average, {longest} at most."
    chart = bars(grouped, ticks, "tokens of a chunk", "Chunks by their length", names)
    return f"<h2>Chunk lengths</h2>{page.paragraph(said)}{chart}"


def _evaluations(found: Sequence[Evaluation]) -> str:
    if not found:
        return ""
    retrieval = [each for each in found if each.kind == "retrieval"]
    parts = ["<h2>Evaluations</h2>", _compared(retrieval)]
    for each in found:
        rows = [[name, number(value.value), interval(value)] for name, value in each.estimates]
        table = page.table(["", "value", "95 % interval"], rows)
        title = page.escaped(f"{each.name} ({each.kind})")
        parts.append(f"<h3>{title}</h3>{table}{page.notes(each.notes) if each.notes else ''}")
    return "".join(parts)


def _compared(found: Sequence[Evaluation]) -> str:
    """The main measures of several evaluations side by side."""
    if len(found) < 2:
        return ""
    measured = [dict(each.estimates) for each in found]
    names = [name for name in _MAIN if any(name in values for values in measured)]
    rows = [
        [each.name, *(_with_interval(values.get(name)) for name in names)]
        for each, values in zip(found, measured, strict=True)
    ]
    return page.table(["retrieval", *names], rows)


def _with_interval(value: Estimate | None) -> str:
    if value is None or value.value is None:
        return "-"
    spread = f" ({value.low:.3f} to {value.high:.3f})" if value.low is not None else ""
    return f"{value.value:.3f}{spread}"
