"""What hybrid search adds to a warm dense query, in one process with everything open.

Each query goes to both sides, one right after the other, and each side is first as often. The
median of each query's own ratio counts, over several openings: a process of its own for each.
"""

from __future__ import annotations

import json
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from context import Context, database, generated_file, main, prose_file
from measure import say
from paired import paired_ratio
from results import Line, Result

from retro_cli.database import Database
from retro_cli.query.search import HYBRID, Search

OPENINGS = 5
QUERIES = 200
K = 5
GENERATED_MEGABYTES = 12.0
SIDES = {"dense": Search(), "hybrid": Search(HYBRID)}


def measure(context: Context) -> Result:
    inputs = [prose_file(context, 0.4 if context.quick else None)]
    if not context.quick:
        inputs.append(generated_file(context, GENERATED_MEGABYTES))
    name = "quick-cold" if context.quick else "cold"  # the database that cold.py makes too
    db = database(context, name, inputs, "all-MiniLM-L6-v2", "embed --precision int8", "index")
    queries = questions(context.data, context.pick(QUERIES, 20))
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:
        opening = partial(_opening, db, queries)
        found = list(processes.map(opening, range(context.pick(OPENINGS, 2))))
    times = {name: np.median([each[name] for each in found], axis=0).tolist() for name in SIDES}
    for name, values in times.items():
        say(f"{name}: {statistics.median(values):.2f} ms")
    ratio = paired_ratio(times["hybrid"], times["dense"])
    with Database.open(db) as opened:
        chunks = opened.retriever.generation.rows
    line = Line(
        f"a warm `--retriever hybrid` query on {chunks:,} chunks, against a dense one",
        "at most 1.3x",
        f"paired {ratio:.2f}x ({statistics.median(times['hybrid']):.1f}, "
        f"{statistics.median(times['dense']):.1f} ms)",
        ratio,
        1.3,
        False,
        {f"{name}, ms": values for name, values in times.items()},
    )
    return Result("hybrid", [line], {"chunks": chunks, "queries": len(queries)})


def questions(data: Path, count: int) -> list[str]:
    """Questions that people asked, from many texts."""
    with (data / "squad20" / "qa.jsonl").open(encoding="utf-8") as lines:
        asked = [json.loads(line)["question"] for line in lines]
    return asked[:: max(1, len(asked) // count)][:count]


def _opening(db: Path, queries: list[str], turn: int) -> dict[str, list[float]]:
    """Milliseconds of each query by side."""
    with Database.open(db) as opened:
        find = {name: opened.finder(search) for name, search in SIDES.items()}
        names = sorted(find, reverse=bool(turn % 2))
        for name in names:  # maps the files
            find[name](queries[:20], K)
        times: dict[str, list[float]] = {name: [] for name in names}
        for number, query in enumerate(queries):
            for name in names if number % 2 else reversed(names):
                begun = time.perf_counter()
                find[name]([query], K)
                times[name].append(1000 * (time.perf_counter() - begun))
    return times


if __name__ == "__main__":
    main("hybrid", measure)
