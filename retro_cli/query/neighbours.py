"""Neighbour tables: the nearest chunks of every chunk, looked up once for training.

``neighbours/<name>/`` holds a Parquet file beside each chunk part: the row's chunk id, its ``k``
neighbours by descending score (-1 where there are fewer), and their cosines. A table belongs to
one generation; what has died or was filtered since is masked when it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from retro_cli.chunks.manifest import Part
from retro_cli.config import fingerprint
from retro_cli.errors import IntegrityError, NotBuiltYet, UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.query.overfetch import surviving
from retro_cli.query.retrieve import Retriever
from retro_cli.query.twins import Twins
from retro_cli.store.atomic import read_json, replacing, sweep_temporaries, write_json
from retro_cli.store.files import FileRecord, Verified
from retro_cli.store.journal import Journal
from retro_cli.store.layout import Layout
from retro_cli.store.tables import read_columns

MANIFEST, JOURNAL = "manifest.json", "journal.jsonl"
BLOCK = 2048  # queries searched together
NONE = -1
Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class NeighbourSettings:
    """k: neighbours of each chunk; copies: below which share of common shingles a chunk of another
    document may be a neighbour (1.0: any may)."""

    k: int = 2
    copies: float = 1.0


@dataclass(frozen=True)
class NeighbourManifest:
    """``generation`` made it; ``parts``: chunk part -> its file."""

    name: str
    generation: int
    settings: NeighbourSettings
    parts: dict[str, FileRecord] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        parts = {name: file.to_json() for name, file in self.parts.items()}
        return {**vars(self), "settings": asdict(self.settings), "parts": parts}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> NeighbourManifest:
        parts = {name: FileRecord.from_json(file) for name, file in value["parts"].items()}
        settings = NeighbourSettings(**value["settings"])
        return cls(**{**value, "settings": settings, "parts": parts})


@dataclass(frozen=True)
class NeighbourReport:
    """What a run did: ``full`` chunks have all ``k`` neighbours."""

    name: str
    generation: int
    rows: int
    rows_done: int
    full: int
    none: int


def find_neighbours(
    layout: Layout, name: str, settings: NeighbourSettings, progress: Progress = SILENT
) -> NeighbourReport:
    """Look up the neighbours of every chunk that may be shown. The caller holds the lock.

    Never among them: chunks of the same document or of one with the same text, and what rules
    keep out. A run that was killed goes on where it stopped.
    """
    if settings.k < 1:
        raise UsageError(f"-k {settings.k}", "ask for at least one neighbour")
    retriever = Retriever(layout)
    try:
        return _Run(layout, name, settings, retriever, progress).execute()
    finally:
        retriever.close()


class _Run:
    """One run over the parts of a generation."""

    def __init__(
        self,
        layout: Layout,
        name: str,
        settings: NeighbourSettings,
        retriever: Retriever,
        progress: Progress,
    ) -> None:
        self.folder = layout.neighbours / name
        self.folder.mkdir(parents=True, exist_ok=True)
        sweep_temporaries(self.folder)
        self.name, self.settings, self.retriever = name, settings, retriever
        self.progress = progress
        self.twins = Twins(retriever, settings.copies)

    def execute(self) -> NeighbourReport:
        generation = self.retriever.generation
        journal, verified = Journal(self.folder / JOURNAL), Verified(self.folder)
        parts: dict[str, FileRecord] = {}
        done = full = none = rows = 0
        wanted = [p for p in self.retriever.manifest.parts if self._rows(p).any()]
        self.progress.started("neighbours", sum(int(self._rows(p).sum()) for p in wanted), "chunks")
        for part in wanted:
            key = fingerprint([generation.to_json(), asdict(self.settings), part.name])
            record = journal.get(key)
            file = FileRecord.from_json(record) if record else None
            if file is None or verified.problem(file):
                file = self._write(part)
                verified.trust(file)
                journal.append(key, file.to_json())
                done += int(self._rows(part).sum())
            parts[part.name] = file
            found = _column(read_columns(self.folder / file.name, ["neighbours"]), self.settings.k)
            rows += len(found)
            full += int((found[:, -1] != NONE).sum())
            none += int((found[:, 0] == NONE).sum())
        self.progress.finished("neighbours")
        manifest = NeighbourManifest(self.name, generation.number, self.settings, parts)
        write_json(self.folder / MANIFEST, manifest.to_json())
        names = {file.name for file in parts.values()}
        verified.save(names)
        for path in self.folder.glob("*.parquet"):
            if path.name not in names:
                path.unlink()
        return NeighbourReport(self.name, generation.number, rows, done, full, none)

    def _rows(self, part: Part) -> Bits:
        return self.retriever.own[part.base : part.base + part.rows]

    def _write(self, part: Part) -> FileRecord:
        schema = pa.schema(
            [
                ("chunk", pa.int64()),
                ("neighbours", pa.list_(pa.int64(), self.settings.k)),
                ("scores", pa.list_(pa.float32(), self.settings.k)),
            ]
        )
        staging = self.folder / f"{part.name}.staging"
        with (
            replacing(staging) as temporary,
            pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
        ):
            for ids, neighbours, scores in self._blocks(part):
                columns = [
                    pa.array(ids),
                    pa.FixedSizeListArray.from_arrays(neighbours.ravel(), self.settings.k),
                    pa.FixedSizeListArray.from_arrays(scores.ravel(), self.settings.k),
                ]
                writer.write_batch(pa.record_batch(columns, schema=schema))
                self.progress.advanced("neighbours", len(ids))
        record = FileRecord.of(staging)
        name = f"{part.name}-{record.sha256[:8]}.parquet"
        staging.rename(self.folder / name)
        return FileRecord(name, record.bytes, record.sha256)

    def _blocks(self, part: Part) -> Iterator[tuple[Ids, Ids, Floats]]:
        rows = np.flatnonzero(self._rows(part)) + part.base
        for start in range(0, len(rows), BLOCK):
            ids = rows[start : start + BLOCK]
            queries = self.retriever.vectors.gather(self.twins.canonical[ids])
            neighbours, scores = self._search(ids, queries)
            yield ids, neighbours, scores

    def _search(self, ids: Ids, queries: Floats) -> tuple[Ids, Floats]:
        """(n, k) neighbours and scores of the chunks ``ids``."""

        def keep(asked: Ids, found: Ids) -> Ids:
            found = self.twins.shown(found)
            found[self.twins.forbidden(ids[asked], found)] = NONE
            return found

        return surviving(self.retriever, queries, self.settings.k, keep)


def table_names(layout: Layout) -> list[str]:
    """The neighbour tables of a database."""
    return sorted(path.parent.name for path in layout.neighbours.glob(f"*/{MANIFEST}"))


class NeighbourTable:
    """A table opened beside a generation; rows that may not be shown any more are masked."""

    def __init__(self, layout: Layout, name: str, own: Bits) -> None:
        """own: (next_id,) rows that may be shown now. Raises NotBuiltYet or IntegrityError."""
        path = layout.neighbours / name / MANIFEST
        if not path.is_file():
            raise NotBuiltYet(
                f"there is no neighbour table called {name}", f"run: retro neighbours {layout.root}"
            )
        try:
            self.manifest = NeighbourManifest.from_json(read_json(path))
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(
                f"{path} lacks what it should hold ({error})", "run retro neighbours again"
            ) from error
        self._folder, self._own = path.parent, own

    def read(self, part: str) -> tuple[Ids, Ids]:
        """(n,) ids of a part's chunks that may be shown, and (n, k) neighbours, -1 for none."""
        record = self.manifest.parts.get(part)
        k = self.manifest.settings.k
        if record is None:
            return np.empty(0, np.int64), np.empty((0, k), np.int64)
        table = read_columns(self._folder / record.name, ["chunk", "neighbours"])
        neighbours = _column(table, k)
        known = (neighbours >= 0) & (neighbours < len(self._own))
        alive = np.zeros_like(known)
        alive[known] = self._own[neighbours[known]]
        chunks = table["chunk"].to_numpy()
        shown = self._own[chunks]
        return chunks[shown], np.where(alive, neighbours, NONE)[shown]


def _column(table: pa.Table, k: int) -> Ids:
    flat = table["neighbours"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    found: Ids = flat.astype(np.int64).reshape(-1, k)
    return found
