"""Choose nprobe, and the number of candidates, by recall measured against exact search.

The neighbours of a query lie in lists. At which place each of these lists stands among the
query's own is one matrix product, and tells the recall of every nprobe at once, but for what the
codes lose. So a search is only run to confirm the choice.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retro_cli.events import SILENT, Progress
from retro_cli.index.bench import Bench, Curve, interval
from retro_cli.index.exact import Shares, Truth, database_truth, faiss_threads, text_truth
from retro_cli.index.plan import TUNED_K
from retro_cli.index.search import Searcher
from retro_cli.index.vectors import Bits, Floats, Vectors

QUERIES = 1000
MOST_CANDIDATES = 1600
WORTH_MORE_CANDIDATES = 0.2  # of the misses that the target allows, when codes cause them
STEP = 1.1


@dataclass(frozen=True)
class TuneResult:
    """Recall@k of the chosen ``nprobe`` and ``candidates``, 95 % interval over queries.

    ``curve`` has (nprobe, recall, milliseconds a query in a batch) for some other choices;
    latencies are those of one query at a time on one thread.
    """

    nprobe: int
    candidates: int
    recall: float
    low: float
    high: float
    queries: int
    target: float
    met: bool
    curve: Curve
    latency_ms_p50: float
    latency_ms_p95: float
    text_recall: float | None = None
    text_queries: int = 0


def tune(
    searcher: Searcher,
    vectors: Vectors,
    live: Bits,
    *,
    target: float = 0.95,
    k: int = TUNED_K,
    queries: int = QUERIES,
    seed: int = 0,
    threads: int = 0,
    progress: Progress = SILENT,
    text_queries: Floats | None = None,
) -> TuneResult:
    """The smallest nprobe (to a tenth) whose interval of recall@k has its lower end at ``target``.

    Queries are random live rows of the database. live: bool by id, the rows that ``searcher``
    may return. text_queries: (t, dim) float32 unit rows, measured besides at what was chosen.
    """
    progress.started("tuning", None, "queries")
    truth = database_truth(vectors, live, k, queries, seed, threads)
    bench = Bench(searcher, truth, threads)
    nprobe, candidates = _choose(bench, vectors, target)
    recall, low, high = interval(bench.shares(nprobe, candidates))
    if bench.exhaustive(nprobe, candidates):
        low = high = recall  # nothing was left to chance
    times = bench.times(k, nprobe, candidates)
    p50, p95 = np.percentile(times, [50, 95]).tolist() if len(times) else (0.0, 0.0)
    text_recall, texts = None, 0
    if text_queries is not None:
        text = Bench(searcher, text_truth(vectors, live, text_queries, k, threads), threads)
        texts = len(text.truth.queries)
        text_recall = float(text.shares(nprobe, candidates).mean()) if texts else None
    progress.finished("tuning", f"nprobe {nprobe}: recall@{k} {recall:.3f} ({low:.3f}-{high:.3f})")
    return TuneResult(
        nprobe=nprobe,
        candidates=candidates,
        recall=recall,
        low=low,
        high=high,
        queries=len(truth.queries),
        target=target,
        met=low >= target,
        curve=bench.curve(nprobe, candidates),
        latency_ms_p50=p50,
        latency_ms_p95=p95,
        text_recall=text_recall,
        text_queries=texts,
    )


def _choose(bench: Bench, vectors: Vectors, target: float) -> tuple[int, int]:
    """nprobe and candidates. More candidates make up for coarse codes, more lists for the rest."""
    searcher = bench.searcher
    with faiss_threads(bench.threads):
        places = list_places(searcher, vectors, bench.truth)
    candidates = searcher.candidates
    if not len(bench.truth.queries):  # nothing to measure, so leave nothing to chance
        return searcher.nlist, candidates
    nprobe = _smallest(lambda n: interval(_reached(places, n))[1] >= target, searcher.nlist)
    while (low := interval(bench.shares(nprobe, candidates))[1]) < target:
        reachable = _reached(places, nprobe).mean()
        lost_to_codes = reachable - bench.shares(nprobe, candidates).mean()
        everywhere = nprobe >= searcher.nlist
        if candidates < min(MOST_CANDIDATES, searcher.rows) and (
            everywhere or lost_to_codes > (1 - target) * WORTH_MORE_CANDIDATES
        ):
            candidates *= 2
        elif everywhere:
            break
        else:
            nprobe = _more(places, nprobe, reachable + target - low, searcher.nlist)
    return nprobe, candidates


def list_places(searcher: Searcher, vectors: Vectors, truth: Truth) -> npt.NDArray[np.float64]:
    """(q, k) how many lists a query visits before that of each true neighbour, nan for none."""
    known = truth.ids >= 0
    homes = np.zeros(truth.ids.shape, dtype=np.int64)
    if known.any():
        homes[known] = searcher.scanner.coarse(vectors.gather(truth.ids[known]), 1)[0][:, 0]
    places = np.full(truth.ids.shape, np.nan)
    for row, query in enumerate(truth.queries):
        products = searcher.scanner.coarse(query[None], searcher.nlist)[1][0]
        before = (products > products[homes[row], None]).sum(axis=1)
        places[row, known[row]] = before[known[row]]
    return places


def _reached(places: npt.NDArray[np.float64], nprobe: int) -> Shares:
    shares: Shares = (places < nprobe).sum(axis=1) / (places >= 0).sum(axis=1)
    return shares


def _more(places: npt.NDArray[np.float64], nprobe: int, wanted: float, nlist: int) -> int:
    """A larger nprobe, as far as ``wanted`` seems to need but in steps of a tenth to twice."""
    likely = _smallest(lambda n: bool(_reached(places, n).mean() >= wanted), nlist)
    return min(nlist, max(nprobe + 1, int(nprobe * STEP), min(likely, 2 * nprobe)))


def _smallest(enough: Callable[[int], bool], nlist: int) -> int:
    """The smallest nprobe that is ``enough``, by bisection; ``nlist`` if none is."""
    return bisect.bisect_left(range(1, nlist), True, key=enough) + 1
