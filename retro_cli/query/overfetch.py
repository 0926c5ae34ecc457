"""The k nearest that may be had: more are fetched until k survive, or there are no more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from retro_cli.query.retrieve import Retriever

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.bool_]
NONE = -1
_CANDIDATES = 1 << 24  # ids and scores of all queries that are held at once, some 400 MB


def surviving(
    retriever: Retriever,
    queries: Floats,
    k: int,
    keep: Callable[[Ids, Ids], Ids],
    allowed: Bits | None = None,
) -> tuple[Ids, Floats]:
    """(n, k) ids by falling score, -1 where there are fewer, and their cosines, -inf for those.

    queries: (n, dim) float32 unit rows. keep: told which queries (w,) were answered and what was
    found (w, fetched), it gives the same array with -1 for what may not be had, and other ids
    where an entry is shown in another's name. allowed: (next_id,) rows to search among.
    """
    neighbours = np.full((len(queries), k), NONE, dtype=np.int64)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    waiting = np.arange(len(queries))
    fetch, most = 2 * k + 8, max(1, retriever.generation.rows)
    while len(waiting):
        fetch = min(fetch, most)
        for some in np.array_split(waiting, -(-len(waiting) * fetch // _CANDIDATES)):
            found, values = retriever.nearest(queries[some], fetch, allowed)
            found = keep(some, found)
            order = np.argsort(found == NONE, axis=1, kind="stable")[:, :k]
            width = order.shape[1]
            neighbours[some, :width] = np.take_along_axis(found, order, axis=1)
            scores[some, :width] = np.take_along_axis(values, order, axis=1)
        if fetch >= most:
            break
        waiting = waiting[(neighbours[waiting] == NONE).any(axis=1)]
        fetch *= 4
    scores[neighbours == NONE] = -np.inf
    return neighbours, scores
