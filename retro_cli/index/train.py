"""Train the template that all segments of an index share."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import faiss
import numpy as np

from retro_cli.errors import ConfigError, NotBuiltYet
from retro_cli.events import SILENT, Progress
from retro_cli.index.exact import faiss_threads
from retro_cli.index.plan import (
    EXACT_FACTORY,
    MIN_POINTS_PER_LIST,
    TRAINING_ROUNDS,
    IndexPlan,
    Speed,
    points_for_codes,
)
from retro_cli.index.segments import inverted_file
from retro_cli.index.vectors import Bits, Floats, Vectors, embedded, row_keys, sample_ids
from retro_cli.wording import counted

INNER_PRODUCT: int = faiss.METRIC_INNER_PRODUCT
SQUARED_L2: int = faiss.METRIC_L2
GRAPH_EFFORT = 64  # Faiss's 16 puts one row in fifteen into another list than the nearest
SPARE_SHARE = 1.25  # drawn beyond what is wanted, to make up for copies and empty rows


def training_sample(vectors: Vectors, live: Bits, count: int, seed: int) -> Floats:
    """(n, dim) float32, ``n`` <= count: distinct embedded rows, uniform over all live ones."""
    alive = int(live.sum())
    drawn = int(count * SPARE_SHARE) + 1
    while True:
        rows = vectors.gather(sample_ids(live[: vectors.total], drawn, seed))
        rows = rows[embedded(rows)]
        _, first = np.unique(row_keys(rows), return_index=True)
        if len(first) >= count or drawn >= alive:
            break
        drawn *= 4
    if len(first) > count:
        first = np.random.default_rng(seed).choice(first, count, replace=False, shuffle=False)
    return rows[np.sort(first)]


def train_template(
    vectors: Vectors,
    live: Bits,
    plan: IndexPlan,
    seed: int = 0,
    threads: int = 0,
    progress: Progress = SILENT,
    metric: int = INNER_PRODUCT,
) -> Any:
    """A trained, empty Faiss index. The same input gives the same bytes.

    live: bool by id. metric: INNER_PRODUCT or SQUARED_L2. Raises NotBuiltYet if no live row is
    embedded and ConfigError if Faiss cannot make the plan's factory for this dimension, or train it
    on so few rows.
    """
    if plan.exact:
        return _exact_template(vectors.dim, metric)
    sample = training_sample(vectors, live, plan.training_rows, seed)
    if not len(sample):
        raise NotBuiltYet("no live chunk has a vector", "run retro embed first")
    factory = _with_enough_points(plan, len(sample), progress)
    progress.started("training", None, "rows")
    began = time.perf_counter()
    index = _make(factory, vectors.dim, metric)
    _prepare(inverted_file(index), seed)
    _warn_of_few_points(factory, len(sample), progress)
    with faiss_threads(threads), _quiet_rotation(index):
        _train(index, sample, factory)
    seconds = time.perf_counter() - began
    progress.finished("training", f"{factory} on {counted(len(sample), 'row')} in {seconds:.1f} s")
    return index


def probe(dim: int, lists: int = 4096, threads: int = 0) -> Speed:
    """Measure this machine for ``plan.predict``. Takes about half a second."""
    rng = np.random.default_rng(0)
    centroids = rng.standard_normal((min(lists, 4096), dim), dtype=np.float32)
    rows = rng.standard_normal((4096, dim), dtype=np.float32)
    half = rows.astype(np.float16)
    codes = faiss.index_factory(dim, "SQ8", faiss.METRIC_INNER_PRODUCT)
    codes.train(rows)
    with faiss_threads(threads):
        coarse = faiss.IndexFlatIP(dim)
        coarse.add(centroids)
        coarse.search(rows[:256], 1)
        assign = _seconds(lambda: coarse.search(rows, 1))
        encode = _seconds(lambda: codes.sa_encode(rows))
        read = _seconds(lambda: half.astype(np.float32))
    return Speed(
        assigned_flops=2.0 * len(rows) * len(centroids) * dim / assign,
        encoded_floats=rows.size / encode,
        read_floats=rows.size / read,
    )


def _seconds(work: Any) -> float:
    best = float("inf")
    for _ in range(2):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return max(best, 1e-6)


def _exact_template(dim: int, metric: int) -> Any:
    """One list of float16 codes: they are the rows themselves, so there is nothing to learn."""
    index: Any = faiss.index_factory(dim, EXACT_FACTORY, metric)
    index.by_residual = False
    index.quantizer.add(np.eye(1, dim, dtype=np.float32))
    index.is_trained = True
    return index


def _with_enough_points(plan: IndexPlan, points: int, progress: Progress) -> str:
    """The plan's factory, with fewer lists where copies leave too little to train them on."""
    share = points / min(plan.training_rows, plan.nlist * MIN_POINTS_PER_LIST)
    lists = plan.nlist if share > 0.5 else max(1, int(plan.nlist * share))
    lists = min(lists, points)
    if lists == plan.nlist:
        return plan.factory
    progress.warn(
        f"only {counted(points, 'distinct vector')}: {counted(lists, 'list')} "
        f"instead of {plan.nlist:,}"
    )
    return re.sub(r"IVF\d+(_HNSW\d+)?", f"IVF{lists}", plan.factory)


def _warn_of_few_points(factory: str, points: int, progress: Progress) -> None:
    wanted = points_for_codes(factory)
    if points < wanted:
        progress.warn(
            f"only {counted(points, 'row')} to learn the codes of {factory} from; below "
            f"{wanted:,} their recall suffers, and codes such as SQ8 need none"
        )


@contextmanager
def _quiet_rotation(index: Any) -> Iterator[None]:
    """OPQ learns with codes of its own, and Faiss would warn of few points in each round."""
    chain: Any = getattr(index, "chain", None)
    first = faiss.downcast_VectorTransform(chain.at(0)) if chain else None
    if not isinstance(first, faiss.OPQMatrix):
        yield
        return
    codes = faiss.ProductQuantizer(first.d_out, first.M, 8)  # the same as Faiss would make
    codes.cp.min_points_per_centroid = 1
    first.pq = codes
    try:
        yield
    finally:
        first.pq = None


def _prepare(ivf: Any, seed: int) -> None:
    ivf.cp.niter = TRAINING_ROUNDS
    ivf.cp.seed = seed % 2**31
    # The plan has seen to the number of points; Faiss would warn on stderr.
    ivf.cp.min_points_per_centroid = 1
    if hasattr(ivf, "pq"):
        ivf.pq.cp.min_points_per_centroid = 1
    coarse = faiss.downcast_index(ivf.quantizer)
    if hasattr(coarse, "hnsw"):
        coarse.hnsw.efSearch = GRAPH_EFFORT


def _make(factory: str, dim: int, metric: int) -> Any:
    try:
        return faiss.index_factory(dim, factory, metric)
    except RuntimeError as error:
        raise ConfigError(
            f"Faiss cannot make '{factory}' for {dim} dimensions ({_cause(error)})",
            "in PQ<m>x4fs, m must divide the dimension",
        ) from error


def _train(index: Any, sample: Floats, factory: str) -> None:
    try:
        index.train(sample)
    except RuntimeError as error:
        raise ConfigError(
            f"Faiss cannot train '{factory}' on {counted(len(sample), 'row')} ({_cause(error)})",
            "codes such as SQ8 need fewer rows; without --factory, retro chooses",
        ) from error


def _cause(error: RuntimeError) -> str:
    """What Faiss says after the names of its functions and files."""
    return str(error).rsplit(": ", 1)[-1].strip()
