"""Which chunk a token belongs to, and whose neighbours it reads: index arithmetic only.

A row of tokens has *chunk positions*: its first real token has ``offset`` (0 unless the row is
treated as if it had been padded on the left), the next one more, and so on; chunk u holds the
positions um .. um+m-1. Section 2.4 of Borgeaud et al. 2021: the last token of chunk u and the
first m-1 of chunk u+1 read RET(C_u). So position t reads the neighbours of chunk
(t + 1) // m - 1, from slot (t + 1) % m, and the first m-1 positions read nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

Tensor = Any


@dataclass(frozen=True)
class Chunks:
    """The chunks that are completed by the tokens of one pass.

    numbers: (batch, chunks) int64, which chunk of its row. complete: (batch, chunks) bool; rows
    that complete fewer than the others are filled up with False.
    """

    numbers: Tensor
    complete: Tensor

    @property
    def count(self) -> int:
        return int(self.numbers.shape[1])


@dataclass(frozen=True)
class Slots:
    """Which tokens of the pass read the neighbours of which chunk.

    token: (batch, chunks, slots) int64, an index into the pass. slot: (batch or 1, chunks or 1,
    slots) int64, 0 for the last token of the chunk itself up to m-1. real: (batch, chunks,
    slots) bool; the rest is filling.
    """

    token: Tensor
    slot: Tensor
    real: Tensor


def read_chunk(position: Tensor, m: int) -> Tensor:
    """The chunk whose neighbours a chunk position reads; -1 or less: none."""
    return (position + 1).div(m, rounding_mode="floor") - 1


def first_positions(mask: Tensor | None, offset: Tensor, past: int) -> Tensor:
    """The chunk position of the first token of the pass: (batch,) int64; negative: left padding.

    mask: (batch, past + tokens), nonzero for real tokens, or None where all are.
    """
    padding = torch.zeros_like(offset) if mask is None else mask.long().argmax(dim=1)
    return offset - padding + past


def completed_chunks(first: Tensor, tokens: int, m: int) -> Chunks:
    """first: (batch,), the chunk position of the pass's first token."""
    before = first.clamp(min=0).div(m, rounding_mode="floor")
    after = (first + tokens).clamp(min=0).div(m, rounding_mode="floor")
    count = after - before
    steps = torch.arange(int(count.max()), device=first.device)
    return Chunks(before[:, None] + steps, steps < count[:, None])


def chunk_tokens(
    chunks: Chunks, first: Tensor, offset: Tensor, kept: int, m: int
) -> tuple[Tensor, Tensor]:
    """The chunks' own tokens: an index (batch, chunks, m) and which of them are real.

    The index is into the ``kept`` tokens before the pass followed by those of the pass. Tokens
    before ``offset`` are padding, and those of incomplete chunks are not to be read.
    """
    position = chunks.numbers[..., None] * m + torch.arange(m, device=first.device)
    index = position - first[:, None, None] + kept
    real = (position >= offset[:, None, None]) & (index >= 0) & chunks.complete[..., None]
    return index.where(real, 0), real


def reading_slots(chunks: Chunks, first: Tensor, tokens: int, m: int, *, carried: bool) -> Slots:
    """The readers of each chunk, with the last chunk of the passes before first if ``carried``."""
    numbers, complete = chunks.numbers, chunks.complete
    if carried:
        last = first.clamp(min=0).div(m, rounding_mode="floor")[:, None] - 1
        numbers = torch.cat([last, numbers], dim=1)
        complete = torch.cat([last >= 0, complete], dim=1)
    start = (numbers + 1) * m - 1 - first[:, None]  # of the chunk's slot 0, in tokens of the pass
    within = torch.arange(min(m, tokens), device=first.device)
    token = start.clamp(min=0)[..., None] + within
    slot = token - start[..., None]
    real = complete[..., None] & (slot < m) & (token < tokens)
    # Chunks completed in this pass are read from slot 0 on: one row of slots stands for all.
    slot = slot.clamp(max=m - 1) if carried else within[None, None]
    return Slots(token.where(real, 0), slot, real)


def take(rows: Tensor, index: Tensor) -> Tensor:
    """rows: (batch, tokens, width), index: (batch, ...). Returns (batch, ..., width)."""
    flat = index.flatten(start_dim=1)[..., None].expand(-1, -1, rows.shape[-1])
    return rows.gather(1, flat).view(*index.shape, rows.shape[-1])


def put(values: Tensor, slots: Slots, tokens: int) -> Tensor:
    """values: (batch, chunks, slots, width), each to its token; zero where nothing is put."""
    flat = slots.token.flatten(start_dim=1)[..., None].expand(-1, -1, values.shape[-1])
    kept = values.masked_fill(~slots.real[..., None], 0.0).flatten(start_dim=1, end_dim=2)
    out = values.new_zeros(values.shape[0], tokens, values.shape[-1])
    return out.scatter_add(1, flat, kept)
