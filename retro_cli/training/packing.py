"""Documents -> sequences: which rows of the material stand beside one another in training."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Bits = npt.NDArray[np.bool_]
FILLING = -1


def pack(start: Bits, length: int, random: np.random.Generator) -> Ids:
    """(sequences, length) rows in an order of their own; -1 fills the last sequence.

    start: (rows,) bool, where a document begins. The documents are shuffled, laid end to end and
    cut every ``length`` rows; then the sequences are shuffled. Every row comes once.
    """
    if not len(start):
        return np.empty((0, length), np.int64)
    firsts = np.flatnonzero(start)
    documents = np.split(np.arange(len(start)), firsts[1:])
    order = random.permutation(len(documents))
    rows = np.concatenate([documents[place] for place in order])
    count = -(-len(rows) // length)
    filled = np.full(count * length, FILLING, dtype=np.int64)
    filled[: len(rows)] = rows
    return filled.reshape(count, length)[random.permutation(count)]


def continues(rows: Ids, start: Bits) -> Bits:
    """(..., length) bool: whether a row of a sequence goes on with the one before it."""
    same = np.zeros(rows.shape, dtype=bool)
    same[..., 1:] = (rows[..., 1:] == rows[..., :-1] + 1) & ~start[rows[..., 1:]]
    joined: Bits = same & (rows != FILLING)
    return joined
