"""What asking is told, in ``retro ask`` and in ``retro eval qa`` alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retro_cli.cli import options
from retro_cli.models.base import DEFAULT_BASE

if TYPE_CHECKING:
    from contextlib import ExitStack

    from retro_cli.asking.answerer import Answerer
    from retro_cli.asking.open import AnswerOptions
    from retro_cli.cli.server import Server
    from retro_cli.database import Database
    from retro_cli.query.search import Find

READING, LOOKING = "Reading", "Looking up"
AUTO = "auto"


@dataclass(frozen=True)
class Asking:
    """Options of how questions are looked up and answered."""

    reader: Annotated[
        str | None,
        typer.Option(
            help="extract: the likeliest span of the evidence. in-context, closed-book, ...: the "
            "model's own words. (default: extract; in-context with --endpoint)",
            rich_help_panel=READING,
        ),
    ] = None
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help=f"A name or a folder. (default: {DEFAULT_BASE}, for most readers)",
            rich_help_panel=READING,
        ),
    ] = None
    base: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where the base of added weights is now.",
            rich_help_panel=READING,
        ),
    ] = None
    device: options.Device = "auto"
    template: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A TOML file with strings in place of the prompt's own: system, passage, prompt, "
            "closed_book, refusal.",
            rich_help_panel=READING,
        ),
    ] = None
    context_tokens: Annotated[
        int,
        typer.Option(
            min=16,
            help="Tokens of all passages together at most: they are cut, the question never is.",
            rich_help_panel=READING,
        ),
    ] = 1024
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens of a written answer.", rich_help_panel=READING)
    ] = 64
    least: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Confidence of an extracted answer below which it is not in the sources.",
            rich_help_panel=READING,
        ),
    ] = None
    k: Annotated[
        int, typer.Option("-k", min=1, help="Passages to look up.", rich_help_panel=LOOKING)
    ] = 5
    retriever: Annotated[
        str,
        typer.Option(
            help="auto, dense, bm25 or hybrid; auto is hybrid where the database allows it.",
            rich_help_panel=LOOKING,
        ),
    ] = AUTO
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these sources, by name or glob; may be repeated.", rich_help_panel=LOOKING
        ),
    ] = None
    where: Annotated[
        str,
        typer.Option(help='Only documents with, say, "year >= 1990".', rich_help_panel=LOOKING),
    ] = ""

    def answer_options(self, server: Server) -> AnswerOptions:
        """Raises UsageError."""
        from retro_cli.asking.belief import Belief
        from retro_cli.asking.open import AnswerOptions
        from retro_cli.asking.template import Template, load_template
        from retro_cli.readers.open import ReaderOptions

        return AnswerOptions(
            self.reader,
            ReaderOptions(self.model, self.base, self.device, self.k),
            server.named(),
            Template() if self.template is None else load_template(self.template),
            Belief() if self.least is None else Belief(least=self.least),
            self.max_tokens,
            self.context_tokens,
        )

    def find(self, database: Database) -> Find:
        """What looks questions up. Raises UsageError, and NotBuiltYet for an index that lacks."""
        from retro_cli.query.search import Search, hybrid_if_there

        look = partial(database.finder, source=self.source or (), where=self.where)
        return hybrid_if_there(look) if self.retriever == AUTO else look(Search(self.retriever))

    def opened(
        self, held: ExitStack, db: Path, chosen: AnswerOptions
    ) -> tuple[Database | None, Answerer]:
        """The database, unless the book is closed, and what answers from it."""
        from transformers.utils import logging as transformers_logging

        from retro_cli.asking.open import open_answerer
        from retro_cli.database import Database

        transformers_logging.set_verbosity_error()
        database = None if chosen.closed_book else held.enter_context(Database.open(db))
        return database, open_answerer(chosen, database)
