"""Neighbour tables of the database: the nearest chunks of every chunk, looked up for training.

A part lies beside each chunk part: the row's chunk id, its ``k`` neighbours by descending score
(-1 where there are fewer), and their cosines. What has died or was filtered since is masked when
it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from retro_cli.chunks.manifest import Part
from retro_cli.config import fingerprint
from retro_cli.engine import HERE, Where
from retro_cli.errors import IntegrityError
from retro_cli.events import SILENT, Progress
from retro_cli.index.exact import faiss_threads
from retro_cli.query.overfetch import surviving
from retro_cli.query.retrieve import Retriever
from retro_cli.query.table import (
    NONE,
    NeighbourManifest,
    NeighbourReport,
    NeighbourSettings,
    Work,
    found_columns,
    found_fields,
    load_kind,
    masked,
    wide,
    write_table,
)
from retro_cli.query.twins import Copies, Documents, Entries, StoredTokens
from retro_cli.store.layout import Layout
from retro_cli.store.tables import read_columns

BLOCK = 2048  # queries searched together
Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.bool_]


def find_neighbours(
    layout: Layout,
    name: str,
    settings: NeighbourSettings,
    progress: Progress = SILENT,
    where: Where = HERE,
) -> NeighbourReport:
    """Look up the neighbours of every chunk that may be shown. The caller holds the lock.

    Never among them: chunks of the same document or of one with the same text, and what rules
    keep out. A run that was killed goes on where it stopped.
    """
    settings.check()
    retriever = Retriever(layout)
    try:
        search = _Search(retriever, settings)
        generation = retriever.generation
        work = [
            Work(
                part.name,
                fingerprint([generation.to_json(), asdict(settings), part.name]),
                int(search.rows(part).sum()),
                partial(search.batches, part),
                partial(_Elsewhere, layout.root.absolute(), generation.number, settings, part.name),
            )
            for part in retriever.manifest.parts
            if search.rows(part).any()
        ]
        manifest = NeighbourManifest(name, generation.number, settings)
        return write_table(layout, manifest, search.schema, work, "chunks", progress, where)
    finally:
        retriever.close()


@dataclass(frozen=True)
class _Elsewhere:
    """The batches of one part for a process that has opened nothing yet."""

    root: Path
    generation: int
    settings: NeighbourSettings
    part: str
    threads: int

    def __call__(self) -> Iterator[tuple[pa.RecordBatch, int]]:
        search = _opened(self.root, self.generation, self.settings)
        part = next(each for each in search.retriever.manifest.parts if each.name == self.part)
        with faiss_threads(self.threads):
            yield from search.batches(part)


@lru_cache(maxsize=1)
def _opened(root: Path, generation: int, settings: NeighbourSettings) -> _Search:
    """Raises IntegrityError unless the generation is the one that queries see here too."""
    retriever = Retriever(Layout(root))
    if retriever.generation.number != generation:
        raise IntegrityError(
            f"{root} is at generation {retriever.generation.number} on one machine and at "
            f"{generation} on another",
            "see that all machines share one file system, and run it again",
        )
    return _Search(retriever, settings)


class _Search:
    """The neighbours of one generation's own chunks."""

    def __init__(self, retriever: Retriever, settings: NeighbourSettings) -> None:
        self.retriever, self.settings = retriever, settings
        self.schema = pa.schema([("chunk", pa.int64()), *found_fields(settings.k)])
        self.entries = Entries(retriever)
        self.documents = Documents(retriever, self.entries)
        self.tokens = StoredTokens(retriever)
        self.copies = Copies(settings.copies, self.tokens)

    def rows(self, part: Part) -> Bits:
        return self.retriever.own[part.base : part.base + part.rows]

    def batches(self, part: Part) -> Iterator[tuple[pa.RecordBatch, int]]:
        rows = np.flatnonzero(self.rows(part)) + part.base
        for start in range(0, len(rows), BLOCK):
            ids = rows[start : start + BLOCK]
            columns = [pa.array(ids), *found_columns(*self._found(ids))]
            yield pa.record_batch(columns, schema=self.schema), len(ids)

    def _found(self, ids: Ids) -> tuple[Ids, Floats]:
        """(n, k) neighbours and scores of the chunks ``ids``."""
        canonical = self.entries.canonical[ids]

        def keep(asked: Ids, found: Ids) -> Ids:
            bad = self.documents.same(found, ids[asked])
            found = self.entries.shown(found)
            bad |= found == NONE
            self.copies.mark(lambda row: self.tokens(int(ids[asked[row]])), found, bad)
            found[bad] = NONE
            return found

        queries = self.retriever.vectors.gather(canonical)
        return surviving(self.retriever, queries, self.settings.k, keep)


class NeighbourTable:
    """A table opened beside a generation; rows that may not be shown any more are masked."""

    def __init__(self, layout: Layout, name: str, own: Bits) -> None:
        """own: (next_id,) rows that may be shown now. Raises NotBuiltYet, IntegrityError, and
        UsageError for a table of texts."""
        self.manifest = load_kind(layout, name, texts=False)
        self._folder, self._own = layout.neighbours / name, own

    def read(self, part: str) -> tuple[Ids, Ids]:
        """(n,) ids of a part's chunks that may be shown, and (n, k) neighbours, -1 for none."""
        record = self.manifest.parts.get(part)
        if record is None:
            return np.empty(0, np.int64), np.empty((0, self.manifest.settings.k), np.int64)
        table = read_columns(self._folder / record.name, ["chunk", "neighbours"])
        chunks = table["chunk"].to_numpy()
        shown = self._own[chunks]
        return chunks[shown], masked(wide(table, "neighbours"), self._own)[shown]

    def given(self) -> Iterator[Ids]:
        """Every chunk id that a reader is given, part by part."""
        for part in self.manifest.parts:
            chunks, neighbours = self.read(part)
            yield np.append(chunks, neighbours[neighbours != NONE])
