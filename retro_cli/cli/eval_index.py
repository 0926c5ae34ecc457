"""retro eval index: recall and latency against the number of lists probed."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from retro_cli.cli import console, options, render
from retro_cli.cli.command import command
from retro_cli.cli.eval_table import number
from retro_cli.cli.run import timed
from retro_cli.wording import counted

if TYPE_CHECKING:
    from retro_cli.evaluate.bootstrap import Estimate
    from retro_cli.evaluate.index import IndexReport, Point


def register(group: typer.Typer, panel: str) -> None:
    command(
        group,
        "index",
        ["retro eval index wiki.db", "retro eval index wiki.db --queries queries.jsonl -k 100"],
        panel,
    )(index)


def index(
    db: options.DatabaseArgument,
    k: Annotated[int, typer.Option("-k", min=1, help="Neighbours: the k of recall@k.")] = 10,
    probes: Annotated[
        str,
        typer.Option(
            metavar="N,N", help="Numbers of lists to probe. (default: 1, 2, 4 ... beyond the tuned)"
        ),
    ] = "",
    sample: Annotated[
        int, typer.Option(min=2, help="Rows of the database that are the queries.")
    ] = 1000,
    queries: Annotated[
        str | None, typer.Option(metavar="FILE", help="Ask these texts instead.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first queries.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample and the intervals.")] = 0,
    resamples: Annotated[int, typer.Option(min=100, help="Of the intervals.")] = 10_000,
    threads: options.Threads = 0,
) -> None:
    """Measure the index: recall against exact search and latency, by lists probed.

    Intervals are bootstrapped over queries. Nothing is changed: retro index tunes.
    """
    from retro_cli.evaluate.index import IndexSettings, evaluate_index
    from retro_cli.exchange.questions import all_questions
    from retro_cli.query.retrieve import Retriever
    from retro_cli.store.layout import Layout

    begun = time.monotonic()
    asked = () if queries is None else tuple(q.text for q in all_questions(queries, limit))
    counts = tuple(options.whole_numbers("--probes", probes)) if probes else ()
    settings = IndexSettings(k, sample, asked, counts, seed, resamples, threads)
    retriever = Retriever(Layout(db))
    try:
        report, _ = timed(lambda progress: evaluate_index(retriever, settings, progress))
    finally:
        retriever.close()
    if console.state.json:
        console.record({**report.to_json(), "seconds": round(time.monotonic() - begun, 3)})
    else:
        _show(report)


def _show(report: IndexReport) -> None:
    name = render.shortened_path(console.clean(report.database), 40)
    console.line(f"{name}: generation {report.generation}, {report.factory}")
    console.line(
        f"{counted(report.rows, 'row')} in {counted(report.lists, 'list')}, "
        f"{counted(report.queries, 'query', 'queries')}"
    )
    console.line()
    recall, interval = f"recall@{report.settings.k}", "95 % interval"
    head = f"{'nprobe':>8}{recall:>11}   {interval:<17}{'ms':>8}   {interval:<16}{'p95':>7}"
    console.line(console.styled(head, "1"))
    for point in report.points:
        row = _row(point)
        console.line(console.styled(f"{row}  tuned", "32") if point.tuned else row)
    console.line(f"{'exact':>8}{number(1.0):>11}   {'':<17}{_latency(report.exact)}".rstrip())
    console.line()
    for note in report.notes():
        render.paragraph(note, sys.stdout, "", "2")


def _row(point: Point) -> str:
    recall = f"{number(point.recall.low)} to {number(point.recall.high)}"
    return (
        f"{point.nprobe:>8}{number(point.recall.value):>11}   {recall:<17}"
        f"{_latency(point.latency)}{point.p95:>7.2f}"
    )


def _latency(value: Estimate) -> str:
    low, high = _milliseconds(value.low), _milliseconds(value.high)
    return f"{_milliseconds(value.value):>8}   {f'{low} to {high}':<16}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
