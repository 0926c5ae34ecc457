"""retro neighbours: the nearest chunks of every chunk, for training and evaluation."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from retro_cli.cli import console, options
from retro_cli.cli.command import command
from retro_cli.cli.run import timed
from retro_cli.errors import UsageError
from retro_cli.wording import counted

if TYPE_CHECKING:
    from retro_cli.reading.text_neighbours import TextsToRead
    from retro_cli.store.layout import Layout

TEXTS = "Texts"


def register(app: typer.Typer) -> None:
    command(
        app,
        "neighbours",
        [
            "retro neighbours wiki.db",
            "retro neighbours wiki.db -k 4 --max-copy 0.8 --as four",
            "retro neighbours wiki.db --text held-out.jsonl --model model/ --as held-out",
        ],
        "Build",
        resumes=True,
    )(neighbours)


def neighbours(
    db: options.FolderArgument,
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
    text: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Look up the chunks of these texts instead: files, folders, globs or URLs; may be "
            "repeated.",
            rich_help_panel=TEXTS,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The model that reads the texts: a folder with its tokenizer.json, that file, or "
            "a base model's name. (default: one with the database's tokenizer)",
            rich_help_panel=TEXTS,
        ),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=8192,
            help="Tokens a chunk of the texts. (default: the RETRO model's own, else 64; without "
            "--model the database's)",
            rich_help_panel=TEXTS,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--as", help="What to call the table. (default: default, or texts)"),
    ] = None,
    *,
    running: options.Running,
) -> None:
    """Look up the nearest chunks of every chunk, none of its own document.

    For training and evaluation: of the database's chunks, or of texts outside it in the chunks of
    the model that reads them.
    """
    from retro_cli.pipeline import neighbours as look_up
    from retro_cli.query.table import NeighbourSettings
    from retro_cli.store.layout import Layout

    layout = Layout(db)
    texts = _texts(layout, text, model, tokens)
    table = name if name is not None else "default" if texts is None else "texts"
    settings = NeighbourSettings(k, max_copy)
    report, seconds = timed(
        lambda progress: look_up(
            layout, table, settings, progress, texts=texts, where=running.where()
        )
    )
    if console.state.json:
        console.record({**asdict(report), "seconds": round(seconds, 3)})
        return
    console.say(
        f"neighbours: {counted(report.rows, 'chunk')} in {console.duration(seconds)} "
        f"({report.rows_done:,} looked up now), {report.full:,} with all {k}, {report.none:,} "
        f"with none; table {report.name} of generation {report.generation}"
    )


def _texts(
    layout: Layout, text: list[str] | None, model: str | None, tokens: int | None
) -> TextsToRead | None:
    if not text:
        if model is not None or tokens is not None:
            raise UsageError("--model and --tokens are for texts", "name some with --text")
        return None
    from retro_cli.config import load_settings
    from retro_cli.reading.of_model import reading_of
    from retro_cli.reading.of_settings import reading_of_database
    from retro_cli.reading.text_neighbours import TextsToRead

    if model is None:
        return TextsToRead(text, *reading_of_database(load_settings(layout), tokens))
    return TextsToRead(text, *reading_of(model, tokens))
