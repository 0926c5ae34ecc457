"""A language model behind a server: the options that name it, and a text that it writes."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retro_cli.cli import console
from retro_cli.errors import UsageError

if TYPE_CHECKING:
    from retro_cli.asking.endpoint import Endpoint
    from retro_cli.query.retrieve import Hit

PANEL = "Server"
PASSAGES = 5


@dataclass(frozen=True)
class Server:
    """The options of a server; without a URL the model is here."""

    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="An OpenAI-compatible server, such as http://localhost:11434/v1; the key is "
            "read from RETRO_API_KEY or OPENAI_API_KEY.",
            rich_help_panel=PANEL,
        ),
    ] = None
    endpoint_model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="(default: the only one it serves)", rich_help_panel=PANEL
        ),
    ] = None
    endpoint_timeout: Annotated[
        float,
        typer.Option(
            min=0.1, metavar="S", help="Seconds of silence at most.", rich_help_panel=PANEL
        ),
    ] = 60.0

    def named(self) -> Endpoint | None:
        """None without a URL. Raises UsageError."""
        from retro_cli.asking.endpoint import Endpoint, key_of_environment

        if self.endpoint is None:
            if self.endpoint_model is not None:
                raise UsageError("--endpoint-model without a server", "name it with --endpoint")
            return None
        return Endpoint(
            self.endpoint, self.endpoint_model, self.endpoint_timeout, key_of_environment()
        )


def write(
    endpoint: Endpoint, db: Path, words: str, reader: str, k: int | None, max_tokens: int
) -> None:
    """Print a server's answer to a prompt as it comes, and below it what it cites.

    reader: in-context, which shows it the passages found for the prompt, or closed-book.
    """
    from retro_cli.asking.open import AnswerOptions, open_answerer
    from retro_cli.asking.writing import Serving
    from retro_cli.database import Database
    from retro_cli.query.search import hybrid_if_there

    chosen = AnswerOptions(reader, endpoint=endpoint, max_tokens=max_tokens)
    with ExitStack() as held:
        answerer = open_answerer(chosen, None)
        assert isinstance(answerer, Serving)
        hits: tuple[Hit, ...] = ()
        if answerer.reads:
            database = held.enter_context(Database.open(db))
            hits = hybrid_if_there(database.finder)([words], k or PASSAGES)[0].hits
        reply = answerer.answer(words, hits, None if console.state.json else _print)
    if console.state.json:
        console.record({"prompt": words, **reply.to_json()})
        return
    console.line()
    from retro_cli.cli.ask_show import show_citations

    show_citations(reply)


def _print(piece: str) -> None:
    sys.stdout.write(console.printable(piece) if sys.stdout.isatty() else piece)
    sys.stdout.flush()
