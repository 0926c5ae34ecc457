"""Vectors that a line separates, but for some noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

DIM = 16


def separable(rows: int, seed: int = 0, noise: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """(rows, DIM) float16 unit vectors and their labels, a quarter of them 1."""
    random = np.random.default_rng(seed)
    labels = (np.arange(rows) % 4 == 0).astype(np.int64)
    vectors = random.standard_normal((rows, DIM)) * noise
    vectors[:, 0] += 2 * labels - 1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float16), labels


@pytest.fixture(scope="session")
def rows() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    return separable


@pytest.fixture(scope="session")
def labelled() -> tuple[np.ndarray, np.ndarray]:
    return separable(600)
