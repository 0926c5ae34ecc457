"""The vectors of a database: row-aligned float16 parts, mapped into memory and read by id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.errors import IntegrityError
from retro_cli.index.remote_rows import RemoteRows, load_rows
from retro_cli.store.here import in_blocks

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.bool_]

BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class VectorPart:
    """A (rows, dim) float16 ``.npy`` of unit rows. The id of row ``r`` is ``base + r``.

    A row of zeros stands for a chunk that was not embedded; it is never indexed.
    """

    path: str
    base: int
    rows: int


class Vectors:
    """All parts of a database, each mapped when it is first read. Ids between parts have no row."""

    def __init__(self, parts: Sequence[VectorPart], dim: int, made_by: str = "retro embed") -> None:
        """made_by: the command that makes the files again. Raises IntegrityError if two parts claim
        the same id."""
        self.dim = dim
        self._made_by = made_by
        self.parts = sorted((part for part in parts if part.rows), key=lambda part: part.base)
        self._bases = np.array([part.base for part in self.parts], dtype=np.int64)
        self._ends = np.array([part.base + part.rows for part in self.parts], dtype=np.int64)
        self._mapped: dict[int, npt.NDArray[np.float16] | RemoteRows] = {}
        if (self._ends[:-1] > self._bases[1:]).any():
            raise IntegrityError("two vector parts claim the same ids", "run retro verify")
        self.total = int(self._ends[-1]) if self.parts else 0

    def gather(self, ids: npt.ArrayLike) -> Floats:
        """(n, dim) float32 rows of any ids in any order, reading only these rows.

        Raises IntegrityError for an id that no part holds.
        """
        wanted = np.asarray(ids, dtype=np.int64)
        found = np.empty((len(wanted), self.dim), dtype=np.float32)
        if not len(wanted):
            return found
        which = self._part_of(wanted)
        pieces = []
        for index in np.flatnonzero(np.bincount(which)):
            mine = which == index
            pieces.append((mine, self._map(int(index)), wanted[mine] - self._bases[index]))
        load_rows((rows, numbers) for _, rows, numbers in pieces)
        for mine, rows, numbers in pieces:
            found[mine] = rows[numbers]
        return found

    def blocks(self, rows: int = BLOCK_ROWS) -> Iterator[tuple[Ids, Floats]]:
        """Every row in id order, as (n,) int64 ids and (n, dim) float32, ``n`` <= ``rows``."""
        pieces: list[tuple[int, int, int]] = []
        room = rows
        for index, part in enumerate(self.parts):
            start = 0
            while start < part.rows:
                stop = min(part.rows, start + room)
                pieces.append((index, start, stop))
                room -= stop - start
                start = stop
                if not room:
                    yield self._read(pieces)
                    pieces, room = [], rows
        if pieces:
            yield self._read(pieces)

    def _read(self, pieces: list[tuple[int, int, int]]) -> tuple[Ids, Floats]:
        count = sum(stop - start for _, start, stop in pieces)
        ids = np.empty(count, dtype=np.int64)
        block = np.empty((count, self.dim), dtype=np.float32)
        at = 0
        for index, start, stop in pieces:
            end = at + stop - start
            base = self.parts[index].base
            ids[at:end] = np.arange(base + start, base + stop)
            block[at:end] = self._map(index)[start:stop]
            at = end
        return ids, block

    def _part_of(self, ids: Ids) -> npt.NDArray[np.intp]:
        which = np.searchsorted(self._bases, ids, side="right") - 1
        outside = which < 0
        if self.parts:
            outside |= ids >= self._ends[which]
        if outside.any():
            raise IntegrityError(
                f"row {int(ids[outside][0])} has no vector", f"run {self._made_by} to make it"
            )
        return which

    def _map(self, index: int) -> npt.NDArray[np.float16] | RemoteRows:
        rows = self._mapped.get(index)
        if rows is None:
            rows = self._mapped[index] = _open(self.parts[index], self.dim, self._made_by)
        return rows


def sample_ids(live: Bits, count: int, seed: int) -> Ids:
    """(count,) sorted ids drawn uniformly, without repeats, from all rows of ``live``."""
    alive = np.flatnonzero(live)
    if count >= len(alive):
        return alive
    picked = np.random.default_rng(seed).choice(len(alive), count, replace=False, shuffle=False)
    picked.sort()
    return alive[picked]


def embedded(rows: Floats) -> Bits:
    """(n,) which rows of (n, dim) hold a vector at all: a row of zeros was not embedded."""
    return np.asarray(rows.any(axis=1))


def row_keys(rows: Floats) -> npt.NDArray[np.uint64]:
    """(n,) a 64-bit hash of each row of (n, dim): equal rows have equal keys.

    A random linear form over the rows' bits; two different float16 rows share a key with a
    chance of about 2**-50.
    """
    words = np.ascontiguousarray(rows).view(np.uint32)
    odd = np.random.default_rng(0).integers(0, 2**63, words.shape[1], dtype=np.uint64) * 2 + 1
    keys: npt.NDArray[np.uint64] = words.astype(np.uint64) @ odd
    return keys


def _open(part: VectorPart, dim: int, made_by: str) -> npt.NDArray[np.float16] | RemoteRows:
    file = in_blocks(Path(part.path))
    if file is not None:
        return RemoteRows(file, part.rows, dim)
    try:
        rows = np.lib.format.open_memmap(part.path, mode="r")
    except FileNotFoundError:
        raise IntegrityError(f"{part.path} is missing", f"run {made_by} to make it again") from None
    except Exception as error:  # a damaged header makes numpy fail in many ways
        raise IntegrityError(
            f"{part.path} is not a vector file ({error})", f"run {made_by} to make it again"
        ) from error
    if rows.shape != (part.rows, dim) or rows.dtype != np.float16:
        raise IntegrityError(
            f"{part.path} holds {rows.shape} {rows.dtype}, not ({part.rows}, {dim}) float16",
            "run retro verify",
        )
    # A plain array over the mapping: slicing a np.memmap costs more than reading the rows.
    return np.asarray(rows)
