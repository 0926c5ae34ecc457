"""Vectors that are elsewhere: of a remote part only the rows that are asked for are fetched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from retro_cli.errors import IntegrityError

if TYPE_CHECKING:
    from retro_cli.store.remote.blocks import BlockFile

_HEADERS = range(64, 4097, 64)  # bytes before the rows, as numpy writes them
Ids = npt.NDArray[np.int64]


class RemoteRows:
    """A (rows, dim) float16 ``.npy``, read by row numbers or by a slice of them."""

    def __init__(self, file: BlockFile, rows: int, dim: int) -> None:
        """Raises IntegrityError for a file of another size."""
        self.file, self.rows, self.dim = file, rows, dim
        self.width = 2 * dim
        self._start = file.stored.bytes - rows * self.width
        if self._start not in _HEADERS:
            raise IntegrityError(
                f"{file.place.url}/{file.stored.key} does not hold ({rows}, {dim}) float16",
                "push the database again with --repair, from a folder that is whole",
            )

    def ranges(self, numbers: Ids) -> list[tuple[BlockFile, int, int]]:
        starts = self._start + np.unique(numbers) * self.width
        return [(self.file, start, start + self.width) for start in starts.tolist()]

    def __getitem__(self, which: Ids | slice) -> npt.NDArray[np.float16]:
        """(n, dim) rows, fetched if need be."""
        if isinstance(which, slice):
            first, last, _ = which.indices(self.rows)
            data = self.file.pread(
                self._start + first * self.width, self._start + last * self.width
            )
            return np.frombuffer(data, np.float16).reshape(last - first, self.dim)
        load_rows([(self, which)])
        pieces = [
            self.file.pread(start, start + self.width)
            for start in (self._start + which * self.width).tolist()
        ]
        return np.frombuffer(b"".join(pieces), np.float16).reshape(len(which), self.dim)


def load_rows(wanted: Iterable[tuple[Any, Ids]]) -> None:
    """Fetch the rows of remote parts, of all of them at once; others are here."""
    remote = [(rows, numbers) for rows, numbers in wanted if isinstance(rows, RemoteRows)]
    if remote:
        from retro_cli.store.remote.blocks import load

        load(each for rows, numbers in remote for each in rows.ranges(numbers))
