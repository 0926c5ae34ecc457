"""The arithmetic that the trained scorers share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float64]

_BLOCK_ROWS = 4096  # in float32 these stay in the cache at the usual dimensions


def dot_rows(
    vectors: npt.NDArray[np.floating], weights: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """(n, dim) rows of any float, possibly mapped, times (dim,) -> (n,); memory stays flat."""
    out = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = vectors[start : start + _BLOCK_ROWS].astype(np.float32)
        # einsum sums each row by itself, so a row's figure does not depend on its block.
        out[start : start + len(block)] = np.einsum("ij,j->i", block, weights)
    return out


def probability(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """The logistic function, without overflow."""
    return (0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64)))).astype(np.float32)
