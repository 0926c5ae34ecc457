"""A RETRO model from a folder, with its tokenizer, ready to read."""

from __future__ import annotations

from pathlib import Path

import torch

from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.errors import UsageError
from retro_cli.models.config import ADDED_WEIGHTS
from retro_cli.models.retro import RetroForCausalLM
from retro_cli.models.saving import checked_folder

TOKENIZER = "tokenizer.json"


def load_retro(
    folder: Path, base: Path | None = None, device: str = "auto"
) -> tuple[RetroForCausalLM, ChunkTokenizer]:
    """The model of a folder and its tokenizer: its own, or that of its base.

    base: where the base of added weights is now. device: auto (a GPU if there is one), cpu, cuda.
    Raises InputNotFound, IntegrityError, ConfigError or UsageError.
    """
    _, config = checked_folder(folder)
    known = config.base_name if config.weights == ADDED_WEIGHTS else ""
    homes = [Path(home) for home in (folder, base, known) if home]
    home = next((home for home in homes if (home / TOKENIZER).is_file()), folder)
    tokenizer = ChunkTokenizer(home)
    if tokenizer.vocabulary > config.vocab_size:
        raise UsageError(
            f"{tokenizer.path} has {tokenizer.vocabulary:,} tokens, the model "
            f"{config.vocab_size:,}",
            "it is not the model's tokenizer",
        )
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise UsageError("there is no GPU that torch can use", "--device cpu")
    model = RetroForCausalLM.from_pretrained(folder, base=base)
    model.to("cuda" if there and device != "cpu" else "cpu")
    model.eval()
    return model, tokenizer
