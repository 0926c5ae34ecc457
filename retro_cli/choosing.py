"""What a writing stage runs with: the settings, and the tokenizer that they name."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from retro_cli.chunks.attempt import interrupted
from retro_cli.config import Settings, load_settings
from retro_cli.embeddings.resolve import locate_tokenizer, resolve, tokenizer_path
from retro_cli.errors import ConfigError, LockedError, RetroError
from retro_cli.models.base import find_base, is_packaged
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


def find_tokenizer(
    settings: Settings, allow_download: bool = False, *, weights: bool = True
) -> Path:
    """The tokenizer.json to chunk with: a path, or the one of an encoder or base model by name.

    ``weights``: hash the encoder's weights too, which finds an encoder that is not itself.
    """
    name = settings.tokenizer_name
    if settings.tokenizer and Path(name).exists():
        return Path(name)
    if settings.tokenizer and is_packaged(name):
        return find_base(name)
    try:
        if not weights:
            return locate_tokenizer(name)
        return tokenizer_path(resolve(name, allow_download=allow_download))
    except RetroError as error:
        if not settings.tokenizer:
            raise
        raise ConfigError(
            f"no tokenizer '{name}': neither a file or folder nor a known encoder", error.hint
        ) from error
