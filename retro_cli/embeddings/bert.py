"""A BERT encoder: tokens framed and batched, handed to whichever forward pass was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from retro_cli.embeddings.batching import plan_batches
from retro_cli.embeddings.spec import EncoderSpec
from retro_cli.embeddings.tokens import TextTokenizer
from retro_cli.errors import ConfigError

Floats = npt.NDArray[np.float32]


class Forward(Protocol):
    """A forward pass with pooling: (rows, tokens) ids -> (rows, dim) of length one.

    same_length: it wants batches without padding; then all ``lengths`` equal ``tokens``
    token_budget, max_rows: the size of batch it likes
    vocabulary: ids lie below this
    """

    @property
    def same_length(self) -> bool: ...
    @property
    def token_budget(self) -> int: ...
    @property
    def max_rows(self) -> int: ...
    @property
    def vocabulary(self) -> int: ...

    def __call__(self, ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Floats: ...


class BertEncoder:
    """The ``Encoder`` contract over a ``Forward``."""

    takes_ids = True

    def __init__(self, spec: EncoderSpec, tokenizer: TextTokenizer, forward: Forward) -> None:
        self.spec = spec
        self._tokenizer = tokenizer
        self._forward = forward

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        return self.encode_ids(self._tokenizer.ids(texts, self.spec.document_prompt))

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        return self.encode_ids(self._tokenizer.ids(texts, self.spec.query_prompt))

    def encode_ids(self, ids: Sequence[npt.NDArray[np.integer]]) -> Floats:
        forward, frame = self._forward, len(self._tokenizer.prefix + self._tokenizer.suffix)
        lengths = np.fromiter(map(len, ids), np.int64, len(ids)) + frame
        np.minimum(lengths, self.spec.max_tokens, out=lengths)
        vectors = np.empty((len(ids), self.spec.dim), dtype=np.float32)
        for rows in plan_batches(
            lengths, forward.token_budget, forward.max_rows, same_length=forward.same_length
        ):
            block = self._framed([ids[row] for row in rows], lengths[rows])
            vectors[rows] = forward(block, lengths[rows])
        return vectors

    def _framed(
        self, ids: Sequence[npt.NDArray[np.integer]], lengths: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """(rows, longest) ids with special tokens around each text; zeros fill up."""
        prefix, suffix = self._tokenizer.prefix, self._tokenizer.suffix
        block = np.zeros((len(ids), int(lengths.max())), dtype=np.int64)
        block[:, : len(prefix)] = prefix
        for line, row, length in zip(block, ids, lengths, strict=True):
            end = length - len(suffix)
            line[len(prefix) : end] = row[: end - len(prefix)]
            line[end:length] = suffix
        if block.min() < 0 or block.max() >= self._forward.vocabulary:
            raise ConfigError(
                f"token id {block.max()} is outside the encoder's {self._forward.vocabulary} words",
                "the chunks were cut with another tokenizer; embed their text instead",
            )
        return block
