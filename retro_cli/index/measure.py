"""How good a generation is: recall against exact search, measured when it is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retro_cli.events import Progress
from retro_cli.index.generation import Generation, Quality, Segment
from retro_cli.index.plan import IndexPlan
from retro_cli.index.search import Searcher
from retro_cli.index.state import DEFAULT_RECALL, Bits, IndexJob, State
from retro_cli.index.tune import TuneResult, tune

MOVED_BEFORE_TUNING = 0.1  # of the rows


@dataclass(frozen=True)
class Measured:
    """``tuned`` is None where an older measurement still stands."""

    quality: Quality
    nprobe: int
    candidates: int
    tuned: TuneResult | None = None


def still_measured(base: Generation | None, job: IndexJob, state: State) -> Measured | None:
    """What was measured for ``base``, if it has the same target and few rows came or went."""
    if base is None or base.quality.target != job.recall:
        return None
    if moved(base.quality, state.live):
        return None
    return as_measured(base)


def as_measured(base: Generation) -> Measured:
    return Measured(base.quality, base.nprobe, base.candidates)


def moved(measured: Quality, live: Bits) -> bool:
    """Whether more than a tenth of the rows came or went since the recall was measured."""
    came = int(live[measured.next_id :].sum())
    stayed = int(live.sum()) - came
    return came + abs(measured.rows - stayed) > MOVED_BEFORE_TUNING * measured.rows


def measure(
    folder: Path,
    segments: Sequence[Segment],
    dead: Bits,
    plan: IndexPlan,
    state: State,
    job: IndexJob,
    progress: Progress,
) -> Measured:
    """Choose nprobe and candidates for the target, and say what they reach."""
    target = job.recall or DEFAULT_RECALL
    texts = None
    if job.text_queries is not None:
        texts = job.text_queries(job.layout, state.chunks, state.encoder, state.live)
    vectors = state.vectors()
    searcher = Searcher(
        [folder / segment.file.name for segment in segments],
        vectors,
        np.packbits(dead, bitorder="little"),
        plan.nlist,
        plan.candidates,
    )
    try:
        result = tune(
            searcher,
            vectors,
            state.live,
            target=target,
            seed=job.seed,
            threads=job.threads,
            progress=progress,
            text_queries=texts,
        )
    finally:
        searcher.close()
    quality = Quality(
        target=target,
        recall=result.recall,
        low=result.low,
        high=result.high,
        queries=result.queries,
        met=result.met,
        text_recall=result.text_recall,
        text_queries=0 if texts is None else len(texts),
        rows=int(state.live.sum()),
        next_id=len(state.live),
    )
    return Measured(quality, result.nprobe, result.candidates, result)
