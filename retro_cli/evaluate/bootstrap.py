"""Confidence intervals by resampling documents: ratios of sums, paired where they are differences.

Efron and Tibshirani 1993, chapter 13 (the percentile interval). Tokens of one document depend on
each other, so whole documents are drawn, and every quantity is drawn with the same documents.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
RESAMPLES = 10_000
LEVEL = 0.95
_EDGE = (1 - LEVEL) / 2
_CELLS = 1 << 22  # resamples times documents held at a time


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; no value without a denominator, no interval of one document.

    documents: how many have a part in it.
    """

    value: float | None
    low: float | None
    high: float | None
    documents: int

    def to_json(self) -> dict[str, float | None]:
        """The value with its interval, without how many made it."""
        return {"value": self.value, "low": self.low, "high": self.high}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Estimate:
        """What ``to_json`` gave. Raises KeyError, and TypeError or ValueError for no numbers."""

        def known(name: str) -> float | None:
            number = None if value[name] is None else float(value[name])
            if number is not None and not math.isfinite(number):
                raise ValueError(f"an estimate of {number}")
            return number

        return cls(known("value"), known("low"), known("high"), 0)

    def excludes_zero(self) -> bool:
        return self.low is not None and self.high is not None and self.low * self.high > 0


def ratios(
    numerators: Floats, denominators: Floats, seed: int, resamples: int = RESAMPLES
) -> list[Estimate]:
    """For each row, the sum of the numerators by the sum of the denominators, over documents.

    numerators, denominators: (quantities, documents).
    """
    both = _resampled(np.concatenate([numerators, denominators]), seed, resamples)
    top, bottom = both[:, : len(numerators)], both[:, len(numerators) :]
    return [
        _estimate(numerators[index], denominators[index], top[:, index], bottom[:, index])
        for index in range(len(numerators))
    ]


def means(values: Floats, seed: int, resamples: int = RESAMPLES) -> list[Estimate]:
    """For each row of (quantities, units), its mean over the units, all drawn together."""
    return ratios(values, np.ones_like(values), seed, resamples)


def median(values: Floats, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """The median of (n,) values."""
    count = len(values)
    if not count:
        return Estimate(None, None, None, 0)
    value = float(np.median(values))
    if count < 2:
        return Estimate(value, None, None, count)
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // count)
    parts = [min(step, resamples - first) for first in range(0, resamples, step)]
    drawn = [np.median(values[rng.integers(count, size=(part, count))], axis=1) for part in parts]
    low, high = np.quantile(np.concatenate(drawn), [_EDGE, 1 - _EDGE])
    return Estimate(value, float(low), float(high), count)


def _resampled(values: Floats, seed: int, resamples: int) -> Floats:
    """(resamples, quantities) sums over documents drawn with replacement."""
    documents = values.shape[1]
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // max(1, documents))
    found = []
    for first in range(0, resamples, step):
        count = min(step, resamples - first)
        drawn = rng.integers(documents, size=(count, documents))
        drawn += np.arange(count)[:, None] * documents
        times = np.bincount(drawn.ravel(), minlength=count * documents).reshape(count, documents)
        found.append(times @ values.T)
    return np.concatenate(found)


def _estimate(top: Floats, bottom: Floats, tops: Floats, bottoms: Floats) -> Estimate:
    documents = int((bottom > 0).sum())
    if not documents:
        return Estimate(None, None, None, 0)
    value = float(top.sum() / bottom.sum())
    if documents < 2:
        return Estimate(value, None, None, documents)
    some = bottoms > 0  # a resample may hold none of the few documents that count
    low, high = np.quantile(tops[some] / bottoms[some], [_EDGE, 1 - _EDGE])
    return Estimate(value, float(low), float(high), documents)
