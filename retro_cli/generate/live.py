"""Retrieval from a database while a text is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retro_cli.query.retrieve import Answer
from retro_cli.query.search import Find
from retro_cli.readers.interface import Evidence
from retro_cli.reading.evidence import NeighbourTokens


class LiveRetriever:
    """Finds chunks for a text, and their tokens as the reader wants them."""

    def __init__(self, find: Find, tokens: NeighbourTokens | None = None) -> None:
        """find: answers to some texts, at most so many hits each. tokens: None for a reader that
        reads the hits' texts."""
        self._find = find
        self._tokens = tokens

    def search(self, queries: Sequence[str], k: int) -> list[Evidence]:
        """Fewer than ``k`` hits if fewer chunks may be shown; none for a text without words."""
        return [
            self._evidence(text, answer)
            for text, answer in zip(queries, self._find(queries, k), strict=True)
        ]

    def _evidence(self, query: str, answer: Answer) -> Evidence:
        ids = np.array([hit.chunk for hit in answer.hits], dtype=np.int64)
        nothing = np.empty((len(ids), 0), dtype=np.int32)
        tokens = nothing if self._tokens is None else self._tokens.read(ids)
        return Evidence(query, answer.hits, tokens, answer.metric)
