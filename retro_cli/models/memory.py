"""The memory of a Memorizing Transformer, and attention to the nearest of it.

Wu et al. 2022, section 3: (key, value) pairs of one layer, kept as they were computed, without a
gradient; the oldest go first. The heads of the layer ask with their own queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

Tensor = Any
OWN = -1  # whose an entry is, if it is the text's own past


@dataclass(frozen=True)
class Memory:
    """Of each row of a batch, entries from the oldest to the newest.

    keys: (batch, entries, key heads, width), of length 1. values: the same shape. whose: (batch,
    entries) int64, the number of the hit that an entry is of, or OWN. there: (batch, entries) bool.
    """

    keys: Tensor
    values: Tensor
    whose: Tensor
    there: Tensor

    @property
    def entries(self) -> int:
        return int(self.keys.shape[1])

    @classmethod
    def of(cls, keys: Tensor, values: Tensor, whose: int = OWN) -> Memory:
        """Entries that are all there; neither keeps a gradient."""
        shape, device = keys.shape[:2], keys.device
        marks = torch.full(shape, whose, dtype=torch.long, device=device)
        there = torch.ones(shape, dtype=torch.bool, device=device)
        return cls(functional.normalize(keys.detach(), dim=-1), values.detach(), marks, there)

    def followed_by(self, other: Memory) -> Memory:
        return Memory(
            *(torch.cat(pair, dim=1) for pair in zip(self._parts, other._parts, strict=True))
        )

    def last(self, capacity: int) -> Memory:
        """First in, first out: the newest ``capacity`` entries."""
        start = max(0, self.entries - capacity)
        return Memory(*(part[:, start:] for part in self._parts))

    def first(self, count: int) -> Memory:
        return Memory(*(part[:, :count] for part in self._parts))

    def row(self, number: int) -> Memory:
        """A batch of one."""
        return Memory(*(part[number : number + 1] for part in self._parts))

    def rows(self, picked: Tensor) -> Memory:
        """(batch,) int64 row numbers; a row may come twice."""
        return Memory(*(part[picked] for part in self._parts))

    def tensors(self) -> dict[str, Tensor]:
        """By the names that ``Memory`` takes."""
        return dict(zip(("keys", "values", "whose", "there"), self._parts, strict=True))

    @property
    def _parts(self) -> tuple[Tensor, ...]:
        return (self.keys, self.values, self.whose, self.there)


def side_by_side(memories: list[Memory]) -> Memory:
    """One batch of memories of any lengths: shorter ones are filled up in front."""
    longest = max(memory.entries for memory in memories)
    filled = []
    for memory in memories:
        gap = longest - memory.entries
        filled.append([
            functional.pad(memory.keys, (0, 0, 0, 0, gap, 0)),
            functional.pad(memory.values, (0, 0, 0, 0, gap, 0)),
            functional.pad(memory.whose, (gap, 0), value=OWN),
            functional.pad(memory.there, (gap, 0), value=False),
        ])  # fmt: skip
    return Memory(*(torch.cat(parts) for parts in zip(*filled, strict=True)))


@dataclass(frozen=True)
class Recalled:
    """What each head recalled for each token.

    values: (batch, tokens, heads, width), zero where there is nothing. weights: (batch, tokens,
    heads, k), which sum to 1 or, of a row with nothing there, to 0. whose: the same shape, of whom.
    """

    values: Tensor
    weights: Tensor
    whose: Tensor


class MemoryAttention(nn.Module):  # type: ignore[misc]
    """V = g V_memory + (1 - g) V_local, with g = sigmoid(gate) for each head.

    Keys and queries have length 1, so that old entries keep their weight while the layer learns;
    ``scale`` (its logarithm) is the heat of their softmax. There is no bias by position.
    """

    def __init__(self, heads: int, k: int, gate: float = -2.0, scale: float = 10.0) -> None:
        """k: nearest entries that are read. gate, scale: where training begins."""
        super().__init__()
        self.k = k
        self.gate = nn.Parameter(torch.full((heads,), gate))
        self.log_scale = nn.Parameter(torch.full((heads,), scale).log())

    def recall(self, queries: Tensor, memory: Memory) -> Recalled:
        """queries: (batch, tokens, heads, width)."""
        groups = queries.shape[2] // memory.keys.shape[2]
        keys = memory.keys.repeat_interleave(groups, dim=2)
        asked = functional.normalize(queries, dim=-1)
        scores = torch.einsum("bthd,bmhd->bthm", asked, keys.to(asked.dtype))
        scores = scores.masked_fill(~memory.there[:, None, None], float("-inf"))
        best = scores.topk(min(self.k, memory.entries), dim=-1)
        heat = self.log_scale.exp()[:, None].to(scores.dtype)
        weights = (best.values * heat).softmax(dim=-1).nan_to_num(0.0)
        values = memory.values.repeat_interleave(groups, dim=2).to(asked.dtype)
        index = best.indices.permute(0, 2, 1, 3)  # (batch, heads, tokens, k)
        flat = index.flatten(2)[..., None].expand(-1, -1, -1, values.shape[-1])
        picked = values.transpose(1, 2).gather(2, flat).unflatten(2, index.shape[2:])
        read = torch.einsum("bthk,bhtkd->bthd", weights, picked)
        whose = memory.whose[:, None, None].expand(*scores.shape[:3], -1).gather(-1, best.indices)
        return Recalled(read, weights, whose)

    def shares(self, memory: Memory, dtype: Any) -> Tensor:
        """(batch, 1, heads, 1) g, zero for a row that has nothing to recall."""
        some = memory.there.any(dim=1).to(dtype)
        return self.gate.sigmoid().to(dtype)[None, None, :, None] * some[:, None, None, None]
