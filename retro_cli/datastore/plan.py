"""Which chunks need keys, in which pieces, and after which text: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.manifest import Part
from retro_cli.config import fingerprint

Bits = npt.NDArray[np.bool_]
PIECE_ROWS = 1024  # chunks: some 64,000 tokens, a few minutes of a small model on a CPU
CONTEXT_ROWS = 64  # chunks before the first: more tokens than a window holds


@dataclass(frozen=True)
class Slice:
    """Consecutive rows of one document in a chunk part, [first, last), that want keys.

    context: the first row of the text before them that their keys may be made from.
    """

    context: int
    first: int
    last: int


@dataclass(frozen=True)
class Piece:
    """Slices of one chunk part that are done together: the unit of work that a kill loses."""

    part: Part
    slices: tuple[Slice, ...]

    @property
    def rows(self) -> int:
        return sum(each.last - each.first for each in self.slices)

    def identity(self, maker: str) -> str:
        spans = [[each.context, each.first, each.last] for each in self.slices]
        return fingerprint([self.part.written.files[0].sha256, self.part.base, spans, maker])


def slices(doc: npt.NDArray[np.integer], readable: Bits, wanted: Bits) -> Iterator[Slice]:
    """The wanted rows of a part, cut where the document, or what may be read of it, breaks off.

    doc: (rows,) whose each row is. readable: rows whose text may be read; wanted: those of them
    that need keys. No slice is longer than a piece.
    """
    breaks = np.ones(len(doc), dtype=bool)
    breaks[1:] = (doc[1:] != doc[:-1]) | ~readable[:-1]
    begin = np.maximum.accumulate(np.where(breaks, np.arange(len(doc)), 0))
    rows = np.flatnonzero(wanted & readable)
    if not len(rows):
        return
    edges = np.flatnonzero((np.diff(rows) != 1) | (begin[rows[1:]] != begin[rows[:-1]])) + 1
    for run in np.split(rows, edges):
        for start in range(0, len(run), PIECE_ROWS):
            first, last = int(run[start]), int(run[min(start + PIECE_ROWS, len(run)) - 1]) + 1
            yield Slice(max(int(begin[first]), first - CONTEXT_ROWS), first, last)


def pieces(part: Part, found: Iterable[Slice]) -> Iterator[Piece]:
    """Slices in order, a piece as soon as it has enough rows."""
    held: list[Slice] = []
    size = 0
    for each in found:
        if held and size + each.last - each.first > PIECE_ROWS:
            yield Piece(part, tuple(held))
            held, size = [], 0
        held.append(each)
        size += each.last - each.first
    if held:
        yield Piece(part, tuple(held))


@dataclass(frozen=True)
class Window:
    """Tokens [start, end) that a model reads at once; the states from ``skip`` on are kept."""

    start: int
    end: int
    skip: int


def windows(length: int, size: int, first: int = 0) -> Sequence[Window]:
    """Windows of at most ``size`` tokens that move by half of that: each position from ``first`` on
    is kept once, with half a window before it where there is so much."""
    step = max(1, size // 2)
    begin = max(0, first - step)
    found = []
    start, kept = begin, first
    while kept < length:
        end = min(start + size, length)
        found.append(Window(start, end, kept - start))
        start, kept = end - (size - step), end
    return found
