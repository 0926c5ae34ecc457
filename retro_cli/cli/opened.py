"""A database opened for a model that reads from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from retro_cli.cli import console

if TYPE_CHECKING:
    from retro_cli.database import Database


def database_for(db: Path, model: str | None, query_encoder: str = "") -> Database:
    """query_encoder: by default the one that was trained with the model, if it fits; else the
    database's own. Raises EncoderMismatch for one that was named and does not."""
    from retro_cli.database import Database
    from retro_cli.embeddings.pairing import beside

    database = Database.open(db, query_encoder)
    near = None if query_encoder else beside(model)
    if near is not None and not database.prefer(near):
        console.say(
            f"{near} was trained for documents encoded otherwise than those of {db}: looking up "
            "with the database's own encoder"
        )
    return database
