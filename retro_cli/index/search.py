"""Search the segments of one generation as if they were one index, and rank exactly.

Each segment is searched with the same lists and the same selector; the best by code are scored
again from the float16 vectors. However much a filter removes, ``k`` results are ``k`` results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from retro_cli.errors import EncoderMismatch
from retro_cli.index.exact import SPARE, faiss_threads, nearest, rescore
from retro_cli.index.plan import TUNED_K
from retro_cli.index.segments import (
    bitmap_selector,
    check_alike,
    holds_float16,
    inverted_file,
    load_index,
    scan_lists,
    transformed,
)
from retro_cli.index.vectors import Bits, Floats, Ids, Vectors

# Fast-scan codes can only be mapped with the newer flag; a Faiss without it reads them.
MAPPED = getattr(faiss, "IO_FLAG_MMAP_IFC", 0)
SURVIVOR_FLOATS = 2_048_000  # so few left by a filter are all scored: under a millisecond
MOST_CANDIDATES = 2_000  # of which the code's own order is good enough
FEW_DEAD = 0.2  # of the rows: few enough to leave them out after a scan
BLOCK_CELLS = 1 << 22  # of the tables of lists and candidates held at a time


@dataclass(frozen=True)
class SearchResult:
    """(q, k) int64 ids and float32 cosines, descending, ties by id; -1 and -inf where fewer exist.

    stats: ``lists`` of the index, ``probed`` of them at most, ``candidates`` scored exactly,
    ``segments`` and whether the answer is ``exact``; with explain also ``rows_scanned`` and
    ``probed_lists`` of each query, unless every survivor of a filter was scored.
    """

    ids: Ids
    scores: Floats
    stats: dict[str, Any]


@dataclass(frozen=True)
class _Filter:
    """``survivors`` bounds the rows that may be found. Holds what Faiss only points to."""

    selector: Any
    survivors: int


class Searcher:
    """The segments of one generation, mapped. Immutable and read-only."""

    def __init__(
        self,
        segment_paths: Sequence[Path],
        vectors: Vectors,
        dead: npt.NDArray[np.uint8] | None,
        nprobe: int,
        candidates: int,
    ) -> None:
        """dead: one bit an id, packed little-endian; ids past its end live.

        nprobe and candidates are those of ``tune``. Raises IntegrityError for unreadable files.
        """
        self.vectors, self.nprobe, self.candidates = vectors, nprobe, candidates
        self._dead = np.ascontiguousarray(dead if dead is not None else [], dtype=np.uint8)
        self._indexes = [load_index(path, MAPPED) for path in segment_paths]
        self._ivfs = [inverted_file(index) for index in self._indexes]
        check_alike(self._ivfs, self._indexes, segment_paths, vectors.dim)
        self.rows = sum(ivf.ntotal for ivf in self._ivfs)
        self.nlist = self._ivfs[0].nlist if self._ivfs else 1
        self.exact_codes = all(holds_float16(ivf) for ivf in self._ivfs)
        self._centroids: Floats | None = None
        self._living = self._without_dead()
        self._living_ids: Ids | None = None

    def close(self) -> None:
        """Let go of the mapped files. A closed searcher finds nothing."""
        self._ivfs, self._indexes = [], []
        self.rows, self._living = 0, _Filter(None, 0)

    def search(
        self,
        queries: Floats,
        k: int,
        *,
        allowed: Bits | None = None,
        nprobe: int | None = None,
        candidates: int | None = None,
        threads: int | None = None,
        explain: bool = False,
    ) -> SearchResult:
        """The ``k`` nearest living (and allowed) rows of each query.

        queries: (q, dim) float32 unit rows; allowed: bool by id, ids past its end are not
        allowed. ``nprobe`` and ``candidates`` replace what was tuned, and are then not widened
        for a filter; either grows where that is needed to find ``k``. Raises EncoderMismatch for
        queries of another dimension.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.vectors.dim:
            raise EncoderMismatch(
                f"queries of shape {queries.shape}, the index has {self.vectors.dim} dimensions",
                "encode the queries with the encoder of the database",
            )
        rows = self._living if allowed is None else self._among(allowed)
        with faiss_threads(threads):
            if self._few(rows.survivors):
                return self._score_survivors(queries, k, rows)
            width = max(k, candidates) if candidates else self._width(k)
            start = min(self.nlist, nprobe or self._wide_enough(rows.survivors))
            return self._probe_lists(queries, k, rows, start, width, explain)

    def coarse(self, queries: Floats, nprobe: int) -> tuple[Ids, Floats]:
        """(q, nprobe) nearest lists of each query, best first, and their centroids' products.

        All lists come in list order.
        """
        queries = np.ascontiguousarray(transformed(self._indexes[0], queries))
        if nprobe < self.nlist:
            products, lists = self._ivfs[0].quantizer.search(queries, nprobe)
            return lists, products
        # A graph over the centroids does not reach every one of them, so go without it.
        if self._centroids is None:
            self._centroids = self._ivfs[0].quantizer.reconstruct_n(0, self.nlist)
        lists = np.tile(np.arange(self.nlist, dtype=np.int64), (len(queries), 1))
        return lists, queries @ self._centroids.T

    def _without_dead(self) -> _Filter:
        # Every bit counts: a part whose rows all died may have no vectors any more.
        gone = int(np.unpackbits(self._dead).sum())
        self._dead_share = gone / max(1, self.rows)
        if not gone:
            return _Filter(None, self.rows)
        selector = faiss.IDSelectorNot(bitmap_selector(self._dead))
        ids = max(self.vectors.total, 8 * len(self._dead))
        return _Filter(selector, min(self.rows, ids - gone))  # at most: not every id is indexed

    def _among(self, allowed: Bits) -> _Filter:
        bits = np.packbits(allowed, bitorder="little")
        both = min(len(bits), len(self._dead))
        bits[:both] &= ~self._dead[:both]
        count = int(np.unpackbits(bits).sum())
        return _Filter(bitmap_selector(bits), min(self.rows, count))

    def _few(self, survivors: int) -> bool:
        return 2 * survivors <= self.rows and survivors * self.vectors.dim <= SURVIVOR_FLOATS

    def _wide_enough(self, survivors: int) -> int:
        """What was tuned without a filter, widened: neighbours lie farther off among fewer rows.

        By the root of the share that is left. Measured on 200,000 rows, that held recall at the
        tuned level for random and for one-sided filters down to 0.1 %, in no more time, where
        the tuned nprobe alone fell from 0.96 to 0.5.
        """
        return max(1, math.ceil(self.nprobe * math.sqrt(self.rows / max(1, survivors))))

    def _width(self, k: int) -> int:
        """As many times ``k`` as were tuned for ten results, within reason."""
        if self.exact_codes:
            return k + SPARE
        return max(self.candidates, k, min(self.candidates * k // TUNED_K, MOST_CANDIDATES))

    def _score_survivors(self, queries: Floats, k: int, rows: _Filter) -> SearchResult:
        """Score every row that a filter leaves. One pass over all lists says which are indexed."""
        stats = self._stats(probed=self.nlist, candidates=rows.survivors, exact=True)
        if not rows.survivors or not len(queries):
            nothing = np.full((len(queries), 0), -1, dtype=np.int64)
            return SearchResult(*rescore(self.vectors, queries, nothing, k), stats)
        ids = self._survivors(queries[:1], rows)
        found, _ = nearest(queries, ids, self.vectors.gather(ids), k + SPARE)
        return SearchResult(*rescore(self.vectors, queries, found, k), stats)

    def _survivors(self, query: Floats, rows: _Filter) -> Ids:
        """The indexed rows that a filter leaves; those that are not dead are looked for once."""
        if rows is self._living and self._living_ids is not None:
            return self._living_ids
        ids: Ids = self._scan(query, self.nlist, rows.survivors, rows)[0]
        ids = ids[ids >= 0]
        if rows is self._living:
            self._living_ids = ids
        return ids

    def _probe_lists(
        self, queries: Floats, k: int, rows: _Filter, nprobe: int, width: int, explain: bool
    ) -> SearchResult:
        ids = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        probed = np.zeros(len(queries), dtype=np.int64)
        waiting = np.arange(len(queries))
        while len(waiting):
            step = max(1, BLOCK_CELLS // max(nprobe, width * max(1, len(self._ivfs))))
            for start in range(0, len(waiting), step):
                some = waiting[start : start + step]
                found = self._scan(queries[some], nprobe, width, rows)
                ids[some], scores[some] = rescore(self.vectors, queries[some], found, k)
            probed[waiting] = nprobe
            if nprobe >= self.nlist:
                break
            waiting = waiting[(ids[waiting] >= 0).sum(axis=1) < min(k, rows.survivors)]
            nprobe = min(2 * nprobe, self.nlist)
        everywhere = bool(len(queries)) and int(probed.min()) >= self.nlist
        stats = self._stats(
            probed=int(probed.max(initial=0)),
            candidates=min(width, rows.survivors),
            exact=everywhere and (self.exact_codes or width >= rows.survivors),
        )
        if explain:
            stats |= self._explained(queries, probed)
        return SearchResult(ids, scores, stats)

    def _scan(self, queries: Floats, nprobe: int, width: int, rows: _Filter) -> Ids:
        """(q, width) ids of the best by code over all segments, -1 where fewer are found."""
        if not self.rows or not len(queries):
            return np.full((len(queries), width), -1, dtype=np.int64)
        if rows is not self._living or not 0 < self._dead_share <= FEW_DEAD:
            return self._best(queries, nprobe, width, rows)[0]
        # Asking Faiss of every row whether it is dead costs a quarter of the scan. Where few are,
        # some more rows are asked for, and the dead ones among them left out.
        wide = math.ceil(width / (1 - 2 * self._dead_share)) + SPARE
        ids, codes = self._best(queries, nprobe, wide, _Filter(None, self.rows))
        missing = (ids < 0) | self._is_dead(ids)
        order = np.argsort(np.where(missing, np.inf, -codes), axis=1, kind="stable")[:, :width]
        best = np.take_along_axis(np.where(missing, -1, ids), order, axis=1)
        short = (best[:, -1] < 0) & (ids >= 0).all(axis=1)
        if short.any():
            best[short] = self._best(queries[short], nprobe, width, rows)[0]
        return best

    def _is_dead(self, ids: Ids) -> Bits:
        known = (ids >= 0) & (ids < 8 * len(self._dead))
        safe = np.where(known, ids, 0)
        found: Bits = known & ((self._dead[safe >> 3] >> (safe & 7).astype(np.uint8)) & 1 == 1)
        return found

    def _best(self, queries: Floats, nprobe: int, width: int, rows: _Filter) -> tuple[Ids, Floats]:
        """The same with their scores by code; a filter is asked of every row that is scanned."""
        lists, products = self.coarse(queries, nprobe)
        inside = np.ascontiguousarray(transformed(self._indexes[0], queries))
        parameters: Any = faiss.SearchParametersIVF
        settings = parameters(sel=rows.selector, nprobe=nprobe)
        found = [
            scan_lists(ivf, inside, lists, products, width, settings)
            for ivf in self._ivfs
            if ivf.ntotal
        ]
        if len(found) == 1:
            return found[0]
        ids = np.hstack([segment_ids for segment_ids, _ in found])
        codes = np.hstack([segment_scores for _, segment_scores in found])
        best = np.argpartition(-codes, width - 1, axis=1)[:, :width]
        return np.take_along_axis(ids, best, axis=1), np.take_along_axis(codes, best, axis=1)

    def _stats(self, probed: int, candidates: int, exact: bool) -> dict[str, Any]:
        return {
            "lists": self.nlist,
            "probed": probed,
            "candidates": candidates,
            "segments": len(self._ivfs),
            "exact": exact,
        }

    def _explained(self, queries: Floats, probed: Ids) -> dict[str, Any]:
        if not self._ivfs:
            return {"rows_scanned": [0] * len(queries), "probed_lists": [[] for _ in queries]}
        sizes = np.zeros(self.nlist, dtype=np.int64)
        for ivf in self._ivfs:
            sizes += [ivf.invlists.list_size(number) for number in range(self.nlist)]
        lists = [
            self.coarse(query[None], int(count))[0][0]
            for query, count in zip(queries, probed, strict=True)
        ]
        return {
            "rows_scanned": [int(sizes[mine].sum()) for mine in lists],
            "probed_lists": [mine.tolist() for mine in lists],
        }
