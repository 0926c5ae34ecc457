"""Rows of tokens under way through a causal language model, with its cache."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from transformers import DynamicCache

Tensor = Any


class CausalRows:
    """Texts of one length that grow by a token each; they may fork. Nothing is computed twice."""

    def __init__(self, model: Any, prompt: Sequence[int]) -> None:
        self._model = model
        self.ids = [list(prompt)]
        self._cache = DynamicCache(config=model.config)
        self._seen = 0

    @property
    def length(self) -> int:
        """Tokens of each row."""
        return len(self.ids[0])

    def logits(self) -> Tensor:
        """(rows, vocabulary) float32, of the next token, after the tokens that are new."""
        new = torch.tensor([row[self._seen :] for row in self.ids], device=self._model.device)
        output = self._model(new, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        self._seen = self.length
        return output.logits[:, -1].float()

    def advance(self, parents: Sequence[int], tokens: Sequence[int]) -> bool:
        """Row i becomes row ``parents[i]`` and ``tokens[i]``; returns whether rows moved."""
        moved = list(parents) != list(range(len(self.ids)))
        if moved:
            rows = torch.tensor(list(parents), device=self._model.device)
            self._cache.reorder_cache(rows)
            self.ids = [list(self.ids[row]) for row in parents]
        for row, token in zip(self.ids, tokens, strict=True):
            row.append(token)
        return moved


def end_tokens(model: Any) -> Collection[int]:
    """What ends a text: of the generation settings, else of the model's configuration."""
    for config in (model.generation_config, model.config):
        ends = getattr(config, "eos_token_id", None)
        if ends is not None:
            return frozenset([ends] if isinstance(ends, int) else ends)
    return frozenset()
