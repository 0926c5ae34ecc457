"""Score one chunk part. Runs in a worker process; knows nothing of the rest of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.rows import read_blocks
from retro_cli.errors import IntegrityError, RetroError
from retro_cli.filters.score_table import write_scores
from retro_cli.filters.scorers.contract import Batch, Scorer
from retro_cli.store.files import FileRecord


@dataclass(frozen=True)
class Task:
    """Everything a worker needs.

    merged: rows that are not scored because another row stands for them
    vectors: the part's file, or None if the scorer reads none
    load: gives the scorer, whose fingerprint is ``scorer``; None where it is at hand
    """

    folder: Path
    name: str
    rows: int
    merged: npt.NDArray[np.int64]
    chunks: Path
    vectors: Path | None
    load: Callable[[], Scorer] | None
    scorer: str


_loaded: dict[str, Scorer] = {}


def scorer_of(task: Task) -> Scorer:
    """One scorer a process, whatever the number of parts. Raises IntegrityError if it is another
    one here than where the run began."""
    if task.scorer not in _loaded:
        assert task.load is not None
        scorer = task.load()
        if scorer.fingerprint != task.scorer:
            raise IntegrityError(
                f"the scorer {scorer.name} is not the same on all machines",
                "see that all of them have the same files under the same paths",
            )
        _loaded[task.scorer] = scorer
    return _loaded[task.scorer]


def score_elsewhere(task: Task) -> FileRecord:
    """``score_part`` in a process that has no scorer yet."""
    return score_part(task, scorer_of(task))


def score_part(
    task: Task, scorer: Scorer, advance: Callable[[int], None] | None = None
) -> FileRecord:
    """Write the part's scores, NaN for merged rows, and return the file's record."""
    scores = np.full(task.rows, np.nan, dtype=np.float32)
    done = 0
    for batch in _batches(task, scorer):
        found = scorer.score(batch)
        if not ((found >= 0) & (found <= 1)).all():
            raise RetroError(f"{scorer.name} gave a score that is not between 0 and 1")
        scores[done : done + len(found)] = found
        done += len(found)
        if advance is not None:
            advance(len(found))
    scores[task.merged] = np.nan  # the row that stands for it has the vector, and the score
    return write_scores(task.folder, task.name, scores)


def _batches(task: Task, scorer: Scorer) -> Iterator[Batch]:
    vectors: npt.NDArray[np.float16] | None = None
    if task.vectors is not None:
        vectors = np.load(task.vectors, mmap_mode="r", allow_pickle=False)
    if vectors is not None and not scorer.needs_text:
        for start in range(0, task.rows, 1 << 15):
            yield Batch(None, vectors[start : start + (1 << 15)])
        return
    start = 0
    for block in read_blocks(task.chunks, ["text"]):
        stop = start + len(block)
        texts = block["text"].to_pylist()
        yield Batch(texts, None if vectors is None else vectors[start:stop])
        start = stop
