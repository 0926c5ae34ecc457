"""Rankings and what is done with them: fused, made diverse, cut. Pure functions of arrays.

A ranking is entries by falling score. An entry is a chunk; its key says what it counts as: itself,
or its document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RRF_K = 60  # Cormack, Clarke and Buettcher 2009
Ids = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Ranking:
    """ids: (n,) chunks, best first. keys: (n,) what each counts as, all different. scores: (n,)."""

    ids: Ids
    keys: Ids
    scores: Scores

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, places: Ids) -> Ranking:
        return Ranking(self.ids[places], self.keys[places], self.scores[places])


def ranked(ids: Ids, keys: Ids, scores: npt.NDArray[np.floating]) -> Ranking:
    """By falling score, ties by id; of entries with one key only the best."""
    order = np.lexsort((ids, -scores))
    ids, keys, values = ids[order], keys[order], scores[order].astype(np.float64)
    first = np.sort(np.unique(keys, return_index=True)[1])
    return Ranking(ids[first], keys[first], values[first])


def reciprocal_rank_fusion(rankings: Sequence[Ranking]) -> Ranking:
    """Each key by the sum of 1 / (60 + its rank) over the rankings that it is in.

    A key's chunk is that of the ranking where it stands highest, of the first where it is a tie.
    """
    keys = np.unique(np.concatenate([ranking.keys for ranking in rankings]))
    total = np.zeros(len(keys))
    best = np.full(len(keys), np.iinfo(np.int64).max)
    ids = np.zeros(len(keys), np.int64)
    for ranking in rankings:
        at = np.searchsorted(keys, ranking.keys)
        place = np.arange(1, len(ranking) + 1)
        total[at] += 1 / (RRF_K + place)
        higher = place < best[at]
        ids[at[higher]], best[at[higher]] = ranking.ids[higher], place[higher]
    return ranked(ids, keys, total)


def interpolate(ids: Ids, keys: Ids, parts: Sequence[tuple[float, Scores]]) -> Ranking:
    """Each entry by the weighted sum of its standard scores.

    parts: weights with (n,) scores of every entry. A standard score is counted in standard
    deviations from the mean of these entries.
    """
    return ranked(ids, keys, sum((w * standard(s) for w, s in parts), np.zeros(len(ids))))


def standard(scores: Scores) -> Scores:
    """Zero mean and unit deviation; zeros where all are equal."""
    spread = float(scores.std()) if len(scores) else 0.0
    return (scores - scores.mean()) / spread if spread > 1e-12 else np.zeros(len(scores))


def capped(documents: Ids, most: int) -> Ids:
    """The places of the first ``most`` entries of each document. documents: (n,)."""
    seen: dict[int, int] = {}
    kept = []
    for place, document in enumerate(documents.tolist()):
        seen[document] = seen.get(document, 0) + 1
        if seen[document] <= most:
            kept.append(place)
    return np.array(kept, np.int64)


def diverse(relevance: Scores, vectors: Floats, share: float, k: int) -> tuple[Ids, Scores]:
    """The places of ``k`` entries by maximal marginal relevance (Carbonell and Goldstein 1998),
    and the value of each when it was chosen, which never rises.

    relevance: (n,) by falling score, scaled here to between 0 and 1. vectors: (n, dim) unit rows.
    Each next entry has the largest ``share`` times relevance less (1 - share) times the largest
    cosine to one chosen before.
    """
    low, spread = relevance.min(initial=np.inf), np.ptp(relevance) if len(relevance) else 0.0
    scaled = (relevance - low) / spread if spread > 0 else np.ones(len(relevance))
    nearest = np.zeros(len(scaled))
    left = np.ones(len(scaled), dtype=bool)
    chosen: list[int] = []
    values: list[float] = []
    for _ in range(min(k, len(scaled))):
        worth = np.where(left, share * scaled - (1 - share) * nearest, -np.inf)
        place = int(worth.argmax())
        chosen.append(place)
        values.append(float(worth[place]))
        left[place] = False
        nearest = np.maximum(nearest, vectors @ vectors[place])
    return np.array(chosen, np.int64), np.array(values)


def places(rankings: Mapping[str, Ranking], key: int) -> dict[str, tuple[int, float]]:
    """A key's rank, from 1, and score in each ranking that it is in."""
    found = {}
    for name, ranking in rankings.items():
        where = np.flatnonzero(ranking.keys == key)
        if len(where):
            found[name] = (int(where[0]) + 1, float(ranking.scores[where[0]]))
    return found
