"""The options of ``retro generate`` for the readers that look up tokens: knn-lm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from retro_cli.readers.votes import Votes

PANEL = "kNN-LM"


@dataclass(frozen=True)
class Nearest:
    """Each of them has the reader's own default."""

    knn_lambda: Annotated[
        float | None,
        typer.Option(
            "--lambda",
            help="The share of the nearest tokens' vote in the next token. (default: 0.25)",
            rich_help_panel=PANEL,
        ),
    ] = None
    knn_temperature: Annotated[
        float | None,
        typer.Option(
            help="Squared distances are divided by it; more lets far tokens vote. (default: 1)",
            rich_help_panel=PANEL,
        ),
    ] = None
    knn_k: Annotated[
        int | None,
        typer.Option(help="Nearest tokens that vote. (default: 64)", rich_help_panel=PANEL),
    ] = None
    knn_keys: Annotated[
        str | None,
        typer.Option(
            help="datastore: of the whole database, see retro datastore. local: of the chunks that "
            "are looked up. (default: the datastore, where there is one)",
            rich_help_panel=PANEL,
        ),
    ] = None

    def votes(self) -> Votes:
        from retro_cli.readers.votes import Votes

        given = {
            "weight": self.knn_lambda,
            "temperature": self.knn_temperature,
            "k": self.knn_k,
            "keys": self.knn_keys,
        }
        return Votes().changed({name: each for name, each in given.items() if each is not None})
