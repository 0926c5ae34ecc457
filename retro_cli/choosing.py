"""What a writing stage runs with: settings that were saved, and what is asked for now."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from retro_cli.chunks.attempt import interrupted
from retro_cli.config import Settings, load_settings
from retro_cli.errors import LockedError
from retro_cli.store.layout import Layout


def chunk_settings(layout: Layout, overrides: dict[str, Any], *, create: bool = True) -> Settings:
    """What was saved (or the defaults), what an interrupted run was given, and what the user named
    now.

    The tokenizer of a new database is pinned: embedding with another encoder later must not cut the
    corpus anew. Raises NotBuiltYet if there is no database, unless ``create``.
    """
    saved = load_settings(layout) if layout.exists() or not create else Settings()
    settings = saved.changed(**interrupted(layout.chunks)).changed(**_lasting(overrides))
    return settings.changed(tokenizer=settings.tokenizer_name)


def embed_settings(layout: Layout, overrides: dict[str, Any]) -> Settings:
    """What was saved, with what the user named now. Raises NotBuiltYet."""
    return load_settings(layout).changed(**_lasting(overrides))


def _lasting(overrides: dict[str, Any]) -> dict[str, Any]:
    """A local encoder or tokenizer by its absolute path."""
    local = {
        name: os.path.abspath(value)
        for name in ("encoder", "tokenizer")
        if (value := overrides.get(name)) and os.path.exists(value)
    }
    return {**overrides, **local}


def unchanged(layout: Layout, chosen: Settings, now: Settings) -> Settings:
    """The settings ``now``, when nobody else may write. Raises LockedError if they are no longer
    those by which the inputs, the tokenizer and the encoder were chosen."""
    if now != replace(chosen, keep_generations=now.keep_generations):
        raise LockedError(
            f"the settings of {layout.root} were changed meanwhile by another command",
            "run the same command again",
        )
    return now
