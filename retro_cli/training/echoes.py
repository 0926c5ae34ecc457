"""Passages of the document itself, set into neighbours: what a model learns to copy from.

In the corpora that RETRO was trained on, many chunks have a near-copy elsewhere (Borgeaud et al.
2021, section 2.6 and figure 4), and from those a model learns that a neighbour which agrees with
the text so far may tell how it goes on. A small corpus without duplicates teaches that hardly at
all. So in a share of the chunks, runs of one neighbour are replaced by runs of the document around
the chunk: some long, some short, not where the chunk has them. Only training sees them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retro_cli.reading.material import Material
from retro_cli.training.packing import continues

Ids = npt.NDArray[np.int64]
Bits = npt.NDArray[np.bool_]
RUN = 12  # tokens in a run, on average
NONE = -1


def with_echoes(
    neighbours: Ids, rows: Ids, material: Material, share: float, random: np.random.Generator
) -> Ids:
    """A copy of neighbours (b, l-1, k, r), in which a share of the chunks finds an echo of itself.

    rows: (b, l) of the material, -1 for filling. Only chunks whose document goes on behind them
    are chosen: the others' neighbours are read by nothing.
    """
    chosen = continues(rows, material.start)[:, 1:] & (random.random(rows[:, 1:].shape) < share)
    place = np.argwhere(chosen)
    if not len(place):
        return neighbours
    length = neighbours.shape[-1]
    own = _around(rows[:, :-1][chosen], material, length, random)
    taken = _runs(len(own), length, random) & (own != NONE)
    found = neighbours.copy()
    which = (*place.T, random.integers(neighbours.shape[2], size=len(place)))
    found[which] = np.where(taken, own, found[which])
    return found


def _around(rows: Ids, material: Material, length: int, random: np.random.Generator) -> Ids:
    """(n, length) tokens of the rows' documents, from up to half a chunk before or behind."""
    size = material.tokens.shape[1]
    shift = random.integers(-(size // 2), size // 2 + 1, size=len(rows))
    at = (rows * size + shift)[:, None] + np.arange(length)
    inside = (at >= 0) & (at < material.tokens.size)
    at = np.where(inside, at, 0)
    document = np.cumsum(material.start)
    same = document[at // size] == document[rows][:, None]
    return np.where(inside & same, material.tokens.ravel()[at], NONE).astype(np.int64)


def _runs(count: int, length: int, random: np.random.Generator) -> Bits:
    """(count, length): whole runs are taken or left; each row takes a share of its own."""
    begins = random.random((count, length)) < 1 / RUN
    run = np.cumsum(begins, axis=1, dtype=np.int64)
    luck = random.random((count, length + 1))
    share = random.random((count, 1))
    return np.take_along_axis(luck, run, axis=1) < share
