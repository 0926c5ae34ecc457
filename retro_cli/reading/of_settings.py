"""The tokenizer that cuts a database's text, found by what its settings say."""

from __future__ import annotations

from pathlib import Path

from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.config import Settings
from retro_cli.embeddings.resolve import locate_tokenizer, resolve, tokenizer_path
from retro_cli.errors import ConfigError, RetroError
from retro_cli.models.base import find_base, is_packaged


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


def reading_of_database(
    settings: Settings, tokens: int | None = None
) -> tuple[ChunkTokenizer, int]:
    """The tokenizer that cut a database's chunks, cutting exactly, and the tokens of a chunk.

    tokens: another length than the database's. Raises ConfigError.
    """
    length = tokens or settings.tokens
    return ChunkTokenizer(find_tokenizer(settings), cut="exact", size=length), length
