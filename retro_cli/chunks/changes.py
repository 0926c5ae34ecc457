"""What changed inside a file: its documents now against its documents in the database.

Documents match first by content (which includes the key), whatever their order. Of the rest, a
new document with the key of an old one replaces it. An old document that is neither matched nor
replaced has vanished; it dies only if the user asks for that (``--prune``).

A file may hold millions of documents, so they are rows of arrays here: about 40 bytes for each
old one while the file is read, and 24 for each new one that matches none.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.schema import digest

# Where a live document is (position of its part in the manifest, row of the part's document
# table), and 16-byte digests of its key and of its key and content. No key: an empty name.
OLD = np.dtype([("part", "i4"), ("row", "i4"), ("name", "S16"), ("content", "S16")])
Documents = npt.NDArray[np.void]  # of OLD
_BLOCK = 1 << 14  # new documents that are matched at once


@dataclass(frozen=True)
class Changes:
    """positions: sorted, of the records to chunk; ``kept`` old documents stay as they are.

    replaced, vanished: (n,) of OLD, the other old documents. ``added`` of the records to chunk
    replace none.
    """

    positions: array[int]
    added: int
    kept: int
    replaced: Documents
    vanished: Documents


def name_digest(key: str) -> bytes:
    return digest(key) if key else b""


def content_digest(key: str, content: bytes) -> bytes:
    """``content`` is the document's own hash, which leaves out its key."""
    return digest(key, content.hex())


def compare_documents(old: Documents, new: Iterable[tuple[int, str, bytes]]) -> Changes:
    """Compare a file's live documents (n,) of OLD with its records now.

    new: (position, key, hash) of each record, in any order.
    """
    waiting = _Waiting(old["content"])
    positions = array("q")
    names: list[npt.NDArray[np.bytes_]] = []
    for block in _blocks(new):
        fresh = ~waiting.take(np.array([content_digest(k, h) for _, k, h in block], "S16"))
        unmatched = [block[i] for i in np.flatnonzero(fresh)]
        positions.extend(position for position, _, _ in unmatched)
        names.append(np.array([name_digest(key) for _, key, _ in unmatched], "S16"))
    left = np.sort(old[waiting.left()], order=("part", "row"))
    fresh_names = np.concatenate([np.empty(0, "S16"), *names])
    superseded = np.isin(left["name"], fresh_names[fresh_names != b""])
    replaced = left[superseded]
    added = int((~np.isin(fresh_names, replaced["name"])).sum())
    kept = len(old) - len(left)
    ordered = array("q", sorted(positions))
    return Changes(ordered, added, kept, replaced, left[~superseded])


def _blocks(
    records: Iterable[tuple[int, str, bytes]],
) -> Iterable[list[tuple[int, str, bytes]]]:
    block: list[tuple[int, str, bytes]] = []
    for record in records:
        block.append(record)
        if len(block) == _BLOCK:
            yield block
            block = []
    if block:
        yield block


class _Waiting:
    """Contents of old documents that no new one has matched yet; equal ones are counted."""

    def __init__(self, contents: npt.NDArray[np.bytes_]) -> None:
        self._order = np.argsort(contents, kind="stable").astype(np.int32)
        self._sorted = contents[self._order]
        starts = np.ones(len(contents), dtype=bool)
        starts[1:] = self._sorted[1:] != self._sorted[:-1]
        self._start = np.flatnonzero(starts).astype(np.int32)  # of each group of equals
        self._size = np.diff(self._start, append=len(contents)).astype(np.int32)
        self._taken = np.zeros(len(self._start), dtype=np.int32)

    def take(self, contents: npt.NDArray[np.bytes_]) -> npt.NDArray[np.bool_]:
        """(n,) which of these an old document matches; each matches once."""
        if not len(self._sorted):
            return np.zeros(len(contents), dtype=bool)
        at = np.minimum(np.searchsorted(self._sorted, contents), len(self._sorted) - 1)
        found = np.flatnonzero(self._sorted[at] == contents)
        group = np.searchsorted(self._start, at[found], side="right") - 1
        by_group = np.argsort(group, kind="stable")
        first = np.searchsorted(group[by_group], group, side="left")
        turn = np.empty(len(group), dtype=np.int64)  # how many of its equals come before it here
        turn[by_group] = np.arange(len(group))
        turn -= first
        matched = self._taken[group] + turn < self._size[group]
        np.add.at(self._taken, group[matched], 1)
        result = np.zeros(len(contents), dtype=bool)
        result[found[matched]] = True
        return result

    def left(self) -> npt.NDArray[np.int32]:
        """The positions of the old documents that nothing matched."""
        offset = np.arange(len(self._sorted)) - np.repeat(self._start, self._size)
        return self._order[offset >= np.repeat(self._taken, self._size)]
