"""``retro``: registers the commands, turns errors into messages and exit codes."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from typing import Annotated

import typer

from retro_cli import __version__
from retro_cli.cli import (
    ask,
    build,
    console,
    datastore,
    demo,
    diff,
    eval,
    export,
    fill,
    filter,
    generate,
    inspect,
    look,
    mcp,
    models,
    neighbours,
    planning,
    query,
    remote,
    report,
    serve,
    trace,
    train,
    train_memory,
    train_questions,
    upkeep,
)
from retro_cli.cli.command import outcome
from retro_cli.errors import EXIT_OK

app = typer.Typer(
    name="retro",
    help="Retrieval-augmented language models on the command line: cut a corpus into chunks, "
    "embed them once with a frozen encoder, index them, look things up.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)

for _module in (
    build,
    neighbours,
    datastore,
    train,
    train_memory,
    train_questions,
    query,
    ask,
    generate,
    fill,
    trace,
    serve,
    mcp,
    eval,
    report,
    look,
    models,
    filter,
    upkeep,
    remote,
    inspect,
    diff,
    planning,
    export,
    demo,
):
    _module.register(app)


def _version(value: bool) -> None:
    if value:
        console.line(f"retro {__version__}")
        raise typer.Exit(EXIT_OK)


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """The ``retro`` command."""
    # Libraries with their own thread pools fight over the cores: numpy's BLAS gets one thread;
    # faiss and onnxruntime are told theirs by the code that calls them. (numpy comes later.)
    for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    sys.exit(outcome(_parse_and_run, nullcontext()))


def _parse_and_run() -> None:
    try:
        app()
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # of a help page that rich printed
            raise ended.__context__ from None
        raise typer.Exit(int(ended.code or EXIT_OK)) from None
