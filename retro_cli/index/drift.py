"""Drift: how well the trained lists still fit the rows that came later."""

from __future__ import annotations

from dataclasses import dataclass

from retro_cli.index.generation import Generation


@dataclass(frozen=True)
class Drift:
    """Of the segment that fits worst.

    error_ratio: its quantisation error (the mean of 1 - cosine between a row and the centroid of
    its list) over that of the rows at training; imbalance: 1 for lists of equal length, else the
    factor by which it slows a search.
    """

    error_ratio: float
    imbalance: float


def drift(generation: Generation) -> Drift | None:
    """None where there are no lists to drift from: an exact index, or nothing measured."""
    errors = [segment.error for segment in generation.segments if segment.rows]
    if generation.plan.exact or generation.trained_error <= 0 or min(errors, default=-1.0) < 0:
        return None
    worst = max(errors) / generation.trained_error
    return Drift(round(worst, 3), max(s.imbalance for s in generation.segments if s.rows))
