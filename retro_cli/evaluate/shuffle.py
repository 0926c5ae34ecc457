"""Neighbours of another document, for the question whether it matters which ones a model reads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


def derangement(document: Ids, seed: int) -> Ids | None:
    """(n,) for each chunk a chunk of another document, each once; None of a single document.

    document: (n,) int64 numbers from 0. Where one document has more than half of the chunks, some
    of the others' have to serve it twice.
    """
    total = len(document)
    largest = int(np.bincount(document).max(initial=0))
    if largest == total:
        return None
    rng = np.random.default_rng(seed)
    # Chunks in random order within documents in random order: a turn by at least the largest
    # document, and by as much less than a whole one, takes every chunk out of its own.
    ranks = rng.permutation(int(document.max()) + 1)
    order = rng.permutation(total)
    order = order[np.argsort(ranks[document[order]], kind="stable")]
    turn = int(rng.integers(largest, total - largest + 1)) if 2 * largest <= total else largest
    result = np.empty(total, dtype=np.int64)
    result[order] = np.roll(order, -turn)
    stuck = np.flatnonzero(document[result] == document)
    if len(stuck):  # only the document with more than half
        others = np.flatnonzero(document != document[stuck[0]])
        result[stuck] = rng.choice(others, len(stuck))
    return result
