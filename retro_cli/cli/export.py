"""retro export: chunks and vectors out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retro_cli.cli import console, options
from retro_cli.cli.command import command
from retro_cli.wording import counted


def register(app: typer.Typer) -> None:
    command(
        app,
        "export",
        ["retro export wiki.db chunks.parquet --vectors", "retro export wiki.db vectors.npy"],
        "Build",
    )(export)


def export(
    db: options.DatabaseArgument,
    out: Annotated[
        Path, typer.Argument(help="A .parquet, .jsonl or .npy file.", show_default=False)
    ],
    vectors: Annotated[
        bool,
        typer.Option("--vectors", envvar="RETRO_EXPORT_VECTORS", help="Write the vectors too."),
    ] = False,
    with_filtered: Annotated[
        bool,
        typer.Option(
            "--with-filtered", help="Also what filter rules take (embed --from wants all rows)."
        ),
    ] = False,
) -> None:
    """Write chunks and vectors to a file, in the order that 'embed --from' takes."""
    from retro_cli.export import export as write
    from retro_cli.store.layout import Layout

    rows = write(Layout(db), out, vectors=vectors, with_filtered=with_filtered)
    if console.state.json:
        console.record({"rows": rows, "file": str(out)})
    else:
        console.say(f"export: {counted(rows, 'row')} in {out}")
