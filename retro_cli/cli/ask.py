"""retro ask: an answer from the database, with citations whose quotes are checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated

import typer

from retro_cli.cli import console, options
from retro_cli.cli.ask_options import Asking
from retro_cli.cli.command import command
from retro_cli.cli.server import Server
from retro_cli.errors import UsageError


def register(app: typer.Typer) -> None:
    command(
        app,
        "ask",
        [
            'retro ask demo.db "How long is the Long Mole?"',
            "retro ask demo.db --queries questions.jsonl --json > answers.jsonl",
            'retro ask demo.db "Who keeps the light?" --endpoint http://localhost:11434/v1',
        ],
        "Look",
    )(ask)


def ask(
    db: options.DatabaseArgument,
    question: Annotated[
        str | None, typer.Argument(help="What you want to know.", show_default=False)
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Questions, one a line (plain or JSON), or - for standard input.",
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="With the answer, all passages that were found.")
    ] = False,
    *,
    asking: Asking,
    server: Server,
) -> None:
    """Answer a question from the sources, with quotes that stand in them, or say that they do not.

    A quote that does not stand word for word in the passage it names is marked.
    """
    from retro_cli.cli import ask_show

    asked = _asked(question, queries)
    chosen = asking.answer_options(server)
    with ExitStack() as held:
        database, answerer = asking.opened(held, db, chosen)
        find = None if database is None else asking.find(database)
        if database is not None and not database.retriever.live().any():
            console.say("the database has no chunk that may be shown")
        for number, (name, text) in enumerate(asked):
            hits = find([text], asking.k)[0].hits if find else ()
            reply = answerer.answer(text, hits)
            if console.state.json:
                console.record({"id": name, **reply.to_json()})
            else:
                ask_show.show(reply, asked_for=queries is not None, first=not number, found=show)


def _asked(question: str | None, queries: str | None) -> Iterator[tuple[str, str]]:
    """(id, question) of what was given in the one way or the other."""
    if (question is None) == (queries is None):
        raise UsageError("give a QUESTION, or --queries", 'retro ask DB "who keeps the light?"')
    if queries is not None:
        from retro_cli.exchange.questions import read_questions

        return ((each.id, each.text) for each in read_questions(queries))
    if not str(question).strip():
        raise UsageError("the question is empty", 'retro ask DB "who keeps the light?"')
    return iter([("1", str(question).strip())])
