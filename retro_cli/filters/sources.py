"""What the scores say of each source or document: aggregates of its chunks, with counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retro_cli.filters.match import Corpus, document_of, source_names, source_of

Bits = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
BINS = 20


@dataclass(frozen=True)
class Scored:
    """Scores of live chunks, those that a rule keeps out among them (``excluded``)."""

    chunks: int
    excluded: int
    mean: float
    p95: float
    highest: float
    over: float  # share of its chunks at the threshold or above
    worst: int  # the chunk with the highest score


@dataclass(frozen=True)
class SourceScores(Scored):
    """Those of a source."""

    source: str
    documents: int


@dataclass(frozen=True)
class DocumentScores(Scored):
    """Those of a document; ``number``: its place among all documents, dead ones too."""

    number: int


@dataclass(frozen=True)
class _Groups:
    """Of each group of chunks, (count,) arrays; ``sizes`` 0: it has no live chunk."""

    sizes: Ids
    gone: Ids
    means: npt.NDArray[np.float64]
    p95: Ids  # rows
    worst: Ids  # rows
    over: npt.NDArray[np.float64]


def source_scores(
    corpus: Corpus, excluded: Bits, scores: Floats, threshold: float
) -> list[SourceScores]:
    """One entry a source that has a live chunk, the highest mean first."""
    groups, count = source_of(corpus)
    documents, _ = document_of(corpus)
    rows = np.flatnonzero(corpus.own & (groups >= 0))
    heads = np.unique(np.stack([groups[rows], documents[rows]]), axis=1)[0]
    docs = np.bincount(heads, minlength=count)
    of = _grouped(corpus, groups, count, excluded, scores, threshold)
    found = [
        SourceScores(*_entry(of, number, scores), name, int(docs[number]))
        for number, name in enumerate(source_names(corpus))
        if of.sizes[number]
    ]
    return sorted(found, key=lambda entry: (-entry.mean, entry.source))


def document_scores(
    corpus: Corpus, excluded: Bits, scores: Floats, threshold: float, limit: int | None = None
) -> tuple[list[DocumentScores], int]:
    """The documents with the highest chunks first, at most ``limit``; and how many there are."""
    groups, count = document_of(corpus)
    of = _grouped(corpus, groups, count, excluded, scores, threshold)
    there = np.flatnonzero(of.sizes)
    order = there[np.lexsort((there, -of.means[there], -scores[of.worst[there]]))][:limit]
    return [DocumentScores(*_entry(of, n, scores), n) for n in order.tolist()], len(there)


def _grouped(
    corpus: Corpus, groups: Ids, count: int, excluded: Bits, scores: Floats, threshold: float
) -> _Groups:
    """groups: (next_id,) the number of each row's group, -1 for none."""
    rows = np.flatnonzero(corpus.own & (groups >= 0))
    rows = rows[np.lexsort((-rows, scores[rows], groups[rows]))]  # of equals the first is last
    sizes = np.bincount(groups[rows], minlength=count)
    ends = np.cumsum(sizes)
    ranks = np.maximum(np.ceil(0.95 * sizes).astype(np.int64), 1)
    one = np.maximum(sizes, 1)
    padded = np.append(rows, 0)  # a group without rows reads anything

    def summed(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(np.bincount(groups[rows], values, minlength=count), dtype=np.float64)

    return _Groups(
        sizes,
        summed(excluded[rows].astype(float)).astype(np.int64),
        summed(scores[rows].astype(float)) / one,
        padded[ends - sizes + ranks - 1],
        padded[np.maximum(ends - 1, 0)],
        summed((scores[rows] >= threshold).astype(float)) / one,
    )


def _entry(
    of: _Groups, number: int, scores: Floats
) -> tuple[int, int, float, float, float, float, int]:
    """The fields of Scored."""
    worst = int(of.worst[number])
    return (
        int(of.sizes[number]), int(of.gone[number]), float(of.means[number]),
        float(scores[of.p95[number]]), float(scores[worst]), float(of.over[number]), worst,
    )  # fmt: skip


def histogram(corpus: Corpus, scores: Floats) -> list[int]:
    """How many live chunks have a score in each of BINS equal steps from 0 to 1."""
    counts, _ = np.histogram(scores[corpus.own], bins=BINS, range=(0.0, 1.0))
    return [int(count) for count in counts]
