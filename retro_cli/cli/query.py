"""retro query: one text, a stream of them, or vectors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retro_cli.cli import console, options, render
from retro_cli.cli.command import command
from retro_cli.cli.query_input import load_vectors
from retro_cli.errors import EXIT_QUARANTINED, UsageError

if TYPE_CHECKING:
    from retro_cli.exchange.answers import Locate, Place
    from retro_cli.exchange.questions import NoQuestion, Question
    from retro_cli.query.finder import Finder
    from retro_cli.query.retrieve import Answer, Hit, Retriever

PANEL = "Look"


def register(app: typer.Typer) -> None:
    command(
        app,
        "query",
        [
            'retro query wiki.db "who wrote Dune?" -k 5',
            'retro query wiki.db "error E4711" --retriever hybrid --explain',
            "retro query wiki.db --queries questions.jsonl --format trec > run.txt",
            "retro query wiki.db --queries nq-test.qa.csv -k 100 --format dpr --out nq.json",
        ],
        PANEL,
    )(query)


def query(
    db: options.DatabaseArgument,
    text: Annotated[
        str | None, typer.Argument(help="What to look for.", show_default=False)
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many results.")] = 5,
    queries: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Queries, one a line (plain or JSON with id and text), or - to stream them "
            "through standard input.",
        ),
    ] = None,
    vectors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Query vectors, a (n, dim) .npy file.")
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(help="Only these sources, by name or glob; may be repeated."),
    ] = None,
    where: Annotated[
        str,
        typer.Option(
            help='Only documents with, say, "year >= 1990 and author = Ines". Numbers compare as '
            "numbers, but names and values in quotes as text."
        ),
    ] = "",
    *,
    how: options.Searching,
    output_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help=f"{', '.join(render.FORMATS)}. Runs ({' and '.join(render.OF_DOCUMENTS)}) rank "
            "documents, by their best chunk. (default: table for a TEXT, else json)",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write here instead of standard output.")
    ] = None,
    query_encoder: options.QueryEncoder = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="Say how the hits were found.")
    ] = False,
) -> None:
    """Find the nearest chunks, with their continuations and their sources."""
    given = [value for value in (text, queries, vectors) if value is not None]
    if len(given) != 1:
        raise UsageError("give one of TEXT, --queries and --vectors", "retro query DB 'some words'")
    shape = _shape(output_format, text is not None)
    if explain and shape not in ("table", "json"):
        raise UsageError(f"--format {shape} has no place for --explain", "choose table or json")
    search = how.search(_level(how.level, shape))
    search.check()
    if text is not None and not text.strip():
        raise UsageError("the query is empty", "retro query DB 'some words'")
    if shape == "parquet" and out is None:
        raise UsageError("Parquet does not go to standard output", "name a file with --out")
    from retro_cli.database import Database
    from retro_cli.store.atomic import check_output, disk_errors

    if out is not None:
        check_output(out)
    with Database.open(db, query_encoder) as database:
        finder = database.finder(search, source=source or (), where=where)
        unanswered: list[str] = []
        found = _answers(finder, text, queries, vectors, k, unanswered)
        locate = _locate(database.retriever)
        if out is None:
            render.write(found, shape, sys.stdout, locate, explain=explain, headed=text is None)
        elif shape == "parquet":
            render.write_parquet(found, out)
        else:
            with disk_errors(out), out.open("w", encoding="utf-8", newline="") as file:
                render.write(found, shape, file, locate, explain=explain, headed=text is None)
    if unanswered:
        raise typer.Exit(EXIT_QUARANTINED)


def ask(db: Path, text: str, k: int) -> None:
    """Print the nearest chunks of one question, as ``retro query`` does."""
    from retro_cli.database import Database

    with Database.open(db) as database:
        answers = _answers(database.finder(), text, None, None, k, [])
        render.write(answers, _shape(None, True), sys.stdout, _locate(database.retriever))


def _shape(asked: str | None, single: bool) -> str:
    if console.state.json:
        if asked not in (None, "json"):
            raise UsageError(f"--json, and --format {asked}", "name one of them")
        return "json"
    if asked is None:
        return "table" if single else "json"
    if asked not in render.FORMATS:
        raise UsageError(f"--format {asked}", f"choose one of {', '.join(render.FORMATS)}")
    return asked


def _level(asked: str | None, shape: str) -> str:
    if asked not in (None, "chunk", "doc"):
        raise UsageError(f"--level {asked}", "choose chunk or doc")
    if shape in render.OF_DOCUMENTS and asked == "chunk":
        raise UsageError(
            f"--format {shape} names each document once", "leave --level out, or choose json or csv"
        )
    return asked or ("doc" if shape in render.OF_DOCUMENTS else "chunk")


def _answers(
    find: Finder,
    text: str | None,
    queries: str | None,
    vectors: Path | None,
    k: int,
    unanswered: list[str],
) -> Iterator[tuple[Question, Answer] | NoQuestion]:
    """As they come. Files are opened at once. What is no question is noted in ``unanswered``."""
    from retro_cli.exchange.questions import Question, read_stream

    if vectors is not None:
        rows = load_vectors(vectors)
        return (
            (Question(str(n), ""), find.vectors(row[None], k)[0]) for n, row in enumerate(rows, 1)
        )
    asked = read_stream(queries) if queries is not None else iter([Question("1", text or "")])
    return _each(find, asked, k, unanswered)


def _each(
    find: Finder, asked: Iterator[Question | NoQuestion], k: int, unanswered: list[str]
) -> Iterator[tuple[Question, Answer] | NoQuestion]:
    from retro_cli.exchange.questions import NoQuestion

    for each in asked:
        if isinstance(each, NoQuestion):
            unanswered.append(each.id)
            yield each
        else:
            yield each, find([each.text], k)[0]


def _locate(retriever: Retriever) -> Locate:
    """Where a hit stands in its document, by paragraphs."""
    from retro_cli.exchange.answers import place_in

    def locate(hit: Hit) -> Place | None:
        before = retriever.text_before(hit.chunk)
        return None if before is None else place_in(before, hit.text)

    return locate
