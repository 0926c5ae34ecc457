"""Exact search: every row against every query. The truth that an index is measured by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt

from retro_cli.errors import IntegrityError
from retro_cli.index.vectors import Bits, Floats, Ids, Vectors, embedded, sample_ids

# Matrix products round differently from one shape to the next, so the rows at rank k and a few
# after it may change places. These few more are scored again, one by one.
SPARE = 16
COPIES = 64  # a query with more exact copies than this has no neighbours worth the name
RESCORED_FLOATS = 1 << 24  # read at a time: 64 MiB

Shares = npt.NDArray[np.float64]


@contextmanager
def faiss_threads(threads: int | None) -> Iterator[None]:
    """Run Faiss on ``threads`` threads, and on as many as before afterwards. 0, None: as it is."""
    before = faiss.omp_get_max_threads()
    if threads:
        faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def exact_search(
    vectors: Vectors,
    queries: Floats,
    k: int,
    live: Bits | None = None,
    exclude: Sequence[Ids] | None = None,
    threads: int | None = None,
) -> tuple[Ids, Floats]:
    """The ``k`` rows of highest inner product with each query, by brute force.

    queries: (q, dim) float32; live: bool by id, None for every row; exclude: for each query,
    ids that it may not find. Returns (q, k) int64 ids, -1 where there are fewer rows, and
    (q, k) float32 scores, descending, ties by id. Rows of zeros are never found.
    """
    barred = max((len(ids) for ids in exclude), default=0) if exclude is not None else 0
    depth = k + barred + SPARE
    ids = np.full((len(queries), depth), -1, dtype=np.int64)
    scores = np.full((len(queries), depth), -np.inf, dtype=np.float32)
    with faiss_threads(threads):
        for block_ids, block in vectors.blocks():
            keep = embedded(block)
            if live is not None:
                keep &= _lookup(live, block_ids)
            if not keep.all():
                block_ids, block = block_ids[keep], block[keep]
            if len(block):
                ids, scores = _better(ids, scores, *nearest(queries, block_ids, block, depth))
    if exclude is not None:
        for row, gone in enumerate(exclude):
            ids[row, np.isin(ids[row], gone)] = -1
    return rescore(vectors, queries, ids, k)


def rescore(vectors: Vectors, queries: Floats, ids: Ids, k: int) -> tuple[Ids, Floats]:
    """The ``k`` best of each query's candidates by their exact inner product.

    queries: (q, dim) float32; ids: (q, c) int64 candidates without repeats, -1 for none.
    Returns (q, k) ids and float32 scores, descending, ties by id, padded with -1 and -inf.
    A row gets the same bits whatever else is scored with it.
    """
    count, width = ids.shape
    scores = np.full(ids.shape, -np.inf, dtype=np.float32)
    step = max(1, RESCORED_FLOATS // max(1, width * vectors.dim))
    for start in range(0, count, step):
        here = ids[start : start + step]
        found = here >= 0
        rows = np.zeros((*here.shape, vectors.dim), dtype=np.float32)
        rows[found] = vectors.gather(here[found])
        products = np.einsum("qcd,qd->qc", rows, queries[start : start + step])
        scores[start : start + step][found] = products[found]
    if np.isnan(scores).any() or np.isposinf(scores).any():
        raise IntegrityError("a stored vector holds what is no number", "run retro verify")
    return _sorted(ids, scores, k)


@dataclass(frozen=True)
class Truth:
    """Held-out queries with what an exact search finds: (q, k) ids and scores, -1 for none.

    ``barred`` (q, ?) holds each query's own row and its exact copies, -1 for none; neither the
    truth nor a result counts them.
    """

    queries: Floats
    ids: Ids
    scores: Floats
    barred: Ids

    def recall(self, ids: Ids, scores: Floats) -> Shares:
        """(q,) share of the truth that a result reaches. A row as near as the last one counts."""
        own = (ids[:, :, None] == self.barred[:, None, :]).any(axis=2) | (ids < 0)
        wanted = (self.ids >= 0).sum(axis=1)
        last = np.where(self.ids >= 0, self.scores, np.inf).min(axis=1)
        reached = (~own & (scores >= last[:, None])).sum(axis=1)
        shares: Shares = np.minimum(reached, wanted) / wanted
        return shares


def database_truth(
    vectors: Vectors, live: Bits, k: int, count: int, seed: int, threads: int = 0
) -> Truth:
    """``count`` random live rows as queries, without those that have only copies near them."""
    own = sample_ids(live[: vectors.total], count, seed)
    queries = vectors.gather(own)
    own, queries = own[embedded(queries)], queries[embedded(queries)]
    ids, scores = exact_search(vectors, queries, k + COPIES, live, threads=threads)
    # A copy scores as the query itself does, to the bit: only such rows need comparing.
    itself = np.einsum("qcd,qd->qc", queries[:, None, :], queries)
    copy = (scores == itself) & (ids >= 0)
    copy[copy] = (vectors.gather(ids[copy]) == queries[np.nonzero(copy)[0]]).all(axis=1)
    copy |= ids == own[:, None]
    order = np.argsort(copy | (ids < 0), axis=1, kind="stable")[:, :k]
    truth_ids = np.take_along_axis(np.where(copy, -1, ids), order, axis=1)
    truth_scores = np.take_along_axis(scores, order, axis=1)
    barred = -np.sort(-np.where(copy, ids, -1), axis=1)  # descending: the copies come first
    barred = barred[:, : int(copy.sum(axis=1).max(initial=0))]
    return _with_neighbours(Truth(queries, truth_ids, truth_scores, barred))


def text_truth(vectors: Vectors, live: Bits, queries: Floats, k: int, threads: int = 0) -> Truth:
    """The truth for (t, dim) queries that are not rows of the database."""
    queries = queries[embedded(queries)]
    ids, scores = exact_search(vectors, queries, k, live, threads=threads)
    return _with_neighbours(Truth(queries, ids, scores, ids[:, :0]))


def _with_neighbours(truth: Truth) -> Truth:
    kept = (truth.ids >= 0).any(axis=1)
    return Truth(truth.queries[kept], truth.ids[kept], truth.scores[kept], truth.barred[kept])


def _sorted(ids: Ids, scores: Floats, k: int) -> tuple[Ids, Floats]:
    order = np.lexsort((ids, -scores), axis=1)[:, :k]
    top_ids = np.full((len(ids), k), -1, dtype=np.int64)
    top_scores = np.full((len(ids), k), -np.inf, dtype=np.float32)
    width = order.shape[1]
    top_ids[:, :width] = np.take_along_axis(ids, order, axis=1)
    top_scores[:, :width] = np.take_along_axis(scores, order, axis=1)
    return top_ids, top_scores


def nearest(queries: Floats, ids: Ids, rows: Floats, k: int) -> tuple[Ids, Floats]:
    """Ids and scores, (q, min(k, n)), of the rows of (n, dim) nearest to each query, by matrix
    product: the order of rows with almost equal scores is left to ``rescore``.
    """
    scores, positions = faiss.knn(
        queries, rows, min(k, len(rows)), metric=faiss.METRIC_INNER_PRODUCT
    )
    return np.where(positions >= 0, ids[positions], -1), scores


def _better(ids: Ids, scores: Floats, new_ids: Ids, new_scores: Floats) -> tuple[Ids, Floats]:
    """Merge two (q, ?) lists of candidates into one as wide as the first, in no order."""
    width = ids.shape[1]
    ids, scores = np.hstack([ids, new_ids]), np.hstack([scores, new_scores])
    best = np.argpartition(-scores, width - 1, axis=1)[:, :width]
    return np.take_along_axis(ids, best, axis=1), np.take_along_axis(scores, best, axis=1)


def _lookup(bits: Bits, ids: Ids) -> Bits:
    """``bits`` by id; ids past its end are False."""
    inside = ids < len(bits)
    if inside.all():
        return bits[ids]
    found: npt.NDArray[np.bool_] = np.zeros(len(ids), dtype=bool)
    found[inside] = bits[ids[inside]]
    return found
