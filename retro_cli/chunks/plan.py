"""Deal input into pieces of work: many small files into one, one big file into ranges. Pure."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from retro_cli.config import fingerprint
from retro_cli.corpus import Slice

MAX_FILES = 4096  # small files in one piece of work
TYPICAL_RECORD = 4096  # bytes; where only some of a file's records are wanted


@dataclass(frozen=True)
class Item:
    """A piece of work: the slices that become one part (or a few, if they hold very much)."""

    number: int
    slices: tuple[Slice, ...]

    def key(self, settings_fingerprint: str, hashes: Mapping[str, str]) -> str:
        """Equal for the same work on the same input; a journal line is reused only then.

        ``hashes`` gives the sha256 of each file by uri.
        """
        pieces = [
            [
                piece.file.uri,
                hashes[piece.file.uri],
                piece.start,
                piece.stop,
                _positions(piece.only),
            ]
            for piece in self.slices
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


def deal(slices: Iterable[Slice], first_number: int, target_bytes: int) -> list[Item]:
    """Group slices, in order, into items of about ``target_bytes``; none is split further."""
    groups: list[list[Slice]] = []
    room = 0
    for piece in slices:
        needed = weight(piece)
        if not groups or needed > room or len(groups[-1]) >= MAX_FILES:
            groups.append([])
            room = target_bytes
        groups[-1].append(piece)
        room -= needed
    return number_items(groups, first_number)


def number_items(groups: Sequence[Sequence[Slice]], first_number: int) -> list[Item]:
    return [Item(first_number + i, tuple(group)) for i, group in enumerate(groups)]
