"""The longest run of tokens that a chunk shares with its neighbours.

Borgeaud et al. 2021 (section 2.6): s is the length of the longest token run that a chunk C and
any of its neighbours have in common, and r(C) = s / len(C).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Tokens = npt.NDArray[np.int32]
_CELLS = 1 << 18  # pairs times neighbour tokens held at a time: what a processor's cache takes
_NOWHERE = -2  # unlike the -1 behind a chunk's end


def longest_common_runs(chunks: Tokens, neighbours: Tokens) -> Ids:
    """(n,) int64, by dynamic programming over all pairs at once: exact.

    chunks: (n, m) int32, neighbours: (n, k, r) int32; negative where there is no token.
    """
    n, k, r = neighbours.shape
    if not k or not r:
        return np.zeros(n, dtype=np.int64)
    step = max(1, _CELLS // (k * r))
    found = [
        _longest(chunks[first : first + step], neighbours[first : first + step])
        for first in range(0, n, step)
    ]
    return np.concatenate([*found, np.empty(0, np.int64)])


def _longest(chunks: Tokens, neighbours: Tokens) -> Ids:
    n, k, r = neighbours.shape
    others = np.where(neighbours < 0, _NOWHERE, neighbours)
    # ends[..., j]: the length of the run that ends at the chunk's token and the other's token j-1.
    ends = np.zeros((n, k, r + 1), dtype=np.uint8 if chunks.shape[1] < 256 else np.uint16)
    longest = np.zeros((n, k, r), dtype=ends.dtype)
    one = ends.dtype.type(1)
    for place in range(chunks.shape[1]):
        same = others == chunks[:, place, None, None]
        ends[..., 1:] = (ends[..., :-1] + one) * same
        np.maximum(longest, ends[..., 1:], out=longest)
    result: Ids = longest.reshape(n, -1).max(axis=1).astype(np.int64)
    return result
