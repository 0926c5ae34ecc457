"""How a model cuts its text: the tokenizer in its folder, and the length of its chunks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.errors import UsageError
from retro_cli.models.base import TOKENIZER, find_base, goes_by_name
from retro_cli.store.atomic import read_json

LENGTH = 64  # tokens, of a model that does not say (Borgeaud et al. 2021, section 2.1)
RETRO = "retro"


def reading_of(model: str | Path, tokens: int | None = None) -> tuple[ChunkTokenizer, int]:
    """The tokenizer of a model, cutting exactly, and m: the tokens of a chunk.

    model: a folder with a tokenizer.json, that file, or the name of a base model. A RETRO model
    without one has its base's. tokens: m for a model that is not a RETRO model; of one that is,
    its own. Raises ConfigError where there is no tokenizer, UsageError for another m than a RETRO
    model's, IntegrityError for a damaged config.json, and for names what ``find_base`` does.
    """
    path = find_base(model) if goes_by_name(model) else Path(model).expanduser()
    config = _retro_config(path / "config.json")
    own = int(config.get("chunk_length", LENGTH)) if config else None
    if own is not None and tokens not in (None, own):
        raise UsageError(
            f"--tokens {tokens}, and the model in {model} reads chunks of {own}",
            "leave --tokens out: a RETRO model says it itself",
        )
    if config and config.get("base_name") and not (path / TOKENIZER).is_file():
        path = find_base(config["base_name"])
    length = own or tokens or LENGTH
    return ChunkTokenizer(path, cut="exact", size=length), length


def _retro_config(path: Path) -> dict[str, Any]:
    """The configuration of a RETRO model; nothing for that of any other model, or for none."""
    fields = read_json(path) if path.is_file() else {}
    retro = isinstance(fields, dict) and fields.get("model_type") == RETRO
    return fields if retro else {}
