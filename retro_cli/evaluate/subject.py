"""The model that is evaluated, and what is known of the language model inside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.errors import InputNotFound, UsageError
from retro_cli.evaluate.lm_report import NO_BASE, TRAINED, VERIFIED
from retro_cli.models.base import TOKENIZER
from retro_cli.models.config import ADDED_WEIGHTS, FROM_SCRATCH
from retro_cli.models.retro import RetroForCausalLM
from retro_cli.models.saving import weights_hash
from retro_cli.reading.of_model import reading_of


@dataclass(frozen=True)
class Subject:
    """A RETRO model, ready to evaluate, and the tokenizer that cuts its text.

    backbone: "verified": it is the base, its weights' hash was compared, so the model without
    retrieval is the base; "trained": it is fitted, and its backbone has other weights than the
    base now; "from_scratch": it has no base.
    """

    model: Any
    tokenizer: ChunkTokenizer
    backbone: str

    @property
    def positions(self) -> int | None:
        """The most tokens that the model was made to read at once."""
        return getattr(self.model.config.base_config, "max_position_embeddings", None)


def load_subject(folder: Path, base: str | None, device: str) -> Subject:
    """base: where the base of added weights is now, if not where it was.

    Raises InputNotFound, IntegrityError, UsageError, ConfigError (no tokenizer), MissingExtra.
    """
    if not folder.is_dir():
        raise InputNotFound(f"no model in {folder}", "a folder with a RETRO model is needed")
    disable_progress_bar()  # it would be drawn over retro's own, also under --quiet
    model = RetroForCausalLM.from_pretrained(folder, base=base)
    config = model.config
    backbone = NO_BASE
    if config.origin != FROM_SCRATCH:
        same = config.weights == ADDED_WEIGHTS or weights_hash(model.backbone) == config.base_hash
        backbone = VERIFIED if same else TRAINED
    if base is None or (folder / TOKENIZER).is_file():
        tokenizer, _ = reading_of(folder)
    else:
        tokenizer, _ = reading_of(base, config.chunk_length)
    return Subject(model.to(_device(device)).eval(), tokenizer, backbone)


def _device(name: str) -> str:
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {name}", "choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device here", "use --device cpu")
    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
