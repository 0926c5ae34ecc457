"""retro ask: an answer from the database, with citations whose quotes are checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from retro_cli.cli import console, options
from retro_cli.cli.ask_options import Asking
from retro_cli.cli.command import command
from retro_cli.cli.server import Server
from retro_cli.errors import EXIT_QUARANTINED, UsageError

if TYPE_CHECKING:
    from retro_cli.exchange.questions import NoQuestion, Question


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
    from retro_cli.exchange.questions import NoQuestion

    asked = _asked(question, queries)
    chosen = asking.answer_options(server)
    with ExitStack() as held:
        database, answerer = asking.opened(held, db, chosen)
        find = None if database is None else asking.find(database)
        if database is not None and not database.retriever.live().any():
            console.say("the database has no chunk that may be shown")
        broken = False
        for number, each in enumerate(asked):
            if isinstance(each, NoQuestion):
                broken = True
                _say_broken(each)
                continue
            hits = find([each.text], asking.k)[0].hits if find else ()
            reply = answerer.answer(each.text, hits)
            if console.state.json:
                console.record({"id": each.id, **reply.to_json()})
            else:
                ask_show.show(reply, asked_for=queries is not None, first=not number, found=show)
    if broken:
        raise typer.Exit(EXIT_QUARANTINED)


def _say_broken(line: NoQuestion) -> None:
    """A line that is no question has no answer; the others go on."""
    if console.state.json:
        console.record({"id": line.id, "error": line.error})
    else:
        console.say(console.clean(f"question {line.id} has no answer: {line.error}"))


def _asked(question: str | None, queries: str | None) -> Iterator[Question | NoQuestion]:
    """What was given in the one way or the other."""
    from retro_cli.exchange.questions import Question, read_stream

    if (question is None) == (queries is None):
        raise UsageError("give a QUESTION, or --queries", 'retro ask DB "who keeps the light?"')
    if queries is not None:
        return read_stream(queries)
    if not str(question).strip():
        raise UsageError("the question is empty", 'retro ask DB "who keeps the light?"')
    return iter([Question("1", str(question).strip())])
