"""How a model cuts its text: the tokenizer in its folder, and the length of its chunks."""

from __future__ import annotations

from pathlib import Path

from retro_cli.chunks.tokenizer import ChunkTokenizer, find_tokenizer
from retro_cli.errors import UsageError
from retro_cli.store.atomic import read_json

LENGTH = 64  # tokens, of a model that does not say (Borgeaud et al. 2021, section 2.1)
RETRO = "retro"


def reading_of(model: Path, tokens: int | None = None) -> tuple[ChunkTokenizer, int]:
    """The tokenizer of a model, cutting exactly, and m: the tokens of a chunk.

    model: a folder with a tokenizer.json, or that file. tokens: m for a model that is not a RETRO
    model; of one that is, its own. Raises ConfigError where there is no tokenizer, UsageError for
    another m than a RETRO model's, IntegrityError for a damaged config.json.
    """
    found = find_tokenizer(model.expanduser())
    own = _chunk_length(found.parent / "config.json") if model.expanduser().is_dir() else None
    if own is not None and tokens not in (None, own):
        raise UsageError(
            f"--tokens {tokens}, and the model in {model} reads chunks of {own}",
            "leave --tokens out: a RETRO model says it itself",
        )
    length = own or tokens or LENGTH
    return ChunkTokenizer(found, cut="exact", size=length), length


def _chunk_length(config: Path) -> int | None:
    """m of a RETRO model's configuration, None for that of any other model, or for none."""
    fields = read_json(config) if config.is_file() else {}
    if not isinstance(fields, dict) or fields.get("model_type") != RETRO:
        return None
    return int(fields.get("chunk_length", LENGTH))
