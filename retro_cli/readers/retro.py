"""The RETRO reader: neighbours at every chunk end, read by chunked cross-attention."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import DynamicCache

from retro_cli.errors import UsageError
from retro_cli.models.language import end_tokens
from retro_cli.models.retro import RetroForCausalLM
from retro_cli.query.retrieve import Hit
from retro_cli.readers.interface import Evidence, Step
from retro_cli.reading.texts import padded

Tensor = Any
_AT_ONCE = 1024  # tokens of a prompt in one pass: the neighbours of 16 chunks are encoded together


class RetroReader:
    """Section 2 of Borgeaud et al. 2021, decoding; with two rules for prompts of people.

    A prompt is treated as if padded on the left, so that its last token ends a chunk and the
    first generated token reads already. After every ``stride`` tokens, m or fewer, the last m
    are looked up, and the chunk grid moves so that they are a chunk.
    """

    def __init__(
        self,
        model: RetroForCausalLM,
        tokenizer: Tokenizer,
        *,
        k: int | None = None,
        stride: int | None = None,
        record: bool = False,
    ) -> None:
        """k: neighbours, by default as in training. stride: 1 to m, by default m.

        record: whether steps say how much was read of each neighbour. Raises UsageError.
        """
        self.model = model
        self.tokenizer = tokenizer
        self.record = record
        self.chunk = int(model.config.chunk_length)
        self.k = int(model.config.neighbours if k is None else k)
        self.stride = self.chunk if stride is None else stride
        if not 1 <= self.stride <= self.chunk:
            raise UsageError(
                f"a retrieval step of {self.stride}", f"the model's chunks allow 1 to {self.chunk}"
            )
        self.ends: Collection[int] = end_tokens(model.backbone.generation_config, model.config)
        self.longest: int | None = getattr(
            model.config.base_config, "max_position_embeddings", None
        )

    def encode(self, text: str) -> list[int]:
        """With the special tokens that the tokenizer puts around a text, if any."""
        ids: list[int] = self.tokenizer.encode(text).ids
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text

    def start(self, prompt: Sequence[int]) -> RetroReading:
        return RetroReading(self, prompt)


class RetroReading:
    """The rows' tokens, the look-ups so far, and the cache of what the model has seen."""

    def __init__(self, reader: RetroReader, prompt: Sequence[int]) -> None:
        self._reader = reader
        self._ids = [list(prompt)]
        self._evidence: list[list[Evidence]] = [[]]
        self._begin()

    def _begin(self) -> None:
        """Nothing is read yet of the tokens there are."""
        self._table: Tensor | None = None  # (rows, chunks, k, r)
        self._forgotten = len(self._evidence[0])  # look-ups before those in the table
        self._looked = 0  # tokens at the last look-up, which ended a chunk
        self._seen = 0  # tokens in the cache
        self._cache = DynamicCache(config=self._reader.model.config.base_config)

    @property
    def length(self) -> int:
        """Tokens of each row."""
        return len(self._ids[0])

    def queries(self) -> list[str]:
        if self._looked == 0:
            places = [(ids, *border) for ids in self._ids for border in self._borders()]
            return [self._reader.decode(ids[a:b]).strip("�") for ids, a, b in places]
        if self.length - self._looked < self._reader.stride:
            return []
        return [self._reader.decode(ids[-self._reader.chunk :]).strip("�") for ids in self._ids]

    def _borders(self) -> list[tuple[int, int]]:
        """Where the prompt's chunks begin and end: it ends with one, the first may be short."""
        m = self._reader.chunk
        return [(max(end - m, 0), end) for end in range(self.length, 0, -m)][::-1]

    def receive(self, evidence: Sequence[Evidence]) -> None:
        rows = len(self._ids)
        found = np.stack([self._tokens(item) for item in evidence])
        table = torch.from_numpy(found).to(self._reader.model.device)
        table = table.unflatten(0, (rows, -1))
        self._table = table if self._table is None else torch.cat([self._table, table], dim=1)
        for row, known in enumerate(self._evidence):
            known.extend(evidence[row * table.shape[1] : (row + 1) * table.shape[1]])
        self._looked = self.length

    def forget(self, shown: Callable[[Hit], bool]) -> None:
        known = (found for row in self._evidence for found in row[self._forgotten :])
        if not all(shown(hit) for found in known for hit in found.hits):
            self._begin()

    def _tokens(self, evidence: Evidence) -> Any:
        """(k, r) int64, -1 where there is no neighbour or no token."""
        found = padded(list(evidence.tokens), self._reader.k, self._longest)
        return found.astype(np.int64)

    @property
    def _longest(self) -> int:
        return int(self._reader.model.config.retrieved_length)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def step(self) -> Step:
        model = self._reader.model
        recording = model.recorded_mass() if self._reader.record else nullcontext(None)
        with recording as record:
            for start in range(self._seen, self.length, _AT_ONCE):
                ids = [row[start : start + _AT_ONCE] for row in self._ids]
                output = model(
                    torch.tensor(ids, device=model.device), past_key_values=self._cache,
                    use_cache=True, neighbour_ids=self._table, chunk_offset=self._offset,
                    logits_to_keep=1,
                )  # fmt: skip
        self._seen = self.length
        mass = None if record is None else record.of_tokens
        logprobs = output.logits[:, -1].float().log_softmax(dim=-1)
        if self._table is None:
            return Step(logprobs, None, [None] * len(self._ids))
        latest = [known[-1] for known in self._evidence]
        read = len(self._evidence[0]) - 1
        return Step(logprobs, read, latest, None if mass is None else mass[:, -1].cpu())

    @property
    def _offset(self) -> int:
        """The chunk position of the first token: the last look-up ended a chunk."""
        return self._reader.chunk * (len(self._evidence[0]) - self._forgotten) - self._looked

    def advance(self, parents: Sequence[int], tokens: Sequence[int]) -> None:
        if list(parents) != list(range(len(self._ids))):
            self._pick(parents)
        for ids, token in zip(self._ids, tokens, strict=True):
            ids.append(token)

    def _pick(self, parents: Sequence[int]) -> None:
        rows = torch.tensor(parents, device=self._reader.model.device)
        self._reader.model._reorder_cache(self._cache, rows)
        if self._table is not None:
            self._table = self._table[rows]
        self._ids = [list(self._ids[row]) for row in parents]
        self._evidence = [list(self._evidence[row]) for row in parents]

    def evidence(self, row: int) -> list[Evidence]:
        return list(self._evidence[row])
