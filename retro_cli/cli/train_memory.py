"""retro train-memory: teach a language model to use a memory of what it has read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retro_cli.cli import console, options, train_options
from retro_cli.cli.command import command
from retro_cli.cli.run import timed
from retro_cli.errors import UsageError
from retro_cli.wording import counted

if TYPE_CHECKING:
    from retro_cli.events import Progress
    from retro_cli.training.memorizing import MemoryReport, MemoryTraining

SHAPE, RUN = "Shape", "Run"


def register(app: typer.Typer) -> None:
    command(
        app,
        "train-memory",
        [
            "retro train-memory books.db --out memory/",
            "retro train-memory --text 'books/*.txt' --out memory/ --windows 1000",
        ],
        "Model",
        resumes=True,
    )(train_memory)


def train_memory(
    db: Annotated[
        Path | None,
        typer.Argument(
            parser=options.folder,
            metavar="DB",
            help="Train on this database's own documents.",
            show_default=False,
        ),
    ] = None,
    *,
    out: train_options.Out,
    text: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Train on these texts instead; may be repeated."),
    ] = None,
    base: Annotated[
        str, typer.Option(help="The model: a folder, a packaged name or hf:ORG/NAME.")
    ] = "SmolLM2-135M-Instruct",
    layer: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="The layer with the memory, from 1. (default: at three quarters)",
            rich_help_panel=SHAPE,
        ),
    ] = None,
    k: Annotated[
        int,
        typer.Option("-k", min=1, help="Nearest entries a head reads.", rich_help_panel=SHAPE),
    ] = 32,
    capacity: Annotated[
        int,
        typer.Option(min=1, help="Tokens of a text that are remembered.", rich_help_panel=SHAPE),
    ] = 8192,
    window: Annotated[
        int, typer.Option(min=2, help="Tokens that are read at once.", rich_help_panel=SHAPE)
    ] = 512,
    windows: Annotated[
        int, typer.Option(min=1, help="Windows to train on.", rich_help_panel=RUN)
    ] = 200,
    rate: Annotated[
        float, typer.Option(help="Of learning, for the layer.", rich_help_panel=RUN)
    ] = 1e-4,
    gates_only: Annotated[
        bool,
        typer.Option(
            "--gates-only",
            help="Leave the layer's own weights as they are: without a memory, the base to the "
            "bit.",
            rich_help_panel=RUN,
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option(help="Of the order of the documents.", rich_help_panel=RUN)
    ] = 0,
    overwrite: train_options.Overwrite = False,
    device: options.Device = "auto",
) -> None:
    """Teach one layer to attend to what was read before (Memorizing Transformers).

    On documents longer than a window.
    """
    from retro_cli.training.memorizing import MemoryTraining

    if (db is None) == (not text):
        raise UsageError("name a database or some --text", "retro train-memory DB --out memory/")
    settings = MemoryTraining(layer, k, capacity, window, windows, rate, not gates_only, seed)
    report, seconds = timed(
        lambda progress: _trained(db, text or [], base, out, settings, device, overwrite, progress)
    )
    if report is None:
        return
    if console.state.json:
        console.record({"seconds": round(seconds, 3), **asdict(report)})
        return
    gates = ", ".join(f"{gate:.2f}" for gate in report.gates)
    console.say(
        f"train-memory: {counted(report.windows, 'window')} of "
        f"{counted(report.documents, 'document')}, {report.tokens:,} tokens in "
        f"{console.duration(seconds)}; last loss {report.losses[-1]:.3f}"
    )
    console.say(f"train-memory: layer {report.layer}, gates {gates}")
    console.say(f"train-memory: {report.out} holds the model: generate --reader memorizing")


def _trained(
    db: Path | None, text: list[str], base: str, out: Path, settings: MemoryTraining,
    device: str, overwrite: bool, progress: Progress,
) -> MemoryReport | None:  # fmt: skip
    from retro_cli.store.layout import Layout
    from retro_cli.training.memorizing import train_memory as run

    if db is not None:
        Layout(db).require()  # its texts are read later, when the model is there
    return run(
        base, _texts(db, text, progress), out, settings, device, overwrite=overwrite,
        progress=progress,
    )  # fmt: skip


def _texts(db: Path | None, text: list[str], progress: Progress) -> Iterator[str]:
    from retro_cli.query.retrieve import Retriever
    from retro_cli.reading.texts import read_texts
    from retro_cli.store.layout import Layout
    from retro_cli.training.memorizing import database_documents

    if db is None:
        yield from (each.text for each in read_texts(text, progress))
        return
    retriever = Retriever(Layout(db))
    try:
        yield from database_documents(retriever)
    finally:
        retriever.close()
