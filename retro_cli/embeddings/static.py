"""A static encoder: the mean of its tokens' vectors, as in model2vec and wordllama.

No network runs, so it embeds hundreds of times faster than BERT, and worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.embeddings.batching import plan_batches
from retro_cli.embeddings.bert_numpy import unit_rows
from retro_cli.embeddings.folder import STATIC_TABLES
from retro_cli.embeddings.spec import EncoderSpec
from retro_cli.embeddings.tokens import TextTokenizer
from retro_cli.embeddings.weights import Weights
from retro_cli.errors import ConfigError

Floats = npt.NDArray[np.float32]

_BLOCK_TOKENS = 1 << 16
_BLOCK_ROWS = 256  # their float32 sums stay in the second-level cache


class StaticEncoder:
    """The ``Encoder`` contract over a (vocabulary, dim) table."""

    takes_ids = True

    def __init__(self, spec: EncoderSpec, weights: Path, tokenizer: Path) -> None:
        self.spec = spec
        self._weights = Weights(weights)
        (self._name,) = (name for name in self._weights.names if name in STATIC_TABLES)
        self._vocabulary = self._weights.shape(self._name)[0]
        self._tokenizer = TextTokenizer(tokenizer)

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        return self.encode_ids(self._tokenizer.ids(texts, self.spec.document_prompt))

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        return self.encode_ids(self._tokenizer.ids(texts, self.spec.query_prompt))

    def encode_ids(self, ids: Sequence[npt.NDArray[np.integer]]) -> Floats:
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        vectors = np.zeros((len(ids), self.spec.dim), dtype=np.float32)
        if not lengths.any():
            return vectors
        few = lengths.sum() * 4 < self._vocabulary
        for rows in plan_batches(lengths, _BLOCK_TOKENS, _BLOCK_ROWS):
            block, counts = [ids[row] for row in rows], lengths[rows]
            flat = np.concatenate(block).astype(np.int64, copy=False)
            self._check(flat)
            if few:  # a query: read only the rows it needs
                words, flat = np.unique(flat, return_inverse=True)
                table = self._weights.float32(self._name, words)
            else:
                table = self._table
            vectors[rows] = unit_rows(_sums(table, flat, counts))
        return vectors

    @cached_property
    def _table(self) -> Floats:
        return self._weights.float32(self._name)

    def _check(self, flat: npt.NDArray[np.int64]) -> None:
        if len(flat) and (flat.min() < 0 or flat.max() >= self._vocabulary):
            raise ConfigError(
                f"token id {flat.max()} is outside the encoder's {self._vocabulary} words",
                "the chunks were cut with another tokenizer; embed their text instead",
            )


def _sums(table: Floats, flat: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> Floats:
    """The sum of each text's rows of ``table``.

    flat: the texts' ids one after the other; counts: ids of each text, never rising.
    A text's direction does not need the division by its count. The n-th tokens of all texts are
    added together: whole-block operations, each text's in the order of its tokens.
    """
    longest = int(counts[0])
    columns = np.zeros((longest, len(counts)), dtype=np.int64)
    columns.T[np.arange(longest) < counts[:, None]] = flat
    sums = np.zeros((len(counts), table.shape[1]), dtype=np.float32)
    gathered = np.empty_like(sums)
    reached = np.searchsorted(-counts, -np.arange(longest), side="left")  # texts longer than n
    for column, texts in zip(columns, reached.tolist(), strict=True):
        # The ids have been checked; "clip" spares numpy its own copy for error handling.
        table.take(column[:texts], axis=0, out=gathered[:texts], mode="clip")
        sums[:texts] += gathered[:texts]
    return sums
