"""retro neighbours: the nearest chunks of every chunk, for training."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from retro_cli.cli import console, options
from retro_cli.cli.command import command
from retro_cli.cli.run import timed


def register(app: typer.Typer) -> None:
    command(
        app,
        "neighbours",
        ["retro neighbours wiki.db", "retro neighbours wiki.db -k 4 --max-copy 0.8 --as four"],
        "Build",
    )(neighbours)


def neighbours(
    db: options.DatabaseArgument,
    k: Annotated[int, typer.Option("-k", min=1, help="Neighbours of each chunk.")] = 2,
    max_copy: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="No neighbour that has this share of a chunk's own runs of five tokens, or more. "
            "1 lets all through.",
        ),
    ] = 1.0,
    name: Annotated[str, typer.Option("--as", help="What to call the table.")] = "default",
) -> None:
    """Look up the nearest chunks of every chunk, none of its own document. For training."""
    from retro_cli.pipeline import neighbours as look_up
    from retro_cli.query.neighbours import NeighbourSettings
    from retro_cli.store.layout import Layout

    settings = NeighbourSettings(k, max_copy)
    report, seconds = timed(lambda progress: look_up(Layout(db), name, settings, progress))
    if console.state.json:
        console.record({**asdict(report), "seconds": round(seconds, 3)})
        return
    console.say(
        f"neighbours: {report.rows:,} chunks in {console.duration(seconds)} "
        f"({report.rows_done:,} looked up now), {report.full:,} with all {k}, {report.none:,} "
        f"with none; table {report.name} of generation {report.generation}"
    )
