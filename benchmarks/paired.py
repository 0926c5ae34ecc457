"""The index's share of a query, of several databases side by side, and queries to ask them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from context import HELD_OUT, Context, Floats, database, exported_vectors, generated_file

from retro_cli.index.exact import faiss_threads
from retro_cli.query.retrieve import Retriever
from retro_cli.store.layout import Layout

K = 10


def held_out_queries(context: Context, count: int) -> Floats:
    """(count, dim) unit rows: static vectors of generated chunks that no database holds."""
    corpus = generated_file(context, 1, HELD_OUT)
    db = database(context, "held-out", [corpus], "wordllama", "embed")
    vectors = exported_vectors(db, context.work / "held-out.npy")
    step = max(1, len(vectors) // count)  # from many documents
    return np.ascontiguousarray(vectors[::step][:count])


def query_times(
    sides: Mapping[str, Path], queries: Floats, openings: int
) -> dict[str, list[float]]:
    """Milliseconds of each query on one thread, by database: its median over the openings.

    Where an index comes to lie in memory changes all its queries by up to a fifth, as long as the
    process lives, so every opening is a process of its own.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:
        opening = partial(_opening, dict(sides), queries)
        found = list(processes.map(opening, range(openings)))
    return {name: np.median([times[name] for times in found], axis=0).tolist() for name in sides}


def _opening(sides: dict[str, Path], queries: Floats, turn: int) -> dict[str, Floats]:
    """Every query goes to one side right after the other; each side is opened, and is asked,
    first as often."""
    names = sorted(sides, reverse=bool(turn % 2))
    opened = {name: Retriever(Layout(sides[name])) for name in names}
    times = {name: np.empty(len(queries), dtype=np.float32) for name in names}
    with faiss_threads(1):
        for name in names:
            for query in queries:  # maps the files
                opened[name].nearest(query[None], K)
        for number, query in enumerate(queries):
            for name in names if number % 2 else reversed(names):
                begun = time.perf_counter()
                opened[name].nearest(query[None], K)
                times[name][number] = 1000 * (time.perf_counter() - begun)
    return times


def paired_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of each query's own ratio."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))
