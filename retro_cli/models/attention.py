"""Attention with a learned bias for each relative distance: the part CCA and the encoder share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

# torch ships its types, but checking against them costs more than it finds here.
Tensor = Any


class RelativeAttention(nn.Module):  # type: ignore[misc]
    """Multi-head attention from one sequence to another, with relative positional logits.

    A logit is q.k / sqrt(head width) plus the entry of a table (heads, distances) for the pair's
    distance. The paper adds a linear map of a sinusoid of the distance and does not say more;
    a learned bias per head and distance (Raffel et al. 2020, without their log buckets, since
    the distances are few) can stand for any such map. No projection has a bias, so a query that
    sees no key gets exactly zero.
    """

    def __init__(
        self, width: int, source_width: int, heads: int, distances: int, *, closed: bool = False
    ) -> None:
        """closed: the output projection is to start at zero, so that nothing is read at first."""
        super().__init__()
        self.heads = heads
        self.closed = closed
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(source_width, width, bias=False)
        self.value = nn.Linear(source_width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.distance_bias = nn.Parameter(torch.zeros(heads, distances))

    def project(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """source: (..., keys, source width). Keys and values: (..., heads, keys, head width)."""
        return self._split(self.key(source)), self._split(self.value(source))

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, distance: Tensor, visible: Tensor,
        record: Callable[[Tensor], None] | None = None,
    ) -> Tensor:  # fmt: skip
        """What each query reads: (..., queries, width), exactly zero where nothing is visible.

        x: (..., queries, width). keys, values: (..., heads, keys, head width).
        distance: (..., queries, keys) int64, rows of the table, with leading dimensions that
        broadcast. visible: (..., keys) bool; one softmax runs over all visible keys.
        record: is given the weights, (..., heads, queries, keys); without it they are never made.
        """
        queries = self._split(self.query(x))
        some = visible.any(dim=-1)[..., None, None]
        # A row of minus infinities would be NaN: such a row sees everything, and is cleared.
        hidden = ~(visible[..., None, :] | ~some)
        bias = self.distance_bias[:, distance].movedim(0, -3)
        logits = bias.masked_fill(hidden[..., None, :, :], float("-inf"))
        flat = _attended(
            queries.flatten(end_dim=-4),
            keys.flatten(end_dim=-4),
            values.flatten(end_dim=-4),
            _spread(logits, queries.shape[:-3]).to(queries.dtype),
            record and (lambda weights: record(weights.unflatten(0, queries.shape[:-3]))),
        )
        read = flat.view(*queries.shape).transpose(-2, -3).flatten(start_dim=-2)
        return self.output(read).masked_fill(~some, 0.0)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)


def _attended(
    queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor,
    record: Callable[[Tensor], None] | None,
) -> Tensor:  # fmt: skip
    if record is None:
        return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
    scaled = queries * queries.shape[-1] ** -0.5
    weights = (scaled @ keys.transpose(-1, -2) + bias).softmax(dim=-1)
    record(weights)
    return weights @ values


def _spread(logits: Tensor, lead: tuple[int, ...]) -> Tensor:
    return logits.expand(*lead, *logits.shape[-3:]).flatten(end_dim=-4)
