"""The model that is evaluated, and what is known of the language model inside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.evaluate.lm_report import NO_BASE, TRAINED, VERIFIED
from retro_cli.models.config import ADDED_WEIGHTS, FROM_SCRATCH
from retro_cli.models.saving import weights_hash
from retro_cli.reading.open_model import open_model


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


def load_subject(folder: str | Path, base: str | None, device: str) -> Subject:
    """base: where the base of added weights is now, if not where it was.

    Raises InputNotFound, IntegrityError, UsageError, ConfigError (no tokenizer), MissingExtra.
    """
    model, tokenizer = open_model(folder, base, device)
    config = model.config
    backbone = NO_BASE
    if config.origin != FROM_SCRATCH:
        same = config.weights == ADDED_WEIGHTS or weights_hash(model.backbone) == config.base_hash
        backbone = VERIFIED if same else TRAINED
    return Subject(model, tokenizer, backbone)
