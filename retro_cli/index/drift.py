"""Drift: how well the trained lists still fit what the index holds now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.index.generation import Fit, Generation, Segment
from retro_cli.index.segments import list_sizes, load_index, quantisation_error
from retro_cli.index.vectors import Ids, Vectors

FEWEST_ROWS = 200  # fewer new rows say more about themselves than about the lists
SMALLEST_SHARE = 0.001  # of all rows: fewer would hardly be in a sample to train on
WORSE = 1.2  # how many times worse than at training the new rows may fit
SLOWER = 1.5  # how many times as slow as at training uneven lists may make a search


@dataclass(frozen=True)
class Drift:
    """error_ratio: the quantisation error (the mean of 1 - cosine between a row and the centroid
    of its list) of the ``new_rows`` since the training over that of the rows at training, 1 while
    there are none; new_share: what share of all rows they are; imbalance: of all lists together,
    1 for lists of equal length, else the factor by which it slows a search.
    """

    error_ratio: float
    new_rows: int
    new_share: float
    imbalance: float
    imbalance_at_training: float

    @property
    def unlike(self) -> bool:
        """Whether the new rows are unlike those of the training, and enough for it to matter."""
        enough = self.new_rows >= FEWEST_ROWS and self.new_share >= SMALLEST_SHARE
        return enough and self.error_ratio > WORSE

    @property
    def slower(self) -> float:
        """How many times as slow as at training the lists' lengths make a search."""
        return self.imbalance / self.imbalance_at_training

    @property
    def uneven(self) -> bool:
        return self.slower > SLOWER


def drift(generation: Generation) -> Drift | None:
    """None where there are no lists to drift from: an exact index, or nothing measured."""
    if generation.plan.exact or generation.trained_error <= 0 or generation.trained is None:
        return None
    fit = generation.fit
    return Drift(
        error_ratio=round(fit.new_error / generation.trained_error, 3) if fit.new_rows else 1.0,
        new_rows=fit.new_rows,
        new_share=round(fit.new_rows / max(generation.rows, 1), 6),
        imbalance=fit.imbalance,
        imbalance_at_training=generation.trained_imbalance,
    )


def measured_fit(template: Path, segments: Sequence[Path], vectors: Vectors, new: Ids) -> Fit:
    """new: ids of rows since the training."""
    sizes = list_sizes(segments)
    error = quantisation_error(load_index(template), vectors, new) if len(new) else 0.0
    return Fit(len(new), round(error, 4), imbalance(sizes))


def mean_error(segments: Sequence[Segment]) -> float:
    rows = sum(segment.rows for segment in segments)
    return round(sum(segment.error * segment.rows for segment in segments) / max(rows, 1), 4)


def imbalance(sizes: npt.NDArray[np.int64]) -> float:
    """1 for lists of equal length, else the factor by which a search over them is slower."""
    total = float(sizes.sum())
    squares = float(np.square(sizes, dtype=np.float64).sum())
    return round(len(sizes) * squares / total**2, 3) if total else 1.0
