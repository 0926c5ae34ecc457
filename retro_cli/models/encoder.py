"""The neighbour encoder: bidirectional, and conditioned on the chunk that retrieved."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from retro_cli.models.attention import RelativeAttention
from retro_cli.models.norm import Norm

Tensor = Any


class EncoderLayer(nn.Module):  # type: ignore[misc]
    """FFW(CA(ATTN(E), H_u)) of algorithm 1, pre-norm; without CA where ``cross`` is False."""

    def __init__(
        self, width: int, source_width: int, heads: int, *, chunk: int, retrieved: int, cross: bool
    ) -> None:
        super().__init__()
        self.norm = Norm(width)
        self.attention = RelativeAttention(width, width, heads, 2 * retrieved - 1)
        self.cross = cross
        if cross:
            self.cross_norm = Norm(width)
            self.source_norm = Norm(source_width)
            self.cross_attention = RelativeAttention(
                width, source_width, heads, chunk + retrieved - 1
            )
        self.feed_norm = Norm(width)
        self.widen = nn.Linear(width, 4 * width, bias=False)
        self.narrow = nn.Linear(4 * width, width, bias=False)

    def forward(
        self, x: Tensor, visible: Tensor, source: Tensor, source_visible: Tensor, longest: int
    ) -> Tensor:
        """x: (chunks, k, r, width), visible: (chunks, k, r), source: (chunks, m, source width)."""
        r, m = x.shape[2], source.shape[1]
        normed = self.norm(x)
        here = self.attention.project(normed)
        x = x + self.attention(normed, *here, _distance(r, r, longest, x.device), visible)
        if self.cross:
            keys, values = self.cross_attention.project(self.source_norm(source))
            k = x.shape[1]
            x = x + self.cross_attention(
                self.cross_norm(x),
                keys[:, None].expand(-1, k, -1, -1, -1),
                values[:, None].expand(-1, k, -1, -1, -1),
                _distance(r, m, m, x.device),
                source_visible[:, None].expand(-1, k, -1),
            )
        return x + self.narrow(functional.gelu(self.widen(self.feed_norm(x))))


class NeighbourEncoder(nn.Module):  # type: ignore[misc]
    """ENCODER(RET(C_u), H_u) of Borgeaud et al. 2021 (section 2.3).

    Each neighbour is encoded on its own; in the layers ``cross_layers`` (from 1) its tokens also
    attend to the activations of the chunk that retrieved it. Distances are those of the paper:
    d_enc(i', i) = i' - i, one table row each.
    """

    def __init__(
        self, embedding_width: int, width: int, source_width: int, heads: int, layers: int,
        cross_layers: list[int], *, chunk: int, retrieved: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.retrieved = retrieved
        # The embeddings of a base model have a scale of their own.
        self.embedding_norm = Norm(embedding_width)
        self.embedding_map = nn.Linear(embedding_width, width, bias=False)
        self.layers = nn.ModuleList(
            EncoderLayer(
                width, source_width, heads,
                chunk=chunk, retrieved=retrieved, cross=number in cross_layers,
            )
            for number in range(1, layers + 1)
        )  # fmt: skip
        self.norm = Norm(width)

    def forward(
        self, embedded: Tensor, visible: Tensor, source: Tensor, source_visible: Tensor
    ) -> Tensor:
        """Encoded neighbours (batch, chunks, k, r, width).

        embedded: (batch, chunks, k, r, embedding width). visible: (batch, chunks, k, r) bool.
        source: (batch, chunks, m, source width), the chunks' own activations after the
        self-attention of the first CCA layer. source_visible: (batch, chunks, m) bool.
        """
        lead = embedded.shape[:2]
        x = self.embedding_map(self.embedding_norm(embedded)).flatten(end_dim=1)
        rest = [part.flatten(end_dim=1) for part in (visible, source, source_visible)]
        for layer in self.layers:
            x = layer(x, *rest, self.retrieved)
        return self.norm(x).unflatten(0, lead)


def _distance(queries: int, keys: int, longest: int, device: Any) -> Tensor:
    """The table's row of query i' and key i: i' - i + longest - 1, (queries, keys) int64."""
    behind = torch.arange(queries, device=device)[:, None] - torch.arange(keys, device=device)
    return behind + longest - 1
