"""Which documents and chunks come and go between two states of a chunk part.

Documents are compared as the chunk stage compares those of a file (``chunks/changes.py``), but
over all files: the file is part of what they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from retro_cli.chunks.changes import OLD, content_digest, name_digest
from retro_cli.chunks.live import Bits
from retro_cli.chunks.schema import digest

COLUMNS = ["document", "uri", "key", "source", "first", "chunks", "hash"]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Documents:
    """A number of documents and the names of the first of them, in order of their ids."""

    count: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceDifference:
    """The live chunks that a source got and lost."""

    source: str
    added: int
    removed: int


def live_chunks(table: pa.Table, alive: Bits) -> Counts:
    """(documents,) how many live chunks each document of a part has."""
    running = np.concatenate([[0], np.cumsum(alive)])
    first, count = (table[name].to_numpy().astype(np.int64) for name in ("first", "chunks"))
    counts: Counts = running[first + count] - running[first]
    return counts


@dataclass
class DocumentRows:
    """Documents that only one of the two generations has."""

    document: list[str] = field(default_factory=list)
    identity: list[str] = field(default_factory=list)  # of file and key, "" without a key
    content: list[bytes] = field(default_factory=list)

    def add(self, table: pa.Table, wanted: Bits) -> None:
        mine = table.select(["document", "uri", "key", "hash"]).filter(pa.array(wanted))
        for document, uri, key, content in zip(
            *(column.to_pylist() for column in mine.columns), strict=True
        ):
            self.document.append(document)
            self.identity.append(digest(uri, key).hex() if key else "")
            self.content.append(digest(uri, content.hex()))

    def old(self) -> npt.NDArray[np.void]:
        """(n,) of OLD, as the documents of a single file would be compared."""
        rows = np.zeros(len(self.document), OLD)
        rows["row"] = np.arange(len(rows))
        rows["name"] = [name_digest(identity) for identity in self.identity]
        rows["content"] = [
            content_digest(identity, content)
            for identity, content in zip(self.identity, self.content, strict=True)
        ]
        return rows

    def new(self) -> Iterator[tuple[int, str, bytes]]:
        for row, (identity, content) in enumerate(zip(self.identity, self.content, strict=True)):
            yield row, identity, content

    def identities(self, rows: Counts) -> npt.NDArray[np.bytes_]:
        """(n,) digests; without a key an empty one, which no replaced document has."""
        return np.array([name_digest(self.identity[row]) for row in rows.tolist()], "S16")

    def named(self, rows: Counts, most: int) -> Documents:
        return Documents(len(rows), tuple(self.document[row] for row in rows[:most].tolist()))


class SourceRows:
    """Live chunks that each source got and lost."""

    def __init__(self) -> None:
        self._added: dict[str, int] = {}
        self._removed: dict[str, int] = {}

    def add(self, table: pa.Table, had: Counts, has: Counts) -> None:
        rows = np.flatnonzero(had != has)
        names = table["source"].take(pa.array(rows)).to_pylist()
        for name, more in zip(names, (has - had)[rows].tolist(), strict=True):
            self._added[name] = self._added.get(name, 0) + max(more, 0)
            self._removed[name] = self._removed.get(name, 0) + max(-more, 0)

    def changed(self) -> tuple[SourceDifference, ...]:
        found = [SourceDifference(n, self._added[n], self._removed[n]) for n in self._added]
        return tuple(sorted(found, key=lambda s: (-s.added - s.removed, s.source)))
