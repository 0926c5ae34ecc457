"""Deal input into pieces of work: many small files into one, one big file into ranges. Pure."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from retro_cli.config import fingerprint
from retro_cli.corpus import Slice

MAX_FILES = 4096  # small files in one piece of work
TYPICAL_RECORD = 4096  # bytes; where only some of a file's records are wanted


@dataclass(frozen=True, slots=True)
class Outline:
    """What is kept of an item for as long as the run lasts. ``slices``: how many it has."""

    key: str
    weight: int
    slices: int


@dataclass(frozen=True)
class Item:
    """A piece of work: the slices that become one part (or a few, if they hold very much).

    ``hashes`` are the sha256 of the slices' files.
    """

    number: int
    slices: tuple[Slice, ...]
    hashes: tuple[str, ...]

    @property
    def weight(self) -> int:
        return sum(map(weight, self.slices))

    def outline(self, settings_fingerprint: str) -> Outline:
        return Outline(self.key(settings_fingerprint), self.weight, len(self.slices))

    def key(self, settings_fingerprint: str) -> str:
        """Equal for the same work on the same input; a journal line is reused only then."""
        pieces = [
            [piece.file.uri, sha256, piece.start, piece.stop, _positions(piece.only)]
            for piece, sha256 in zip(self.slices, self.hashes, strict=True)
        ]
        return fingerprint([self.number, settings_fingerprint, pieces])


def _positions(only: Sequence[int] | None) -> str | None:
    return None if only is None else hashlib.sha256(array("q", only).tobytes()).hexdigest()


def weight(piece: Slice) -> int:
    """Roughly how many bytes of documents a slice holds, at least 1."""
    size = piece.file.size
    if piece.only is not None:
        return max(1, min(size, len(piece.only) * TYPICAL_RECORD))
    if piece.unit == "groups":
        return max(1, piece.nbytes)
    return max(1, (size if piece.stop is None else piece.stop) - piece.start)


def deal(
    pieces: Iterable[tuple[Slice, str]], first_number: int, target_bytes: int
) -> Iterator[Item]:
    """Group slices, in order, into items of about ``target_bytes``; none is split further.

    With each slice comes the sha256 of its file.
    """
    group: list[tuple[Slice, str]] = []
    room = 0
    for piece in pieces:
        needed = weight(piece[0])
        if group and (needed > room or len(group) >= MAX_FILES):
            yield _item(first_number, group)
            first_number += 1
            group = []
        if not group:
            room = target_bytes
        group.append(piece)
        room -= needed
    if group:
        yield _item(first_number, group)


def _item(number: int, group: Sequence[tuple[Slice, str]]) -> Item:
    slices, hashes = zip(*group, strict=True)
    return Item(number, slices, hashes)
