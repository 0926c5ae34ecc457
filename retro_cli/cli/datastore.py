"""retro datastore: a key for every token of the database, for kNN-LM."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from retro_cli.cli import console, options
from retro_cli.cli.command import command
from retro_cli.cli.run import timed
from retro_cli.wording import counted


def register(app: typer.Typer) -> None:
    command(
        app,
        "datastore",
        ["retro datastore wiki.db", "retro datastore wiki.db --model llama/ --window 512"],
        "Build",
        resumes=True,
    )(datastore)


def datastore(
    db: options.FolderArgument,
    model: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="The causal language model that is to read with it: a folder, a packaged name or "
            "hf:ORG/NAME. (default: as before, or SmolLM2-135M-Instruct)",
        ),
    ] = "",
    window: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="The most tokens before a token that its key is made from. (default: as before, "
            "or 1024)",
        ),
    ] = None,
    device: options.Device = "auto",
    download: options.Download = False,
) -> None:
    """Make a key for every token, so that retro generate --reader knn-lm can look tokens up.

    Needs an index. Run again, it makes the keys of new chunks; what a rule takes is masked at
    once. It takes two bytes a dimension and token, and as long as the model takes to read it all.
    """
    from retro_cli.pipeline import datastore as make
    from retro_cli.store.layout import Layout

    report, seconds = timed(
        lambda progress: make(
            Layout(db), model, window=window, device=device, allow_download=download,
            progress=progress,
        )
    )  # fmt: skip
    if console.state.json:
        value = {"stage": "datastore", "seconds": round(seconds, 3), **asdict(report)}
        console.record(value)
        return
    total = counted(report.tokens_total, "token")
    if not report.chunks_done:
        console.say(f"datastore: up to date, {total} ({console.duration(seconds)})")
        return
    rate = report.tokens_done / max(seconds, 1e-6)
    console.say(
        f"datastore: {counted(report.tokens_done, 'key')} of "
        f"{counted(report.chunks_done, 'chunk')} in {console.duration(seconds)} "
        f"({rate:,.0f} tokens/s; {report.model}); {total} in all"
    )
    console.say(
        f"datastore: {report.factory}, nprobe {report.nprobe}, recall@10 {report.recall:.3f} of "
        "exact search"
    )
