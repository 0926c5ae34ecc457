"""retro chunk, embed, index and build: the stages that write."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from retro_cli.cli import options, run, run_index
from retro_cli.cli.command import command
from retro_cli.errors import EXIT_QUARANTINED

PANEL = "Build"


def register(app: typer.Typer) -> None:
    command(
        app,
        "chunk",
        [
            "retro chunk corpus/ --db wiki.db",
            "zcat dump.jsonl.gz | retro chunk - --db wiki.db --text-field body",
        ],
        PANEL,
        resumes=True,
    )(chunk)
    command(
        app,
        "embed",
        ["retro embed wiki.db", "retro embed wiki.db --precision int8 --threads 2"],
        PANEL,
        resumes=True,
    )(embed)
    command(
        app,
        "index",
        ["retro index wiki.db", "retro index wiki.db --dry-run --recall 0.98"],
        PANEL,
        resumes=True,
    )(index)
    command(
        app,
        "build",
        [
            "retro build corpus/ --db wiki.db",
            "retro build 'news/*.jsonl.gz' --db news.db --encoder wordllama",
        ],
        PANEL,
        resumes=True,
    )(build)


def chunk(
    inputs: options.InputsArgument,
    db: options.DatabaseOption,
    *,
    chunking: options.Chunking,
    prune: options.Prune = False,
    encoder: options.EncoderOption = None,
    download: options.Download = False,
    running: options.Running,
    part_size: options.PartSize = 8,
) -> None:
    """Cut documents into chunks of 64 tokens. Again: only what is new or changed."""
    overrides = {**asdict(chunking), "encoder": encoder}
    report = run.chunk(db, inputs, overrides, prune, part_size, download, running)
    if report.rejected:
        raise typer.Exit(EXIT_QUARANTINED)


def embed(
    db: options.FolderArgument,
    encoder: options.EncoderOption = None,
    precision: options.Precision = None,
    device: options.Device = "auto",
    download: options.Download = False,
    vectors: Annotated[
        Path | None,
        typer.Option(
            "--from",
            envvar="RETRO_FROM",
            metavar="FILE",
            help="Take vectors made elsewhere: .npy in the order of 'retro export', or Parquet "
            "with the columns id and vector.",
            rich_help_panel=options.ENCODER,
        ),
    ] = None,
    *,
    running: options.Running,
    threads: options.Threads = 0,
) -> None:
    """Turn chunks into vectors with a frozen encoder. Again: only what is new."""
    if vectors is not None:
        run.import_vectors(db, vectors, encoder)
        return
    overrides = {"encoder": encoder, "precision": precision}
    run.embed(db, overrides, device, threads, download, running)


def index(
    db: options.FolderArgument,
    recall: options.Recall = None,
    factory: options.Factory = "",
    memory: options.Memory = 4.0,
    stemmer: options.Stemmer = None,
    words: options.Words = None,
    retrain: Annotated[
        bool,
        typer.Option("--retrain", help="Train again and rebuild.", rich_help_panel="Index"),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the plan and its costs; write nothing."),
    ] = False,
    *,
    running: options.Running,
    threads: options.Threads = 0,
) -> None:
    """Index the vectors for search and measure the recall. Again: add what is new."""
    if dry_run:
        run_index.show_plan(db, recall, factory, memory)
        return
    run_index.index(db, recall, factory, memory, retrain, threads, stemmer, words, running)


def build(
    inputs: options.InputsArgument,
    db: options.DatabaseOption,
    *,
    chunking: options.Chunking,
    prune: options.Prune = False,
    encoder: options.EncoderOption = None,
    precision: options.Precision = None,
    recall: options.Recall = None,
    stemmer: options.Stemmer = None,
    words: options.Words = None,
    download: options.Download = False,
    running: options.Running,
) -> None:
    """Chunk, embed and index in one go."""
    overrides = {**asdict(chunking), "encoder": encoder}
    report = run.chunk(db, inputs, overrides, prune, 8, download, running)
    run.embed(db, {"precision": precision}, download=download, running=running)
    run_index.index(db, recall, stemmer=stemmer, words=words, running=running)
    if report.rejected:
        raise typer.Exit(EXIT_QUARANTINED)
