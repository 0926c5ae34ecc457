"""retro export: chunks and vectors out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retro_cli.cli import console, options
from retro_cli.cli.command import command
from retro_cli.errors import UsageError
from retro_cli.wording import counted


def register(app: typer.Typer) -> None:
    command(
        app,
        "export",
        [
            "retro export wiki.db chunks.parquet --vectors",
            "retro export wiki.db vectors.npy",
            "retro export wiki.db wiki-beir/ --format beir --queries q.jsonl --qrels qrels.txt",
        ],
        "Build",
    )(export)


def export(
    db: options.DatabaseArgument,
    out: Annotated[
        Path,
        typer.Argument(
            help="A .parquet, .jsonl or .npy file, or what --format writes.", show_default=False
        ),
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
    corpus_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="Write a corpus instead: beir (a folder), kilt or msmarco, of documents; dpr or "
            "atlas, of chunks as passages.",
        ),
    ] = "",
    queries: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="With beir: write these queries beside the corpus."),
    ] = None,
    qrels: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="With beir: and these judgements."),
    ] = None,
) -> None:
    """Write chunks and vectors to a file, as 'embed --from' takes them, or a corpus for others."""
    from retro_cli.export import export as write
    from retro_cli.store.layout import Layout

    if corpus_format:
        if vectors:
            raise UsageError("a corpus has no vectors", "leave --vectors or --format out")
        rows = _corpus(db, out, corpus_format, with_filtered, queries, qrels)
    elif queries or qrels:
        raise UsageError("--queries and --qrels go with a corpus of BEIR", "add --format beir")
    else:
        rows = write(Layout(db), out, vectors=vectors, with_filtered=with_filtered)
    if console.state.json:
        console.record({"rows": rows, "file": str(out)})
    else:
        console.say(f"export: {counted(rows, 'row')} in {out}")


def _corpus(
    db: Path, out: Path, shape: str, with_filtered: bool, queries: str | None, qrels: str | None
) -> int:
    from retro_cli.exchange.judgements import judgements_of, read_judgements
    from retro_cli.exchange.questions import all_questions
    from retro_cli.export import export_corpus
    from retro_cli.store.layout import Layout

    if (queries or qrels) and shape != "beir":
        raise UsageError("--queries and --qrels go with a corpus of BEIR", "add --format beir")
    questions = all_questions(queries) if queries else []
    judgements = read_judgements(qrels) if qrels else judgements_of(questions)
    return export_corpus(
        Layout(db), out, shape, with_filtered=with_filtered, questions=questions,
        judgements=judgements,
    )  # fmt: skip
