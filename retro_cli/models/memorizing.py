"""Memorizing Transformers (Wu et al. 2022) on any causal language model of ``families.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from retro_cli.errors import UsageError
from retro_cli.models.families import layer_of
from retro_cli.models.heads import Asked, HeadTap
from retro_cli.models.memory import OWN, Memory, MemoryAttention, Recalled

Tensor = Any
K, CAPACITY, WINDOW = 32, 8192, 512


def three_quarters(layers: int) -> int:
    """The layer with the memory, from 1: the 9th of 12 (section 4.2 of the paper)."""
    return max(1, round(0.75 * layers))


@dataclass(frozen=True)
class Passed:
    """One pass. hidden: (batch, tokens, width), what the output head reads. fresh: its tokens as
    entries of a memory. recalled: None without a memory."""

    hidden: Tensor
    fresh: Memory
    recalled: Recalled | None


class MemorizingModel(nn.Module):  # type: ignore[misc]
    """A base model, one layer of which also attends to a memory. The memory belongs to the caller,
    who adds to it after a pass, so that no token ever finds itself.

    With an empty memory, or none, the layer is left alone, to the bit.
    """

    def __init__(
        self, base: Any, layer: int | None = None, k: int = K, capacity: int = CAPACITY,
        window: int = WINDOW,
    ) -> None:  # fmt: skip
        """layer: from 1. k: nearest entries read by each head. capacity: of the text's own past, in
        tokens. window: tokens attended to locally. Raises UsageError."""
        super().__init__()
        layers = int(base.config.num_hidden_layers)
        self.layer = three_quarters(layers) if layer is None else layer
        longest = getattr(base.config, "max_position_embeddings", None) or window
        if not 1 <= self.layer <= layers:
            raise UsageError(f"layer {self.layer} of {layers}", f"choose 1 to {layers}")
        if not 2 <= window <= longest or k < 1 or capacity < 1:
            raise UsageError(
                f"a window of {window:,} tokens, a memory of {capacity:,} and {k:,} nearest of it",
                f"a window of 2 to {longest:,} tokens, and at least one of the others",
            )
        self.base, self.k, self.capacity, self.window = base, k, capacity, window
        self._tap = HeadTap(base, self.layer)
        self.attention = MemoryAttention(self._tap.shape.queries, k)

    @property
    def device(self) -> Any:
        return self.attention.gate.device

    def forward(self, ids: Tensor, memory: Memory | None = None, cache: Any = None) -> Passed:
        """ids: (batch, tokens) int64. cache: of the tokens before, as Hugging Face's models do."""
        noted: list[tuple[Memory, Recalled | None]] = []

        def mix(asked: Asked, local: Tensor) -> Tensor:
            fresh = Memory.of(asked.keys, asked.values)
            if memory is None or not memory.entries:
                noted.append((fresh, None))
                return local
            recalled = self.attention.recall(asked.queries, memory)
            noted.append((fresh, recalled))
            share = self.attention.shares(memory, local.dtype)
            return share * recalled.values.to(local.dtype) + (1 - share) * local

        with self._tap.mixing(mix):
            output = self.base.base_model(ids, past_key_values=cache, use_cache=cache is not None)
        fresh, recalled = noted[0]
        return Passed(output.last_hidden_state, fresh, recalled)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., vocabulary) float32."""
        return self.base.get_output_embeddings()(hidden).float()

    def layer_parts(self) -> nn.Module:
        """The base's layer that has the memory."""
        return layer_of(self.base, self.layer)

    def nothing(self) -> Memory:
        """A memory of one row without entries."""
        shape = self._tap.shape
        none = torch.zeros((1, 0, shape.keys, shape.width), device=self.device)
        return Memory.of(none, none)

    def remembered(self, before: Memory | None, fresh: Memory) -> Memory:
        """The memory after a pass, within its capacity."""
        return (fresh if before is None else before.followed_by(fresh)).last(self.capacity)

    def attention_mass(
        self, memory: Memory, recalled: Recalled, hits: int
    ) -> tuple[Tensor, Tensor]:
        """Of the last token of each row: (batch, hits) what share of its attention in this layer
        each hit had, and (batch,) the text's own past; the rest was local. Means over the heads."""
        share = self.attention.shares(memory, recalled.weights.dtype)[:, 0]
        weights = (share * recalled.weights[:, -1]) / recalled.weights.shape[2]
        whose = recalled.whose[:, -1].flatten(1)
        mass = torch.zeros((len(whose), hits + 1), dtype=weights.dtype, device=weights.device)
        mass.scatter_add_(1, torch.where(whose == OWN, hits, whose), weights.flatten(1))
        return mass[:, :hits], mass[:, hits]
