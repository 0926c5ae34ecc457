"""A RETRO model by name or folder, with its tokenizer, on the device that is asked for."""

from __future__ import annotations

from pathlib import Path

from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.errors import UsageError
from retro_cli.models.base import TOKENIZER
from retro_cli.models.language import find_device
from retro_cli.models.retro import RetroForCausalLM
from retro_cli.models.saving import checked_folder
from retro_cli.models.shipped import find_model
from retro_cli.reading.of_model import reading_of


def open_model(
    model: str | Path, base: str | Path | None = None, device: str = "auto"
) -> tuple[RetroForCausalLM, ChunkTokenizer]:
    """The model, ready to read, and the tokenizer that cuts its text: its own, or its base's.

    model: a folder, or the name of one that ships. base: where the base of added weights is now,
    if not where it was. device: auto is a GPU if there is one.
    Raises InputNotFound, IntegrityError, ConfigError (no tokenizer), UsageError, MissingExtra.
    """
    where = find_device(device)
    folder, config = checked_folder(find_model(model))
    if base is None or (folder / TOKENIZER).is_file():
        tokenizer, _ = reading_of(folder)
    else:
        tokenizer, _ = reading_of(base, config.chunk_length)
    if tokenizer.vocabulary > config.vocab_size:
        raise UsageError(
            f"{tokenizer.path} has {tokenizer.vocabulary:,} tokens, and the model knows "
            f"{config.vocab_size:,} tokens",
            "it is not the model's tokenizer",
        )
    model = RetroForCausalLM.from_pretrained(folder, base=base)
    if where == "cpu":
        model.added.float()  # weights that ship are in half precision, which a CPU is slow in
    return model.to(where).eval(), tokenizer
