"""retro: a command-line toolkit for retrieval-augmented language models."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retro_cli.database import Database

__version__ = "0.1.0"
__all__ = ["Database", "__version__"]


def __getattr__(name: str) -> object:
    # Deferred: `retro --help` must not pay for numpy and faiss.
    if name == "Database":
        from retro_cli.database import Database

        return Database
    raise AttributeError(f"module 'retro_cli' has no attribute '{name}'")
