"""Chunked cross-attention: how the tokens of one chunk read the neighbours of the one before."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from retro_cli.models.attention import RelativeAttention
from retro_cli.models.chunking import Slots, put, take
from retro_cli.models.mass import AttentionMass
from retro_cli.models.norm import Norm

Tensor = Any


@dataclass(frozen=True)
class Memory:
    """Keys and values of the neighbours of some chunks, for one layer.

    keys, values: (batch, chunks, heads, k, r, head width). visible: (batch, chunks, k, r) bool:
    tokens that exist; a missing neighbour has none.
    """

    keys: Tensor
    values: Tensor
    visible: Tensor

    def pick(self, rows: Tensor, chunks: Tensor) -> Memory:
        """One chunk of each picked row; rows, chunks: (picked,) int64."""
        parts = (self.keys, self.values, self.visible)
        return Memory(*(part[rows, chunks][:, None] for part in parts))

    def then(self, other: Memory) -> Memory:
        """These chunks, then the other's; with fewer or shorter neighbours filled up unseen."""
        k = max(self.visible.shape[2], other.visible.shape[2])
        r = max(self.visible.shape[3], other.visible.shape[3])
        mine, others = self._padded(k, r), other._padded(k, r)
        return Memory(
            torch.cat([mine.keys, others.keys], dim=1),
            torch.cat([mine.values, others.values], dim=1),
            torch.cat([mine.visible, others.visible], dim=1),
        )

    def _padded(self, k: int, r: int) -> Memory:
        wide = (0, r - self.visible.shape[3], 0, k - self.visible.shape[2])
        return Memory(
            functional.pad(self.keys, (0, 0, *wide)),
            functional.pad(self.values, (0, 0, *wide)),
            functional.pad(self.visible, wide),
        )


class ChunkedCrossAttention(nn.Module):  # type: ignore[misc]
    """CCA(H, E) - H of Borgeaud et al. 2021 (section 2.4, algorithm 1, listing 1).

    Slot i (from 0) of the readers of chunk u attends to token i' (from 0) of each of its
    neighbours at the distance d = i - i' + m - 1. Laid beside chunk u, a neighbour's token i'
    has the place i' and the reader the place i + m - 1, so d says how far the reader stands
    behind the token (equation 6, where the printed l is the chunk length m). It is the same for
    every neighbour, hence neighbours can be exchanged and their number can change. d runs from
    m - r to 2m - 2: m + r - 1 rows in the table, 191 for m = 64 and r = 128, the smallest first.
    One softmax runs over all tokens of all neighbours.
    """

    def __init__(
        self, width: int, source_width: int, heads: int, *, chunk: int, retrieved: int,
        closed: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.chunk = chunk
        self.retrieved = retrieved
        self.norm = Norm(width)
        self.attention = RelativeAttention(
            width, source_width, heads, chunk + retrieved - 1, closed=closed
        )

    def memory(self, encoded: Tensor, visible: Tensor) -> Memory:
        """encoded: (batch, chunks, k, r, source width), visible: (batch, chunks, k, r) bool."""
        keys, values = self.attention.project(encoded.flatten(start_dim=2, end_dim=3))
        shape = encoded.shape[2:4]
        return Memory(keys.unflatten(-2, shape), values.unflatten(-2, shape), visible)

    def forward(
        self, hidden: Tensor, slots: Slots, memory: Memory, mass: AttentionMass | None = None
    ) -> Tensor:
        """What the neighbours add to hidden (batch, tokens, width); zero where none is read."""
        k, r = memory.visible.shape[2:]
        record = mass and partial(
            mass.add, slots=slots, visible=memory.visible, tokens=hidden.shape[1]
        )
        # Normalised per token, so before the tokens are spread over slots.
        readers = take(self.norm(hidden), slots.token)
        read = self.attention(
            readers,
            memory.keys.flatten(start_dim=-3, end_dim=-2),
            memory.values.flatten(start_dim=-3, end_dim=-2),
            distance_row(slots.slot, r, self.retrieved).repeat(1, 1, 1, k),
            memory.visible.flatten(start_dim=2),
            record,
        )
        return put(read, slots, hidden.shape[1])


def distance_row(slot: Tensor, r: int, longest: int) -> Tensor:
    """The table's row of each pair: d - (m - longest) = slot - i' + longest - 1, never negative.

    slot: (...,) int64 below m. Returns (..., r) int64 for neighbours of r <= longest tokens.
    """
    return slot[..., None] - torch.arange(r, device=slot.device) + longest - 1
