"""One pass of tokens through a RETRO model, and what decoding carries from pass to pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional

from retro_cli.errors import UsageError
from retro_cli.models.cca import ChunkedCrossAttention, Memory
from retro_cli.models.chunking import (
    Chunks,
    chunk_tokens,
    completed_chunks,
    first_positions,
    reading_slots,
    take,
)
from retro_cli.models.config import RetroConfig

Tensor = Any


@dataclass(frozen=True)
class Neighbours:
    """Retrieved tokens: ids (batch, chunks, k, r) int64 and visible, of that shape, bool."""

    ids: Tensor
    visible: Tensor

    def of(self, chunks: Chunks) -> Neighbours:
        """Those of some chunks; a chunk beyond the table has none."""
        width = self.ids.shape[1]
        known = (chunks.numbers < width) & chunks.complete
        rows = torch.arange(self.ids.shape[0], device=self.ids.device)[:, None]
        index = chunks.numbers.where(known, 0)
        if not width:
            empty = self.ids.new_zeros(*chunks.numbers.shape, *self.ids.shape[2:])
            return Neighbours(empty, empty.bool())
        return Neighbours(self.ids[rows, index], self.visible[rows, index] & known[..., None, None])


@dataclass
class DecodingState:
    """What the next pass needs of the passes before, kept beside the KV cache.

    seen: tokens so far. recent: (batch, up to m - 1, width), the activations that condition the
    encoder once their chunk is complete. memories: for each CCA layer, the keys and values of
    each row's last complete chunk; empty before there is one.
    """

    seen: int
    recent: Tensor
    memories: list[Memory] = field(default_factory=list)

    def reordered(self, rows: Tensor) -> DecodingState:
        """The state of the picked rows, (picked,) int64: beams end and beams fork."""
        first = torch.zeros_like(rows)
        picked = [memory.pick(rows, first) for memory in self.memories]
        return DecodingState(self.seen, self.recent[rows], picked)


class Pass:
    """The tokens of one call of forward: where they stand and which neighbours they read."""

    def __init__(
        self,
        neighbours: Neighbours,
        *,
        mask: Tensor | None,
        offset: Tensor,
        tokens: int,
        chunk: int,
        before: DecodingState | None,
    ) -> None:
        """mask: (batch, past + tokens) or None. offset: (batch,) int64, the chunk position of
        each row's first real token. before: the state after the past, None without a past."""
        past = before.seen if before is not None else 0
        self._before = before
        self._offset = offset
        self._tokens = tokens
        self._chunk = chunk
        self._first = first_positions(mask, offset, past)
        self._carried = before is not None and bool(before.memories)
        self._table = neighbours.ids.shape[1] > 0
        self._chunks = completed_chunks(self._first, tokens, chunk)
        self.slots = reading_slots(self._chunks, self._first, tokens, chunk, carried=self._carried)
        self.neighbours = neighbours.of(self._chunks)
        self.encoded: Tensor | None = None
        self.memories: list[Memory] = []
        self._window: Tensor | None = None

    @property
    def reads(self) -> bool:
        """Whether any token of the pass has a chunk to read from."""
        return self._carried or self.completes

    @property
    def completes(self) -> bool:
        """Whether a chunk ends in this pass, so that its neighbours have to be encoded.

        From a table of no chunks there is nothing to read, nor to carry on.
        """
        return self._chunks.count > 0 and (self._table or self._carried)

    def source(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The completed chunks' own activations and which of them are real.

        hidden: (batch, tokens, width), after the self-attention of the first CCA layer.
        """
        kept = 0 if self._before is None else self._before.recent.shape[1]
        parts = [hidden] if self._before is None else [self._before.recent, hidden]
        self._window = torch.cat(parts, dim=1)
        self.memories = []
        index, real = chunk_tokens(self._chunks, self._first, self._offset, kept, self._chunk)
        return take(self._window, index), real

    def memory(self, cca: ChunkedCrossAttention, layer: int) -> Memory:
        """What CCA layer ``layer`` (from 0) reads: the carried chunk, then the completed ones."""
        carried = self._before.memories[layer] if self._carried and self._before else None
        if not self.completes and carried is not None:
            memory = carried
        else:
            fresh = cca.memory(self.encoded, self.neighbours.visible)
            memory = fresh if carried is None else carried.then(fresh)
        self.memories.append(memory)
        return memory

    def after(self) -> DecodingState:
        """The state for the next pass."""
        past = self._before.seen if self._before is not None else 0
        assert self._window is not None  # the first CCA layer has run
        recent = self._window[:, max(self._window.shape[1] - self._chunk + 1, 0) :]
        state = DecodingState(past + self._tokens, recent)
        if self._carried and not self.completes:
            state.memories = self.memories  # one chunk each, still the last: nothing to copy
        elif self.reads:
            # Rows without a chunk of their own yet carry one that no token reads.
            last = self._chunks.complete.sum(dim=1) - (0 if self._carried else 1)
            rows = torch.arange(len(last), device=last.device)
            state.memories = [memory.pick(rows, last.clamp(min=0)) for memory in self.memories]
        return state


def begin_pass(
    config: RetroConfig, tokens: Tensor, mask: Tensor | None, cache: Any,
    ids: Tensor, neighbour_mask: Tensor | None, offset: Tensor | int,
) -> Pass:  # fmt: skip
    """The pass of one call of forward, its arguments checked. Raises UsageError.

    tokens: (batch, tokens, ...). cache: with the state of the pass before, or None.
    """
    batch, count, device = tokens.shape[0], tokens.shape[1], tokens.device
    state, past = _before(cache)
    if mask is not None and mask.shape != (batch, past + count):
        raise UsageError(
            f"an attention mask of the shape {tuple(mask.shape)} does not fit",
            f"with neighbours it has to be ({batch}, {past + count})",
        )
    longest = config.retrieved_length
    return Pass(
        checked_neighbours(ids, neighbour_mask, batch=batch, longest=longest, device=device),
        mask=mask,
        offset=torch.as_tensor(offset, dtype=torch.long, device=device).expand(batch),
        tokens=count,
        chunk=config.chunk_length,
        before=state,
    )


def _before(cache: Any) -> tuple[DecodingState | None, int]:
    """What the passes before left beside the cache, and how many tokens they had."""
    if getattr(cache, "is_compileable", False):
        raise UsageError(
            "a cache of fixed size does not go with neighbours",
            'leave out cache_implementation="static"; the usual one grows',
        )
    past = 0 if cache is None else int(cache.get_seq_length())
    state: DecodingState | None = getattr(cache, "retro_state", None) if past else None
    if state is not None and state.seen > past:
        raise UsageError(
            f"the cache was cut back to {past} of {state.seen} tokens, as decoding by guesses does",
            "with neighbours leave out prompt_lookup_num_tokens and assistant models",
        )
    if past and (state is None or state.seen != past):
        raise UsageError(
            "the neighbours begin in the middle of a cached sequence",
            "pass neighbour_ids from its first call on, if only of the shape "
            "(batch, 0, neighbours, tokens), and in every call",
        )
    return state, past


def checked_neighbours(
    ids: Tensor, mask: Tensor | None, *, batch: int, longest: int, device: Any
) -> Neighbours:
    """Neighbours from what a caller passed; an id below 0 is absent. Raises UsageError."""
    if ids.dim() != 4 or ids.shape[0] != batch or ids.shape[3] > longest:
        raise UsageError(
            f"neighbours of the shape {tuple(ids.shape)} do not fit",
            f"(batch {batch}, chunks, neighbours, tokens up to {longest}) is needed",
        )
    if mask is not None and mask.shape != ids.shape:
        raise UsageError(
            f"a neighbour mask of the shape {tuple(mask.shape)} for neighbours of the shape "
            f"{tuple(ids.shape)}",
            "the mask says of every token whether it exists",
        )
    ids = ids.to(device)
    visible = ids >= 0 if mask is None else mask.to(device).bool() & (ids >= 0)
    if 0 in ids.shape[2:]:  # k or r of zero: as one missing neighbour
        wide = (0, max(1 - ids.shape[3], 0), 0, max(1 - ids.shape[2], 0))
        ids, visible = functional.pad(ids, wide), functional.pad(visible, wide)
    return Neighbours(ids.clamp(min=0), visible)
