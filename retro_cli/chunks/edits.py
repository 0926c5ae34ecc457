"""What a run does to the table of input files: one edit for each file that is not as it was.

There may be an edit for each of a million files, so they are rows of a spool.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from operator import add
from typing import Any, Literal, NamedTuple

from retro_cli.chunks.inputs import CHANGED, NEW, KnownFile
from retro_cli.corpus import InputFile, Slice
from retro_cli.store.scratch import Place, Scratch

# Beside NEW and CHANGED: the same bytes with another time; missing although the input names its
# place, and kept or not; missing elsewhere, with other things to record of it.
TOUCHED, GONE, PRUNED, UNNAMED = "touched", "gone", "pruned", "unnamed"


class FileUpdate(NamedTuple):
    """The documents of one changed or pruned file, or of all of them.

    written:   to be chunked; ``added`` of them replace none
    kept:      found again as they were
    vanished:  gone from the file, but kept; with ``prune`` they are ``removed``
    set_aside: records that cannot be read
    """

    written: int = 0
    added: int = 0
    kept: int = 0
    replaced: int = 0
    vanished: int = 0
    removed: int = 0
    set_aside: int = 0

    def plus(self, other: FileUpdate) -> FileUpdate:
        return FileUpdate(*map(add, self, other))


class Piece(NamedTuple):
    """A slice of an edit's file; where the positions that ``only`` names are put aside."""

    start: int
    stop: int | None
    unit: Literal["bytes", "groups"]
    nbytes: int
    only: Place | None = None


class Edit(NamedTuple):
    """``known`` is to be recorded of the file, with the items that this run adds; ``pieces`` are
    to be chunked."""

    state: str
    known: KnownFile
    path: str = ""
    pieces: tuple[Piece, ...] = ()
    update: FileUpdate = FileUpdate()

    @classmethod
    def make(cls, values: list[Any]) -> Edit:
        """The edit again from its values in JSON."""
        state, (uri, size, mtime_ns, sha256, items, vanished), path, pieces, update = values
        known = KnownFile(uri, size, mtime_ns, sha256, tuple(items), vanished)
        return cls(state, known, path, tuple([Piece(*p) for p in pieces]), FileUpdate(*update))

    @property
    def uri(self) -> str:
        return self.known.uri

    @property
    def file(self) -> InputFile:
        return InputFile(self.uri, self.path, self.known.size, self.known.mtime_ns)

    @property
    def rereads(self) -> bool:
        """Whether what was set aside of the file before is to be forgotten."""
        return self.state in (NEW, CHANGED, PRUNED)

    def slices(self, scratch: Scratch) -> Iterator[Slice]:
        """What is to be chunked; ``scratch`` is where the positions were put aside."""
        file = self.file
        for start, stop, unit, nbytes, place in self.pieces:
            only = None
            if place is not None:
                only = array("q")
                only.frombytes(scratch.get(place))
            yield Slice(file, start, stop, only, unit, nbytes)


def pieces_of(slices: Iterable[Slice], scratch: Scratch) -> tuple[Piece, ...]:
    """The pieces that give these slices again."""
    return tuple(
        Piece(
            piece.start,
            piece.stop,
            piece.unit,
            piece.nbytes,
            None if piece.only is None else scratch.put(array("q", piece.only).tobytes()),
        )
        for piece in slices
    )
