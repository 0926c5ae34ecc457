"""Which texts go through the encoder together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def plan_batches(
    lengths: npt.NDArray[np.integer],
    token_budget: int,
    max_rows: int,
    *,
    same_length: bool = False,
) -> list[npt.NDArray[np.int64]]:
    """Split rows into batches of similar length, longest first.

    lengths: (n,) tokens of each row
    token_budget: the most tokens a batch holds when padded to its longest row; a row that is
        longer by itself gets its own batch
    max_rows: the most rows in a batch
    same_length: never mix lengths, so that nothing has to be padded or masked

    Returns row indexes: every row in exactly one batch. Rows of one length keep their order, and
    longest first shows at once if memory will not do.
    """
    if token_budget < 1 or max_rows < 1:
        raise ValueError("token_budget and max_rows must be positive")
    lengths = lengths.astype(np.int64)
    order = np.argsort(-lengths, kind="stable")
    ordered = lengths[order]
    batches = []
    start = 0
    while start < len(order):
        longest = int(ordered[start])
        size = max(1, min(max_rows, token_budget // max(1, longest)))
        if same_length:
            # Lengths fall, so the rows as long as this one end where a shorter one would go.
            size = min(size, int(np.searchsorted(-ordered, -longest, side="right")) - start)
        batches.append(order[start : start + size])
        start += size
    return batches
