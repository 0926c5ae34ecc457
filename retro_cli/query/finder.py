"""One object that looks texts up, however that was chosen: for answers and for readers alike.

Plain search is the index's own. Everything else takes more candidates than it is asked for, ranks
them by each part, joins the rankings, and then scores the best again, makes them diverse or caps
what one document gives. Whatever the rules keep out is among no part's candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from retro_cli.errors import UsageError
from retro_cli.query.candidates import Candidates, Found, Query
from retro_cli.query.ranking import (
    Ranking,
    capped,
    diverse,
    interpolate,
    places,
    ranked,
    reciprocal_rank_fusion,
)
from retro_cli.query.retrieve import Answer, Part, Retriever
from retro_cli.query.search import BM25, DENSE, HYBRID, RRF, Search
from retro_cli.query.select import Selection

POOL = 100  # candidates of each part, at the least
Floats = npt.NDArray[np.float32]
Encode = Callable[[list[str]], Floats]
_NOTHING = Answer((), {})


class Reranker(Protocol):
    """A model that scores passages for a query again. ``depth``: how many it is worth giving."""

    metric: str
    depth: int

    def __call__(self, query: str, passages: Sequence[str]) -> Floats:
        """(n,) float32, higher is better."""


class Finder:
    """Finds chunks for texts, in one opened generation, under one condition."""

    def __init__(
        self,
        retriever: Retriever,
        encode: Encode,
        search: Search,
        selection: Selection | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        """encode: texts -> (n, dim) float32 unit rows, or zeros for a text without words.
        selection: the rows to search among. reranker: the model that ``search`` names.

        Raises UsageError, and NotBuiltYet where BM25 is asked for and there is no lexical index.
        """
        search.check()
        self.retriever, self.search, self.selection = retriever, search, selection
        self._encode, self._reranker = encode, reranker
        self.candidates = Candidates(retriever, search, selection)
        if search.retriever != DENSE:
            retriever.lexical  # noqa: B018 - what is missing is said before anything is asked

    def __call__(self, texts: Sequence[str], k: int) -> list[Answer]:
        """Fewer than ``k`` hits if fewer may be shown; none for a text without words."""
        if k < 1:
            raise UsageError(f"-k {k}", "ask for at least one result")
        if self.search.retriever == BM25:
            return [self._found(Query(text, None), k) for text in texts]
        ahead = self._ahead(texts, k)
        vectors = self._encode(list(texts))
        known = [bool(t.strip()) and bool(v.any()) for t, v in zip(texts, vectors, strict=True)]
        if self.search.plain:
            rows = np.flatnonzero(known)
            found = dict(zip(rows.tolist(), self.vectors(vectors[rows], k), strict=True))
            return [found.get(row, _NOTHING) for row in range(len(texts))]
        return [
            self._found(Query(text, vectors[row] if known[row] else None, ahead[row]), k)
            for row, text in enumerate(texts)
        ]

    def vectors(self, queries: Floats, k: int) -> list[Answer]:
        """The same for (n, dim) float32 unit rows. Raises UsageError where words are needed."""
        search = self.search
        if search.plain:
            if not len(queries):
                return []
            return self.retriever.search(
                queries, k, selection=self.selection, level=search.level, nprobe=search.nprobe
            )
        if search.retriever != DENSE or search.rerank:
            raise UsageError("vectors have no words to look up or to rerank by", "give texts")
        return [self._found(Query("", vector), k) for vector in queries]

    def _ahead(self, texts: Sequence[str], k: int) -> list[Future[Found] | None]:
        """The words are looked up while the texts are encoded: neither waits for the other."""
        if self.search.retriever != HYBRID:
            return [None] * len(texts)
        pool = self._pool(k)
        return [self._beside.submit(self.candidates.words, text, pool) for text in texts]

    @cached_property
    def _beside(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, thread_name_prefix="words")

    def _pool(self, k: int) -> int:
        return max(POOL, 2 * k)

    def _found(self, query: Query, k: int) -> Answer:
        """More candidates are asked for until ``k`` are left, or there are no more."""
        pool, most = self._pool(k), max(1, self.retriever.generation.rows)
        first = True
        while True:
            parts = self.candidates.parts(query, min(pool, most), first)
            if not any(map(len, parts.values())):
                return replace(_NOTHING, metric=self._metric(parts))
            best = self._joined(query, parts)
            if self.search.per_document is not None:
                best = best.take(
                    capped(self.candidates.documents(best.ids), self.search.per_document)
                )
            if len(best) >= k or pool >= most:
                return self._finished(query, parts, best, k, min(pool, most))
            pool, first = 4 * pool, False

    def _joined(self, query: Query, parts: dict[str, Ranking]) -> Ranking:
        if len(parts) == 1 and self.search.retriever != HYBRID:
            return next(iter(parts.values()))
        fused = reciprocal_rank_fusion(list(parts.values()))
        if self.search.fusion == RRF:
            return fused
        weights = {DENSE: self.search.weight, BM25: 1 - self.search.weight}
        every = [
            (weights[name], self.candidates.scores(name, query, parts, fused)) for name in parts
        ]
        return interpolate(fused.ids, fused.keys, every)

    def _finished(
        self, query: Query, parts: dict[str, Ranking], best: Ranking, k: int, pool: int
    ) -> Answer:
        metric = self._metric(parts)
        if self._reranker is not None:
            best = best.take(np.arange(min(len(best), max(k, self._reranker.depth))))
            hits = self.retriever.hits(best.ids, best.scores, self.selection)
            scores = self._reranker(query.text, [hit.text + hit.continuation for hit in hits])
            parts = {**parts, self._joint_name: best}
            best = ranked(best.ids, best.keys, scores)
            metric = self._reranker.metric
        if self.search.mmr is not None:
            head = best.take(np.arange(min(len(best), max(POOL, k))))
            vectors = self.retriever.vectors.gather(head.ids)
            chosen, values = diverse(head.scores, vectors, self.search.mmr, k)
            parts, metric = {**parts, metric: head}, "mmr"
            best = replace(head.take(chosen), scores=values)
        best = best.take(np.arange(min(len(best), k)))
        hits = self.retriever.hits(best.ids, best.scores, self.selection)
        how = [self._hit_parts(parts, key) for key in best.keys.tolist()]
        hits = tuple(replace(hit, parts=each) for hit, each in zip(hits, how, strict=True))
        return Answer(hits, self._explanation(parts, pool), metric)

    @property
    def _joint_name(self) -> str:
        return self.search.fusion if self.search.retriever == HYBRID else "before reranking"

    def _hit_parts(self, parts: dict[str, Ranking], key: int) -> tuple[Part, ...]:
        found = places(parts, key)
        return tuple(Part(name, rank, round(score, 6)) for name, (rank, score) in found.items())

    def _metric(self, parts: dict[str, Ranking]) -> str:
        if self.search.retriever == HYBRID:
            return self.search.fusion
        return "cosine" if self.search.retriever == DENSE else BM25

    def _explanation(self, parts: dict[str, Ranking], pool: int) -> dict[str, Any]:
        found = {name: len(ranking) for name, ranking in parts.items()}
        return {"retriever": self.search.retriever, "candidates": pool, "found": found}

    def close(self) -> None:
        """Nothing is looked up after this."""
        if "_beside" in self.__dict__:
            self._beside.shutdown()
