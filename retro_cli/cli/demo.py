"""retro demo: the whole chain on the sample corpus, with every command shown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from retro_cli.cli import console, query, run, run_index
from retro_cli.cli.command import command
from retro_cli.cli.options import folder
from retro_cli.errors import InputNotFound

QUESTIONS = 3


def register(app: typer.Typer) -> None:
    command(
        app, "demo", ["retro demo", "retro demo --corpus docs/ --db docs.db"], "Start", resumes=True
    )(demo)


CORPUS = Path("sample_corpus/archive")
CorpusOption = Annotated[
    Path,
    typer.Option(
        parser=folder,
        envvar="RETRO_DEMO_CORPUS",
        metavar="PATH",
        help="A folder of documents.",
    ),
]
DatabaseOption = Annotated[
    Path,
    typer.Option(
        "--db",
        parser=folder,
        envvar="RETRO_DEMO_DB",
        metavar="PATH",
        help="Where the database goes.",
    ),
]
Questions = Annotated[
    list[str] | None, typer.Option(metavar="TEXT", help="Questions to ask; may be repeated.")
]


def demo(
    corpus: CorpusOption = CORPUS, db: DatabaseOption = Path("demo.db"), ask: Questions = None
) -> None:
    """Chunk, embed and index a corpus, then ask it a few questions."""
    if not corpus.exists():
        raise InputNotFound(
            f"no folder {corpus}", "run this in a checkout of the project, or name a --corpus"
        )
    _show(f"retro chunk {corpus} --db {db}")
    run.chunk(db, [str(corpus)], {}, True, 8, False)
    _show(f"retro embed {db}")
    run.embed(db, {})
    _show(f"retro index {db}")
    run_index.index(db)
    for question in ask or _questions(corpus):
        _show(f'retro query {db} "{question}" -k 1')
        query.ask(db, question, k=1)
    console.say(f'The database is in {db}. Next: retro query {db} "...", retro status {db}')


def _show(text: str) -> None:
    console.say("\n" + console.styled(f"$ {text}", "1", sys.stderr))


def _questions(corpus: Path) -> list[str]:
    """The first questions that come with the corpus, if any do."""
    import json

    path = corpus.parent / "questions.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    kinds = {"single", "continuation"}
    found = [r["question"] for line in lines if (r := json.loads(line))["kind"] in kinds]
    return found[:: max(1, len(found) // QUESTIONS)][:QUESTIONS]
