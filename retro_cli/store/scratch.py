"""Room for what does not fit in memory: temporary files without a name.

Such a file goes with the process, whatever ends it, so there is nothing to sweep up.
"""

from __future__ import annotations

import heapq
import json
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

Row = TypeVar("Row", bound=tuple[Any, ...])
_BLOCK = 512  # rows that are written and read at once


class Place(NamedTuple):
    """Where in a scratch file some bytes lie."""

    offset: int
    size: int


class Scratch:
    """Bytes put aside, and read again in any order. The file is made when the first are."""

    def __init__(self, folder: Path | None = None) -> None:
        """``folder``: where the file is; by default where the system keeps temporary files."""
        self._folder = folder
        self._descriptor = -1
        self._end = 0

    def put(self, data: bytes) -> Place:
        """Raises OSError if the disk is full."""
        if self._descriptor < 0:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                self._descriptor = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._descriptor)
        place = Place(self._end, len(data))
        left = memoryview(data)
        while left:
            written = os.pwrite(self._descriptor, left, self._end)
            left = left[written:]
            self._end += written
        return place

    def get(self, place: Place) -> bytes:
        parts = []
        offset, size = place
        while size:
            parts.append(os.pread(self._descriptor, size, offset))
            offset += len(parts[-1])
            size -= len(parts[-1])
        return b"".join(parts)


class Spool(Generic[Row]):
    """Rows of plain values in the order they came, all but the last few of them on disk.

    ``make`` turns a row's values, lists instead of tuples among them, into the row again.
    """

    def __init__(self, scratch: Scratch, make: Callable[[list[Any]], Row]) -> None:
        self._scratch = scratch
        self._make = make
        self._places: list[Place] = []
        self._last: list[Row] = []

    def append(self, row: Row) -> None:
        self._last.append(row)
        if len(self._last) == _BLOCK:
            self._places.append(self._scratch.put(json.dumps(self._last).encode()))
            self._last = []

    def __len__(self) -> int:
        return len(self._places) * _BLOCK + len(self._last)

    def __iter__(self) -> Iterator[Row]:
        for place in self._places:
            yield from map(self._make, json.loads(self._scratch.get(place)))
        yield from self._last


class SortedSpool(Generic[Row]):
    """Rows of plain values that come in any order and are read in ascending order."""

    def __init__(
        self, scratch: Scratch, make: Callable[[list[Any]], Row], in_memory: int = 1 << 15
    ) -> None:
        """``in_memory``: how many rows may wait there."""
        self._scratch = scratch
        self._make = make
        self._in_memory = in_memory
        self._runs: list[Spool[Row]] = []
        self._rest: list[Row] = []

    def add(self, row: Row) -> None:
        self._rest.append(row)
        if len(self._rest) == self._in_memory:
            run = Spool(self._scratch, self._make)
            self._rest.sort()
            for each in self._rest:
                run.append(each)
            self._runs.append(run)
            self._rest = []

    def extend(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self.add(row)

    def __len__(self) -> int:
        return sum(map(len, self._runs)) + len(self._rest)

    def __iter__(self) -> Iterator[Row]:
        self._rest.sort()
        return heapq.merge(*self._runs, self._rest) if self._runs else iter(self._rest)
