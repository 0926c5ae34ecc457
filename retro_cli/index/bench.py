"""Recall and latency of one index, measured with queries whose true neighbours are known."""

from __future__ import annotations

import math
import time

import numpy as np
import numpy.typing as npt

from retro_cli.index.exact import Shares, Truth
from retro_cli.index.search import Searcher

TIMED_QUERIES = 200
NORMAL_95 = 1.959964

Curve = list[tuple[int, float, float]]
Times = npt.NDArray[np.float64]


def interval(shares: Shares) -> tuple[float, float, float]:
    """Mean of (q,) shares in [0, 1] with its 95 % interval: Wilson's (1927), for the number of
    independent trials that would vary as much as the shares do, at least one a query.
    """
    count = len(shares)
    mean = float(shares.mean()) if count else 1.0
    trials = float(count)
    spread = float(shares.var(ddof=1)) if count > 1 else 0.0
    if spread > 0:
        trials = max(trials, count * mean * (1 - mean) / spread)
    if not trials:
        return mean, 0.0, 1.0
    z = NORMAL_95**2 / trials
    middle = (mean + z / 2) / (1 + z)
    half = math.sqrt(z * mean * (1 - mean) + z * z / 4) / (1 + z)
    return mean, max(0.0, middle - half), min(1.0, middle + half)


class Bench:
    """Measures one searcher against one truth, each choice once."""

    def __init__(self, searcher: Searcher, truth: Truth, threads: int) -> None:
        self.searcher, self.truth, self.threads = searcher, truth, threads
        self._measured: dict[tuple[int, int], tuple[Shares, float]] = {}

    def shares(self, nprobe: int, candidates: int) -> Shares:
        """(q,) recall of each query."""
        return self._measure(nprobe, candidates)[0]

    def exhaustive(self, nprobe: int, candidates: int) -> bool:
        searcher = self.searcher
        return nprobe >= searcher.nlist and (
            searcher.scanner.exact_codes or candidates >= searcher.rows
        )

    def times(
        self, k: int, nprobe: int, candidates: int, queries: slice = slice(TIMED_QUERIES)
    ) -> Times:
        """(t,) milliseconds of finding ``k`` rows, one of the queries at a time on one thread."""
        found = []
        for query in self.truth.queries[queries]:
            began = time.perf_counter()
            self.searcher.search(query[None], k, nprobe=nprobe, candidates=candidates, threads=1)
            found.append(1000 * (time.perf_counter() - began))
        return np.array(found)

    def curve(self, nprobe: int, candidates: int) -> Curve:
        """The choice and what less or more probing would give."""
        tried = {made for made, chosen in self._measured if chosen == candidates}
        tried |= {max(1, nprobe // 2), min(self.searcher.nlist, 2 * nprobe)}
        points = []
        for number in sorted(tried):
            shares, milliseconds = self._measure(number, candidates)
            points.append((number, interval(shares)[0], milliseconds))
        return points

    def _measure(self, nprobe: int, candidates: int) -> tuple[Shares, float]:
        choice = (nprobe, candidates)
        if choice not in self._measured:
            truth = self.truth
            began = time.perf_counter()
            found = self.searcher.search(
                truth.queries,
                truth.ids.shape[1] + truth.barred.shape[1],
                nprobe=nprobe,
                candidates=candidates,
                threads=self.threads,
            )
            seconds = time.perf_counter() - began
            milliseconds = 1000 * seconds / max(1, len(truth.queries))
            self._measured[choice] = truth.recall(found.ids, found.scores), milliseconds
        return self._measured[choice]
