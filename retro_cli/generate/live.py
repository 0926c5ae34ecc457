"""Retrieval from a database while a text is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retro_cli.embeddings.encoder import Encoder
from retro_cli.generate.reader import Evidence
from retro_cli.query.retrieve import Hit, Retriever
from retro_cli.reading.evidence import NeighbourTokens


class LiveRetriever:
    """Finds the chunks nearest to a text, encoded as the database's chunks were."""

    def __init__(self, retriever: Retriever, encoder: Encoder, tokens: NeighbourTokens) -> None:
        self._retriever = retriever
        self._encoder = encoder
        self._tokens = tokens

    def search(self, queries: Sequence[str], k: int) -> list[Evidence]:
        """Fewer than ``k`` hits if fewer chunks may be shown; none for a text without words."""
        vectors = self._encoder.encode_documents(queries)
        known = [row for row, text in enumerate(queries) if text.strip() and vectors[row].any()]
        hits: dict[int, tuple[Hit, ...]] = {}
        if known:
            answers = self._retriever.search(vectors[known], k)
            hits = {row: answer.hits for row, answer in zip(known, answers, strict=True)}
        return [self._evidence(text, hits.get(row, ())) for row, text in enumerate(queries)]

    def _evidence(self, query: str, hits: tuple[Hit, ...]) -> Evidence:
        ids = np.array([hit.chunk for hit in hits], dtype=np.int64)
        return Evidence(query, hits, self._tokens.read(ids))
