"""A random share of a database's documents, as a mask: nothing is built anew."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.dedup import Aliases

Ids = npt.NDArray[np.int64]
Bits = npt.NDArray[np.bool_]


def share_mask(document: Ids, own: Bits, aliases: Aliases, share: float, seed: int) -> Bits:
    """(next_id,) index entries of a share of the living documents; a larger one holds a smaller.

    document: (next_id,) numbers, -1 where there is no row. own: (next_id,) rows that may be
    shown. share: in (0, 1]. An entry that stands for merged rows is in if any of them is.
    """
    living = np.unique(document[own & (document >= 0)])
    order = np.random.default_rng(seed).permutation(living)
    chosen = np.zeros(int(document.max(initial=-1)) + 1, dtype=bool)
    chosen[order[: math.ceil(share * len(order))]] = True
    mask: Bits = own & (document >= 0)
    mask[mask] = chosen[document[mask]]
    entries = mask.copy()
    entries[aliases.canonical[mask[aliases.member]]] = True
    return entries
