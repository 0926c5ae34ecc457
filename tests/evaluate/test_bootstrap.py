"""Intervals over documents: they cover, they are paired, and a seed decides."""

from __future__ import annotations

import numpy as np
import pytest

from retro_cli.evaluate.bootstrap import median, ratios


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        sizes = rng.uniform(50, 200, (1, 60))
        values = sizes * rng.normal(2.0, 0.5, (1, 60))
        found = ratios(values, sizes, seed=trial, resamples=400)[0]
        covered += found.low <= 2.0 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


def test_the_value_is_a_ratio_of_sums_and_not_a_mean_of_ratios():
    found = ratios(np.array([[1.0, 30.0]]), np.array([[1.0, 10.0]]), seed=0)[0]
    assert found.value == pytest.approx(31 / 11)


def test_equal_quantities_have_equal_intervals_whatever_stands_beside_them():
    rng = np.random.default_rng(1)
    values, sizes = rng.uniform(1, 2, (3, 40)), rng.uniform(1, 2, (3, 40))
    together = ratios(values, sizes, seed=7, resamples=300)
    alone = ratios(values[2:], sizes[2:], seed=7, resamples=300)[0]
    assert (together[2].low, together[2].high) == pytest.approx((alone.low, alone.high))


def test_a_constant_difference_has_no_width():
    sizes = np.array([[3.0, 5.0, 11.0]])
    found = ratios(0.25 * sizes, sizes, seed=0)[0]
    assert (found.low, found.high) == (pytest.approx(0.25), pytest.approx(0.25))
    assert found.excludes_zero()


def test_one_document_has_a_value_and_no_interval_and_none_has_nothing():
    one, none = ratios(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 0.0]]), 0)
    assert (one.value, one.low, one.documents) == (2.0, None, 1)
    assert (none.value, none.low, none.documents) == (None, None, 0)
    assert not one.excludes_zero()


def test_the_interval_of_a_median_holds_it_and_narrows_with_more_values():
    rng = np.random.default_rng(2)
    few, many = (median(rng.lognormal(0, 1, n), seed=0, resamples=500) for n in (30, 3000))
    for found in (few, many):
        assert found.low <= found.value <= found.high
        assert found.low < 1.0 < found.high
    assert many.high - many.low < (few.high - few.low) / 3
    assert median(np.array([2.0]), seed=0).low is None
    assert median(np.array([]), seed=0).value is None
