"""How much of the cross-attention went to each neighbour: who was read, and how much."""

from __future__ import annotations

from typing import Any

from retro_cli.models.chunking import Slots, put

Tensor = Any


class AttentionMass:
    """The attention of one pass on each neighbour, averaged over the heads and layers with CCA."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._layers = 0

    def clear(self) -> None:
        """Forget the pass before."""
        self._sum, self._layers = None, 0

    def add(self, weights: Tensor, slots: Slots, visible: Tensor, tokens: int) -> None:
        """Count one layer. weights: (batch, chunks, heads, slots, k * r), rows that sum to 1.

        visible: (batch, chunks, k, r) bool. tokens: of the pass.
        """
        on_each = weights.mean(dim=2).unflatten(-1, visible.shape[2:]).sum(dim=-1)
        nothing = ~visible.flatten(start_dim=2).any(dim=-1)
        share = put(on_each.masked_fill(nothing[..., None, None], 0.0), slots, tokens)
        self._sum = share if self._sum is None else self._sum + share
        self._layers += 1

    @property
    def of_tokens(self) -> Tensor | None:
        """(batch, tokens, k): sums to 1 where a token read, 0 elsewhere; None if none could."""
        return None if self._sum is None else self._sum / self._layers
