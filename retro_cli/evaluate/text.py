"""The text that a model is measured on: chunks of documents, with the bytes that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Tokens = npt.NDArray[np.int32]
Halves = npt.NDArray[np.float16]
Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class EvaluationText:
    """Chunks of documents outside the database, in order, with their neighbours.

    tokens: (n, m) int32, -1 behind a document's end; every chunk but a document's last is full.
    document: (n,) int64, rising. sizes: (n,) int64, the bytes of each chunk in the original text
    (UTF-8). leads: (documents,) int64, those of each document's first token. names: of the
    documents. vectors: (n, dim) float16, the chunks as queries. neighbours: (n, k) int64 chunk
    ids of the database, best first, -1 where there are fewer.
    """

    tokens: Tokens
    document: Ids
    sizes: Ids
    leads: Ids
    names: tuple[str, ...]
    vectors: Halves
    neighbours: Ids

    @property
    def rows(self) -> int:
        return len(self.tokens)

    @cached_property
    def lengths(self) -> Ids:
        """(n,) tokens of each chunk."""
        lengths: Ids = (self.tokens >= 0).sum(axis=1)
        return lengths

    @cached_property
    def document_lengths(self) -> Ids:
        """(documents,) tokens of each document."""
        return np.bincount(self.document, self.lengths, len(self.names)).astype(np.int64)

    @cached_property
    def starts(self) -> Bits:
        """(n,) whether a chunk is its document's first."""
        starts: Bits = np.diff(self.document, prepend=-1) != 0
        return starts

    @cached_property
    def scored_bytes(self) -> Ids:
        """(n,) the bytes of the tokens that are scored: all but each document's first."""
        sizes = self.sizes.copy()
        sizes[self.starts] -= self.leads[self.document[self.starts]]
        return sizes

    @cached_property
    def flat(self) -> Tokens:
        """(tokens,) all tokens, one document after the other."""
        return self.tokens[self.tokens >= 0]

    @cached_property
    def owner(self) -> Ids:
        """(tokens,) the chunk of each token."""
        return np.repeat(np.arange(self.rows), self.lengths)

    def only(self, documents: Sequence[int]) -> EvaluationText:
        """These documents, in their order, numbered anew."""
        number = np.full(len(self.names), -1, dtype=np.int64)
        number[np.asarray(documents, dtype=np.int64)] = np.arange(len(documents))
        kept = number[self.document] >= 0
        return replace(
            self._rows(kept),
            document=number[self.document[kept]],
            leads=self.leads[list(documents)],
            names=tuple(self.names[index] for index in documents),
        )

    def clipped(self, most: int) -> EvaluationText:
        """Of each document its first ``most`` tokens, in whole chunks, at least one."""
        rows = np.arange(self.rows)
        position = rows - np.maximum.accumulate(np.where(self.starts, rows, 0))
        return self._rows(position < max(1, most // self.tokens.shape[1]))

    def long_enough(self) -> list[int]:
        """The documents with a token to score: those of two tokens or more, and some bytes."""
        size = np.bincount(self.document, self.scored_bytes, len(self.names))
        return np.flatnonzero((self.document_lengths > 1) & (size > 0)).tolist()

    def _rows(self, kept: Bits) -> EvaluationText:
        return replace(
            self,
            tokens=self.tokens[kept],
            document=self.document[kept],
            sizes=self.sizes[kept],
            vectors=self.vectors[kept],
            neighbours=self.neighbours[kept],
        )
