"""Query vectors that somebody gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.errors import UsageError


def unit_rows(given: npt.NDArray[Any], name: str) -> npt.NDArray[np.float32]:
    """(n, dim) float32 unit rows of (n, dim) or (dim,) numbers. name: of what holds them.

    Raises UsageError for a row that is zero or not finite.
    """
    with np.errstate(over="ignore"):
        matrix = np.atleast_2d(given).astype(np.float32)
        norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise UsageError(f"{name} holds a vector that is zero or not finite", "check the vectors")
    unit: npt.NDArray[np.float32] = matrix / norms
    return unit
