"""Retrieval from a database while a text is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from retro_cli.query.finder import Finder
from retro_cli.query.retrieve import Answer, Hit, Retriever
from retro_cli.query.search import Find
from retro_cli.readers.interface import Evidence
from retro_cli.readers.open import OpenReader
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


class Renewable(Protocol):
    """A database of which there may be a newer generation than the one that is open."""

    @property
    def retriever(self) -> Retriever:
        """Of the generation that is open."""

    def renew(self) -> bool:
        """Open the newest generation; whether it is another."""

    def finder(self, *, as_documents: bool) -> Finder:
        """What looks texts up in the generation that is open."""


class NewestRetriever:
    """Searches the newest generation of a database, however long it was open before.

    So a rule that is put in force while a text is written holds from its next token on.
    """

    def __init__(self, database: Renewable, open_live: Callable[[], LiveRetriever]) -> None:
        """open_live: what searches the generation that the database has open."""
        self._database, self._open_live = database, open_live
        self._live = open_live()

    def search(self, queries: Sequence[str], k: int) -> list[Evidence]:
        """As LiveRetriever does."""
        return self._live.search(queries, k)

    def renewed(self) -> Callable[[Hit], bool] | None:
        """Where there is a newer generation, search that one from now on; what it still shows of
        what was found before, the chunk and its continuation. None where there is none."""
        if not self._database.renew():
            return None
        self._live = self._open_live()
        own = self._database.retriever.own

        def shown(hit: Hit) -> bool:
            last = hit.chunk + bool(hit.continuation)
            return last < len(own) and bool(own[hit.chunk : last + 1].all())

        return shown


def newest_retriever(
    database: Renewable, opened: OpenReader, say: Callable[[str], Any]
) -> NewestRetriever:
    """What a reader looks up in, for as long as it writes. say: told what a user should know."""

    def live() -> LiveRetriever:
        if not database.retriever.live().any():
            say("the database has no chunk that may be shown: nothing will be read")
        find = database.finder(as_documents=opened.as_documents)
        if opened.tokenizer is None:
            return LiveRetriever(find)
        tokens = NeighbourTokens(database.retriever, opened.tokenizer, opened.hit_tokens)
        if not tokens.stored:
            say(
                "the database was cut with another tokenizer than the model's: the neighbours' "
                "text is tokenised again"
            )
        return LiveRetriever(find, tokens)

    return NewestRetriever(database, live)
