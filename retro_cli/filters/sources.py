"""What the scores say of each source: aggregates of its chunks, with counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retro_cli.filters.match import Corpus, document_of, source_names, source_of

Bits = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
BINS = 20


@dataclass(frozen=True)
class SourceScores:
    """Scores of a source's live chunks, those that a rule keeps out among them (``excluded``)."""

    source: str
    documents: int
    chunks: int
    excluded: int
    mean: float
    p95: float
    highest: float
    over: float  # share of its chunks at the threshold or above
    worst: int  # the chunk with the highest score


def source_scores(
    corpus: Corpus, excluded: Bits, scores: Floats, threshold: float
) -> list[SourceScores]:
    """One entry a source that has a live chunk, the highest mean first."""
    groups, count = source_of(corpus)
    documents, _ = document_of(corpus)
    rows = np.flatnonzero(corpus.own & (groups >= 0))
    rows = rows[np.lexsort((-rows, scores[rows], groups[rows]))]  # of equals the first is last
    sizes = np.bincount(groups[rows], minlength=count)
    ends = np.cumsum(sizes)
    heads = np.unique(np.stack([groups[rows], documents[rows]]), axis=1)[0]
    docs = np.bincount(heads, minlength=count)
    sums = np.bincount(groups[rows], weights=scores[rows], minlength=count)
    over = np.bincount(groups[rows], weights=scores[rows] >= threshold, minlength=count)
    gone = np.bincount(groups[rows], weights=excluded[rows], minlength=count)
    found = []
    for number, name in enumerate(source_names(corpus)):
        size = int(sizes[number])
        if not size:
            continue
        first = int(ends[number]) - size
        worst = int(rows[first + size - 1])
        p95 = rows[first + int(np.ceil(0.95 * size)) - 1]
        found.append(
            SourceScores(
                source=name,
                documents=int(docs[number]),
                chunks=size,
                excluded=int(gone[number]),
                mean=float(sums[number] / size),
                p95=float(scores[p95]),
                highest=float(scores[worst]),
                over=float(over[number] / size),
                worst=worst,
            )
        )
    return sorted(found, key=lambda entry: (-entry.mean, entry.source))


def histogram(corpus: Corpus, scores: Floats) -> list[int]:
    """How many live chunks have a score in each of BINS equal steps from 0 to 1."""
    counts, _ = np.histogram(scores[corpus.own], bins=BINS, range=(0.0, 1.0))
    return [int(count) for count in counts]
