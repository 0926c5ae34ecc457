"""The index's share of a query, of several databases side by side, and queries to ask them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence

import numpy as np
from context import HELD_OUT, Context, Floats, database, exported_vectors, generated_file

from retro_cli.index.exact import faiss_threads
from retro_cli.query.retrieve import Retriever

K = 10


def held_out_queries(context: Context, count: int) -> Floats:
    """(count, dim) unit rows: static vectors of generated chunks that no database holds."""
    corpus = generated_file(context, 1, HELD_OUT)
    db = database(context, "held-out", [corpus], "wordllama", "embed")
    vectors = exported_vectors(db, context.work / "held-out.npy")
    step = max(1, len(vectors) // count)  # from many documents
    return np.ascontiguousarray(vectors[::step][:count])


def query_times(
    sides: Mapping[str, Retriever], queries: Floats, rounds: int
) -> dict[str, list[float]]:
    """Milliseconds of each query on one thread, by side: its median over the rounds.

    Every query goes to one side right after the other, and each side is first as often.
    """
    names = list(sides)
    times = {name: np.empty((rounds + 1, len(queries))) for name in names}
    with faiss_threads(1):
        for turn in range(rounds + 1):  # the first one opens the files
            for number, query in enumerate(queries):
                for name in names if (turn + number) % 2 else reversed(names):
                    begun = time.perf_counter()
                    sides[name].nearest(query[None], K)
                    times[name][turn, number] = 1000 * (time.perf_counter() - begun)
    return {name: np.median(found[1:], axis=0).tolist() for name, found in times.items()}


def paired_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of each query's own ratio."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))
