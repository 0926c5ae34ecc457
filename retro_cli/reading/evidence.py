"""Chunk ids -> what a model reads of them: the chunk and its continuation, in its own tokens."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from retro_cli.chunks.rows import Chunk
from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.query.retrieve import Retriever
from retro_cli.reading.texts import Tokens, padded

Ids = npt.NDArray[np.int64]
_KEPT = 1 << 16  # neighbours, about 32 MB of 128 tokens each


class NeighbourTokens:
    """[N, F] of Borgeaud et al. 2021 (section 2.1) for the chunks of one generation.

    The stored token ids where the database was cut with the model's tokenizer (``stored``), else
    the text of both, tokenised again. A chunk that may not be shown, or that does not exist, has
    no tokens, and never conditions anything; nor does a continuation that may not be shown.
    """

    def __init__(self, retriever: Retriever, tokenizer: ChunkTokenizer, length: int) -> None:
        """length: r, the most tokens of a chunk and its continuation together."""
        self.retriever = retriever
        self.length = length
        self.stored = retriever.manifest.tokenizer_sha256 == tokenizer.sha256
        self._width = f"<u{retriever.manifest.token_bytes}"
        self._tokenizer: Tokenizer = tokenizer.raw
        self._known: OrderedDict[int, npt.NDArray[np.int32]] = OrderedDict()

    def read(self, ids: Ids) -> Tokens:
        """ids: (...) int64, -1 for none. Returns (..., r) int32, -1 where there is no token."""
        flat = ids.ravel()
        wanted = np.unique(flat[(flat >= 0) & (flat < len(self.retriever.own))])
        wanted = wanted[self.retriever.own[wanted]]
        self._learn([row for row in wanted.tolist() if row not in self._known])
        nothing = np.empty(0, np.int32)
        shown = set(wanted.tolist())
        rows = [self._known[row] if row in shown else nothing for row in flat.tolist()]
        for row in shown:
            self._known.move_to_end(row)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return padded(rows, len(flat), self.length).reshape(*ids.shape, self.length)

    def _learn(self, missing: Sequence[int]) -> None:
        if not missing:
            return
        chunks = self.retriever.rows.get(missing)
        own = self.retriever.own
        following = [c.id + 1 for c in chunks if c.has_next and own[c.id + 1]]
        after = {chunk.id: chunk for chunk in self.retriever.rows.get(following)}
        found = (self._stored if self.stored else self._tokenised)(chunks, after)
        for chunk, tokens in zip(chunks, found, strict=True):
            self._known[chunk.id] = tokens[: self.length].astype(np.int32)

    def _stored(
        self, chunks: Sequence[Chunk], after: dict[int, Chunk]
    ) -> list[npt.NDArray[np.integer]]:
        ids = sorted({c.id for c in chunks} | set(after))
        tokens = {
            row: np.frombuffer(value, self._width)
            for row, value in zip(ids, self.retriever.rows.tokens(ids), strict=True)
        }
        return [
            np.concatenate([tokens[c.id], *([tokens[c.id + 1]] if c.id + 1 in after else [])])
            for c in chunks
        ]

    def _tokenised(
        self, chunks: Sequence[Chunk], after: dict[int, Chunk]
    ) -> list[npt.NDArray[np.integer]]:
        texts = [c.text + (after[c.id + 1].text if c.id + 1 in after else "") for c in chunks]
        found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.int64) for encoding in found]
