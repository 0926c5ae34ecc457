"""An encoder whose weights learn: the torch twin of what ``embeddings`` runs frozen.

Its vectors are those that ``load_encoder`` gives for the folder it is saved as.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional

from retro_cli.embeddings.folder import STATIC_TABLES, base_folder, weights_file
from retro_cli.embeddings.resolve import ResolvedEncoder, resolve, tokenizer_path
from retro_cli.embeddings.spec import EncoderSpec
from retro_cli.embeddings.weights import Weights
from retro_cli.errors import ConfigError
from retro_cli.store.atomic import disk_errors, sync_file, sync_folder

Tensor = Any


class Tower:
    """Texts -> (n, dim) float32 rows of length one, with gradients while it trains."""

    def __init__(self, network: Any, begun: ResolvedEncoder) -> None:
        """network: a SentenceTransformer. begun: the encoder that it began as."""
        self.network, self.begun = network, begun

    @property
    def spec(self) -> EncoderSpec:
        """Of the encoder that it began as: its prompts hold, its weights no longer."""
        return self.begun.spec

    @classmethod
    def open(cls, resolved: ResolvedEncoder, device: str = "cpu") -> Tower:
        """Raises ConfigError for a folder that cannot be loaded without code of its own."""
        spec = resolved.spec
        if "without prompt" in spec.pooling:
            raise ConfigError(
                f"{spec.name} leaves its prompt out of the mean", "train another encoder"
            )
        return cls(_load(resolved, device).float().eval(), resolved)

    def queries(self, texts: Sequence[str]) -> Tensor:
        return self._encode([self.spec.query_prompt + text for text in texts])

    def documents(self, texts: Sequence[str]) -> Tensor:
        return self._encode([self.spec.document_prompt + text for text in texts])

    def _encode(self, texts: list[str]) -> Tensor:
        prepare = getattr(self.network, "preprocess", None) or self.network.tokenize
        features = {
            name: value.to(self.network.device) if hasattr(value, "to") else value
            for name, value in prepare(texts).items()
        }
        return functional.normalize(self.network(features)["sentence_embedding"].float(), dim=-1)

    def weights(self) -> dict[str, Tensor]:
        """Every trained weight by its name; of one tower only, if two share them."""
        return dict(self.network.named_parameters())

    def copy(self) -> Tower:
        """A twin with its own weights."""
        return Tower(deepcopy(self.network), self.begun)

    def snapshot(self) -> Tower:
        """A twin as it is now: it does not learn, and drops nothing out."""
        twin = self.copy()
        twin.network.requires_grad_(False).eval()
        return twin

    def save(self, folder: Path) -> EncoderSpec:
        """Into a sentence-transformers folder, what lists its parts last; what it is now."""
        staging = folder / ".encoder.tmp"
        shutil.rmtree(staging, ignore_errors=True)
        with disk_errors(folder):
            staging.mkdir(parents=True)
            self.network.save_pretrained(str(staging), create_model_card=False)
            # Byte for byte: chunks that were cut with it need not be tokenised again.
            shutil.copyfile(tokenizer_path(self.begun), base_folder(staging) / "tokenizer.json")
            files = [path for path in staging.rglob("*") if path.is_file()]
            for path in sorted(files, key=lambda path: path.name == "modules.json"):
                target = folder / path.relative_to(staging)
                target.parent.mkdir(parents=True, exist_ok=True)
                sync_file(path)
                os.replace(path, target)
            shutil.rmtree(staging)
            sync_folder(folder)
        return resolve(str(folder)).spec


def _load(resolved: ResolvedEncoder, device: str) -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    from retro_cli.embeddings.sentence import load_sentence_transformer

    disable_progress_bar()  # it would be drawn over retro's own
    if resolved.spec.kind == "static":
        return SentenceTransformer(modules=[_static(resolved)], device=device)
    return load_sentence_transformer(resolved.folder, device)


def _static(resolved: ResolvedEncoder) -> Any:
    try:
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    except ImportError:  # before version 6
        from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer

    stored = Weights(weights_file(resolved.folder))
    (name,) = (name for name in stored.names if name in STATIC_TABLES)
    table = torch.from_numpy(stored.float32(name).copy())
    tokenizer = Tokenizer.from_file(str(tokenizer_path(resolved)))
    tokenizer.no_truncation()
    return StaticEmbedding(tokenizer, embedding_weights=table)
