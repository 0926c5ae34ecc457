"""retro report: a database on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retro_cli.cli import console, options
from retro_cli.cli.command import command
from retro_cli.cli.run import timed


def register(app: typer.Typer) -> None:
    command(
        app,
        "report",
        [
            "retro report wiki.db --out wiki.html",
            "retro report wiki.db --out wiki.html --eval dense.json --eval hybrid.json",
        ],
        "Evaluate",
    )(report)


def report(
    db: options.DatabaseArgument,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page to write.")] = Path(
        "report.html"
    ),
    evaluations: Annotated[
        list[Path] | None,
        typer.Option(
            "--eval",
            metavar="FILE",
            help="What a retro eval command printed with --json; may be repeated.",
        ),
    ] = None,
    queries: Annotated[
        int,
        typer.Option(min=0, help="Rows that the index is measured with; 0 leaves that out."),
    ] = 200,
    scores: Annotated[
        str, typer.Option(help="The table of toxicity scores. (default: the first)")
    ] = "",
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The score from which a chunk counts as toxic.")
    ] = 0.5,
) -> None:
    """Write one page: index, sources and their toxicity, chunk lengths, evaluations.

    It needs nothing but itself: no scripts, and nothing from elsewhere.
    """
    from retro_cli import reporting
    from retro_cli.cli import report_page
    from retro_cli.evaluate.saved import read_evaluation
    from retro_cli.store.atomic import check_output
    from retro_cli.store.layout import Layout

    check_output(out)
    saved = [read_evaluation(path) for path in evaluations or []]
    found, seconds = timed(
        lambda progress: reporting.report(
            Layout(db),
            saved,
            queries=queries,
            scores=scores,
            threshold=threshold,
            progress=progress,
        )
    )
    report_page.write(out, found)
    if console.state.json:
        console.record(
            {"file": str(out), "bytes": out.stat().st_size, "seconds": round(seconds, 3)}
        )
    else:
        console.say(f"report: wrote {out} ({console.size(out.stat().st_size)})")
