"""The candidates of each part of a search: chunks or documents, by meaning and by words."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from retro_cli.query.ranking import Ranking, ranked
from retro_cli.query.retrieve import Retriever
from retro_cli.query.search import BM25, DENSE, HYBRID, Search
from retro_cli.query.select import Selection

REACH = 2  # chunks before and after, that stand for the surroundings of a document's best chunk
Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.bool_]
Found = tuple[Ids, Floats]


@dataclass(frozen=True)
class Query:
    """What is looked up: in words, as a vector, or both."""

    text: str
    vector: Floats | None
    words: Future[Found] | None = None  # of a pool's size


class Candidates:
    """What an opened generation has for a query, under one condition."""

    def __init__(self, retriever: Retriever, search: Search, selection: Selection | None) -> None:
        self.retriever, self.search, self.selection = retriever, search, selection

    @cached_property
    def _allowed(self) -> Bits:
        """(next_id,) the index entries that may be found."""
        live = self.retriever.live()
        return live if self.selection is None else live & self.selection.search

    def words(self, text: str, pool: int) -> Found:
        return self.retriever.lexical.search(text, pool, self._allowed)

    def parts(self, query: Query, pool: int, first: bool) -> dict[str, Ranking]:
        """Each part's own ranking of its candidates: of chunks, or of documents."""
        parts = {}
        if query.vector is not None and self.search.retriever != BM25:
            allowed = None if self.selection is None else self.selection.search
            found = self.retriever.nearest(
                query.vector[None], pool, allowed, nprobe=self.search.nprobe
            )
            parts[DENSE] = self._ranking(found[0][0], found[1][0], query.vector)
        if query.text.strip() and self.search.retriever != DENSE:
            ahead = query.words.result() if query.words and first else None
            parts[BM25] = self._ranking(*(ahead or self.words(query.text, pool)), None)
        return parts

    def _ranking(
        self, ids: Ids, scores: npt.NDArray[np.floating], vector: Floats | None
    ) -> Ranking:
        """What may be shown of what was found. vector: the query's, where these are cosines."""
        shown = self.retriever.shown_as(ids[ids >= 0], self.selection)
        ids, scores = ids[ids >= 0][shown >= 0], scores[ids >= 0][shown >= 0]
        if self.search.level != "doc":
            return ranked(ids, ids, scores)
        best = ranked(ids, self.documents(ids), scores)
        if vector is None or self.search.retriever != HYBRID:
            return best
        return ranked(best.ids, best.keys, self._as_documents(vector, best.ids, best.scores))

    def documents(self, ids: Ids) -> Ids:
        """(n,) the numbers of the documents that index entries are shown in."""
        return self.retriever.documents.of(self.retriever.shown_as(ids, self.selection))

    def _as_documents(
        self, vector: Floats, ids: Ids, cosines: npt.NDArray[np.floating]
    ) -> npt.NDArray[np.floating]:
        """(n,) how well documents fit by their best chunks: half by the chunk itself, half by the
        mean of the vectors around it. A passage answers, but its document has to be about it."""
        shown = self.retriever.shown_as(ids, self.selection)
        rows, owner = self.retriever.documents.around(shown, REACH)
        kept = self.retriever.own[rows]
        rows, owner = self._canonical[rows[kept]], owner[kept]
        means = np.zeros((len(ids), len(vector)), np.float32)
        np.add.at(means, owner, self.retriever.vectors.gather(rows))
        norms = np.linalg.norm(means, axis=1)
        around = means @ vector / np.where(norms > 0, norms, 1)
        return (cosines + around) / 2

    @cached_property
    def _canonical(self) -> Ids:
        return self.retriever.aliases.representatives(self.retriever.manifest.next_id)

    def scores(
        self, name: str, query: Query, parts: dict[str, Ranking], union: Ranking
    ) -> npt.NDArray[np.float64]:
        """(n,) the scores by one part of what any part found: looked up where it did not."""
        part = parts[name]
        order = np.argsort(part.keys)
        at = np.minimum(np.searchsorted(part.keys[order], union.keys), max(0, len(part) - 1))
        has = part.keys[order][at] == union.keys if len(part) else np.zeros(len(union), bool)
        scores = np.zeros(len(union))
        scores[has] = part.scores[order][at[has]]
        ids = union.ids[~has]
        if name == BM25:
            scores[~has] = self.retriever.lexical.scores(query.text, ids)
        elif query.vector is not None:
            cosines = self.retriever.vectors.gather(ids) @ query.vector
            whole = self.search.level == "doc"
            scores[~has] = self._as_documents(query.vector, ids, cosines) if whole else cosines
        return scores
