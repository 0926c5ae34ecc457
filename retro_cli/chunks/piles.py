"""Join or group more rows than memory holds: deal them by a hash into piles that it does hold.

Rows that belong together have equal hashes, so they come into the same pile, in the order in
which they were added (a hybrid hash join: DeWitt et al. 1984).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.store.scratch import Place, Scratch

Rows = npt.NDArray[np.void]  # (n,) of some record type
Words = npt.NDArray[np.uint64]

ROWS_A_PILE = 1 << 17
_MOST_PILES = 512
_WAITING_BYTES = 4 << 20  # of all piles together, before they go to disk


def piles_for(rows: int) -> int:
    """How many piles hold about so many rows."""
    return min(_MOST_PILES, 1 + rows // ROWS_A_PILE)


class Piles:
    """Rows of one record type, dealt by a 64-bit word each."""

    def __init__(self, scratch: Scratch, dtype: np.dtype[Any], count: int) -> None:
        self._scratch = scratch
        self._dtype = dtype
        self._places: list[list[Place]] = [[] for _ in range(count)]
        self._waiting: list[list[Rows]] = [[] for _ in range(count)]
        self._bytes = 0

    def add(self, rows: Rows, words: Words) -> None:
        """rows: (n,); words: (n,), of which the low bits decide."""
        pile = words % np.uint64(len(self._places))
        by_pile = np.argsort(pile, kind="stable")
        bounds = np.searchsorted(pile[by_pile], np.arange(len(self._places) + 1))
        for number in np.unique(pile).tolist():
            self._waiting[number].append(rows[by_pile[bounds[number] : bounds[number + 1]]])
        self._bytes += rows.nbytes
        if self._bytes > _WAITING_BYTES:
            self._put_aside()

    def _put_aside(self) -> None:
        for places, waiting in zip(self._places, self._waiting, strict=True):
            if waiting:
                places.append(self._scratch.put(np.concatenate(waiting).tobytes()))
                waiting.clear()
        self._bytes = 0

    def __iter__(self) -> Iterator[Rows]:
        """Each pile, (m,) of the record type; empty ones too, so that piles can be paired."""
        for places, waiting in zip(self._places, self._waiting, strict=True):
            stored = [np.frombuffer(self._scratch.get(place), self._dtype) for place in places]
            yield np.concatenate([np.empty(0, self._dtype), *stored, *waiting])


def digest_words(digests: npt.NDArray[np.bytes_]) -> Words:
    """(n, 2) words of (n,) 16-byte digests."""
    return np.ascontiguousarray(digests).view(np.uint64).reshape(-1, 2)
