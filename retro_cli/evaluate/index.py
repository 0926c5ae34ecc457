"""An index measured: recall and latency against nprobe, with exact search as truth."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from retro_cli.errors import UsageError
from retro_cli.evaluate.bootstrap import RESAMPLES, Estimate, means, median
from retro_cli.events import SILENT, Progress
from retro_cli.index.bench import TIMED_QUERIES, Bench, Times, interval
from retro_cli.index.exact import Truth, database_truth, exact_search, text_truth
from retro_cli.index.plan import TUNED_K
from retro_cli.query.encoding import query_encoder
from retro_cli.query.retrieve import Retriever

QUERIES = 1000
_TIMED_EXACTLY = 10  # queries: each reads every vector
_TURN = 20  # queries, before the next nprobe is timed
_BEYOND = 4  # times the tuned nprobe, at least


@dataclass(frozen=True)
class IndexSettings:
    """k: of recall@k. queries: how many rows of the database are asked. texts: asked instead.
    probes: the numbers of lists to probe, () for powers of two to beyond the tuned one."""

    k: int = TUNED_K
    queries: int = QUERIES
    texts: tuple[str, ...] = ()
    probes: tuple[int, ...] = ()
    seed: int = 0
    resamples: int = RESAMPLES
    threads: int = 0

    def check(self) -> None:
        """Raises UsageError."""
        if any(number < 1 for number in self.probes):
            raise UsageError("a number of lists is 1 or more", "--probes 1,4,16")


@dataclass(frozen=True)
class Point:
    """What probing ``nprobe`` lists gives. latency, p95: milliseconds a query, on one thread."""

    nprobe: int
    recall: Estimate
    latency: Estimate
    p95: float
    tuned: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "nprobe": self.nprobe,
            "recall": self.recall.to_json(),
            "latency_ms": self.latency.to_json(),
            "latency_p95_ms": self.p95,
            "tuned": self.tuned,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Point:
        """What ``to_json`` gave."""
        return cls(
            int(value["nprobe"]),
            Estimate.from_json(value["recall"]),
            Estimate.from_json(value["latency_ms"]),
            float(value["latency_p95_ms"]),
            value["tuned"] is True,
        )


@dataclass(frozen=True)
class IndexReport:
    """points: by nprobe. exact: the latency of comparing with every vector."""

    database: str
    generation: int
    factory: str
    rows: int
    lists: int
    queries: int
    points: tuple[Point, ...]
    exact: Estimate
    settings: IndexSettings

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> IndexReport:
        """What ``to_json`` gave. Raises KeyError, TypeError or ValueError for anything else."""
        settings = value["settings"]
        return cls(
            database=str(value["database"]),
            factory=str(value["factory"]),
            **{name: int(value[name]) for name in ("generation", "rows", "lists", "queries")},
            points=tuple(Point.from_json(point) for point in value["points"]),
            exact=Estimate.from_json(value["exact_latency_ms"]),
            settings=IndexSettings(k=int(value["k"]), texts=("",) * min(1, int(settings["texts"]))),
        )

    def notes(self) -> list[str]:
        """What a reader of the numbers has to know."""
        asked = (
            "Queries are the given texts."
            if self.settings.texts
            else "Queries are random rows of the database; a row's own vector and its exact "
            "copies are neither sought nor counted."
        )
        return [
            asked,
            "A row as near as the last true neighbour counts as found.",
            "Latencies are those of one query at a time on one thread; their intervals say "
            "nothing of what else this machine does.",
        ]

    def to_json(self) -> dict[str, Any]:
        """One object; every estimate with ``value``, ``low`` and ``high``."""
        plain = ("database", "generation", "factory", "rows", "lists", "queries")
        settings = asdict(self.settings)
        settings["texts"] = len(self.settings.texts)
        return {
            "evaluation": "index",
            **{name: getattr(self, name) for name in plain},
            "k": self.settings.k,
            "points": [point.to_json() for point in self.points],
            "exact_latency_ms": self.exact.to_json(),
            "settings": settings,
            "notes": self.notes(),
        }


def evaluate_index(
    retriever: Retriever, settings: IndexSettings, progress: Progress = SILENT
) -> IndexReport:
    """Measure the generation that ``retriever`` holds, as its queries use it.

    Raises UsageError where there are too few different rows to find neighbours among.
    """
    settings.check()
    searcher, generation = retriever.searcher, retriever.generation
    probes = settings.probes or probe_counts(generation.nprobe, searcher.nlist)
    probes = tuple(sorted({min(number, searcher.nlist) for number in (*probes, generation.nprobe)}))
    progress.started("measure", len(probes) + 1, "settings")
    truth = _truth(retriever, settings)
    if not len(truth.queries):
        raise UsageError("too few different rows to measure a recall", "index more, or --queries")
    progress.advanced("measure", 1)
    bench = Bench(searcher, truth, settings.threads)
    recalls = []
    for nprobe in probes:
        recalls.append(_recall(bench, nprobe, settings))
        progress.advanced("measure", 1)
    times = _times(bench, probes, settings.k)  # last: by now all vectors are in memory
    points = [
        Point(
            nprobe=nprobe,
            recall=recall,
            latency=median(mine, settings.seed, settings.resamples),
            p95=float(np.percentile(mine, 95)),
            tuned=nprobe == generation.nprobe,
        )
        for nprobe, recall, mine in zip(probes, recalls, times, strict=True)
    ]
    progress.finished("measure")
    return IndexReport(
        database=str(retriever.layout.root),
        generation=generation.number,
        factory=generation.plan.factory,
        rows=generation.rows,
        lists=searcher.nlist,
        queries=len(truth.queries),
        points=tuple(points),
        exact=median(_exact_times(retriever, truth, settings.k), settings.seed, settings.resamples),
        settings=settings,
    )


def probe_counts(tuned: int, lists: int) -> tuple[int, ...]:
    """Powers of two, as far as a few times the tuned number, and no more than there are lists."""
    most = min(lists, max(_BEYOND * tuned, 16))
    return (*(1 << power for power in range(most.bit_length()) if 1 << power < most), most)


def _truth(retriever: Retriever, settings: IndexSettings) -> Truth:
    vectors, live, threads = retriever.vectors, retriever.live(), settings.threads
    if not settings.texts:
        return database_truth(vectors, live, settings.k, settings.queries, settings.seed, threads)
    queries = query_encoder(retriever).encode_queries(list(settings.texts))
    return text_truth(vectors, live, queries, settings.k, threads)


def _recall(bench: Bench, nprobe: int, settings: IndexSettings) -> Estimate:
    """The mean over queries. Where all of them fare alike, resampling would claim that nothing is
    left to chance, and Wilson's interval stands instead, unless that is so."""
    candidates = bench.searcher.width(settings.k)
    shares = bench.shares(nprobe, candidates)
    mean, low, high = interval(shares)
    if bench.exhaustive(nprobe, candidates):
        low = high = mean
    elif np.ptp(shares) > 0:
        return means(shares[None], settings.seed, settings.resamples)[0]
    return Estimate(mean, low, high, len(shares))


def _times(bench: Bench, probes: tuple[int, ...], k: int) -> list[Times]:
    """Of each nprobe, (t,) milliseconds a query. They take turns, so that what else the machine
    does is spread over all of them."""
    candidates = bench.searcher.width(k)
    turns = range(0, min(TIMED_QUERIES, len(bench.truth.queries)), _TURN)
    found = [
        [bench.times(k, nprobe, candidates, slice(first, first + _TURN)) for nprobe in probes]
        for first in turns
    ]
    return [np.concatenate(mine) for mine in zip(*found, strict=True)]


def _exact_times(retriever: Retriever, truth: Truth, k: int) -> Times:
    """(t,) milliseconds a query, one at a time on one thread."""
    live, found = retriever.live(), []
    for query in truth.queries[:_TIMED_EXACTLY]:
        began = time.perf_counter()
        exact_search(retriever.vectors, query[None], k, live, threads=1)
        found.append(1000 * (time.perf_counter() - began))
    return np.array(found)
