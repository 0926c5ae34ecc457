"""What all neighbour tables share: their settings, their manifest, their parts, their mask.

``neighbours/<name>/`` holds a manifest and Parquet parts. A table belongs to one generation. Its
parts are written one after the other, and a run that was killed goes on after the last whole one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from retro_cli.engine import HERE, Load, Where, open_engine
from retro_cli.errors import IntegrityError, NotBuiltYet, UsageError
from retro_cli.events import Progress
from retro_cli.store.atomic import (
    STAGING,
    read_json,
    replacing,
    sweep_temporaries,
    unfinished,
    write_json,
)
from retro_cli.store.files import FileRecord, Verified, plain_name, typed
from retro_cli.store.journal import Journal
from retro_cli.store.layout import Layout
from retro_cli.store.tables import read_columns

MANIFEST, JOURNAL = "manifest.json", "journal.jsonl"
TASK = "neighbours"
NONE = -1
RATE = 1000.0  # chunks looked up in a second on one core, about
Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.bool_]
Batches = Callable[[], Iterator[tuple[pa.RecordBatch, int]]]


@dataclass(frozen=True)
class NeighbourSettings:
    """k: neighbours of each chunk; copies: below which share of common shingles a chunk of another
    document may be a neighbour (1.0: any may)."""

    k: int = 2
    copies: float = 1.0

    def check(self) -> None:
        """Raises UsageError for what no table can have."""
        if self.k < 1:
            raise UsageError(f"-k {self.k}", "ask for at least one neighbour")


@dataclass(frozen=True)
class TextsMade:
    """What a table of texts from outside the database was made of, and how it is read.

    tokenizer_sha256, chunk_length: what cut them, and into rows of how many tokens, of
    ``token_bytes`` bytes each. encoder: the fingerprint of what made the vectors, which have
    ``dim`` dimensions. inputs: the files. documents: how many there are in them.
    """

    tokenizer_sha256: str
    chunk_length: int
    token_bytes: int
    encoder: str
    dim: int
    inputs: tuple[str, ...]
    documents: int


@dataclass(frozen=True)
class NeighbourManifest:
    """``generation`` made it; ``parts``: a part's name -> its file. ``texts``: None for a table of
    the database's own chunks, whose parts are named as theirs are."""

    name: str
    generation: int
    settings: NeighbourSettings
    parts: dict[str, FileRecord] = field(default_factory=dict)
    texts: TextsMade | None = None

    def to_json(self) -> dict[str, Any]:
        parts = {name: file.to_json() for name, file in self.parts.items()}
        value = {**vars(self), "settings": asdict(self.settings), "parts": parts}
        del value["texts"]
        return value if self.texts is None else {**value, "texts": asdict(self.texts)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> NeighbourManifest:
        parts = {name: FileRecord.from_json(file) for name, file in value["parts"].items()}
        settings = typed(NeighbourSettings, value["settings"])
        texts = value.get("texts")
        if texts is not None:
            texts = typed(TextsMade, {**texts, "inputs": tuple(map(str, texts["inputs"]))})
        made = typed(cls, {**value, "settings": settings, "parts": parts, "texts": texts})
        plain_name(made.name)
        return made


@dataclass(frozen=True)
class NeighbourReport:
    """What a run did: ``full`` chunks have all ``k`` neighbours."""

    name: str
    generation: int
    rows: int
    rows_done: int
    full: int
    none: int


@dataclass(frozen=True)
class Work:
    """One part to be looked up. ``key`` identifies all that shapes its bytes, ``size`` is its share
    of the progress, and ``batches`` gives its rows, each batch with how much of that it is.
    ``elsewhere`` does so in another process, which is told how many threads it may use."""

    name: str
    key: str
    size: int
    batches: Batches
    elsewhere: Callable[[int], Batches] | None = None


def write_table(
    layout: Layout,
    manifest: NeighbourManifest,
    schema: pa.Schema,
    work: Sequence[Work],
    unit: str,
    progress: Progress,
    where: Where = HERE,
) -> NeighbourReport:
    """Write the parts that are not there yet, and commit. The caller holds the lock.

    manifest: the table's, without its parts. Raises UsageError for the name of a table of the
    other kind.
    """
    folder = layout.neighbours / manifest.name
    _check_kind(layout, manifest.name, texts=manifest.texts is not None)
    folder.mkdir(parents=True, exist_ok=True)
    sweep_temporaries(folder)
    journal, verified = Journal(folder / JOURNAL), Verified(folder)
    progress.started(TASK, sum(each.size for each in work), unit)
    parts = _finished_before(work, journal, verified, progress)
    waiting = [each for each in work if each.name not in parts]
    for each, file in _made(folder, waiting, schema, where, progress):
        verified.trust(file)
        journal.append(each.key, file.to_json())
        parts[each.name] = file
    progress.finished(TASK)
    write_json(folder / MANIFEST, replace(manifest, parts=parts).to_json())
    names = {file.name for file in parts.values()}
    verified.save(names)
    for path in folder.glob("*.parquet"):
        if path.name not in names:
            path.unlink()
    return _report(folder, manifest, parts, {each.name for each in waiting})


def _finished_before(
    work: Sequence[Work], journal: Journal, verified: Verified, progress: Progress
) -> dict[str, FileRecord]:
    """The parts that an interrupted run made, as far as they are whole."""
    parts: dict[str, FileRecord] = {}
    for each in work:
        record = journal.get(each.key)
        file = FileRecord.from_json(record) if record else None
        if file is not None and not verified.problem(file):
            parts[each.name] = file
            progress.advanced(TASK, each.size)
    return parts


def _made(
    folder: Path, work: Sequence[Work], schema: pa.Schema, where: Where, progress: Progress
) -> Iterator[tuple[Work, FileRecord]]:
    if any(each.elsewhere is None for each in work):
        where = HERE
    load = Load(len(work), sum(each.size for each in work) / RATE, folder)
    engine = open_engine(where, load, progress)
    advance = partial(progress.advanced, TASK) if engine.here else None
    pieces = (
        (each.name, each.elsewhere(engine.threads) if each.elsewhere and advance is None
         else each.batches)
        for each in work
    )  # fmt: skip
    with closing(
        engine.run(partial(write_part, folder.absolute(), schema, advance), pieces)
    ) as made:
        for index, file in made:
            if not engine.here:
                progress.advanced(TASK, work[index].size)
            yield work[index], file


def write_part(
    folder: Path,
    schema: pa.Schema,
    advance: Callable[[int], None] | None,
    piece: tuple[str, Batches],
) -> FileRecord:
    """Write the part of a name from its batches. Runs in a worker process, then without
    ``advance``."""
    name, batches = piece
    staging = unfinished(folder / name, STAGING)
    with (
        replacing(staging) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for batch, amount in batches():
            writer.write_batch(batch)
            if advance is not None:
                advance(amount)
    record = FileRecord.of(staging)
    final = f"{name}-{record.sha256[:8]}.parquet"
    staging.rename(folder / final)
    return FileRecord(final, record.bytes, record.sha256)


def _report(
    folder: Path, manifest: NeighbourManifest, parts: dict[str, FileRecord], fresh: set[str]
) -> NeighbourReport:
    done = full = none = rows = 0
    for name, file in parts.items():
        found = wide(read_columns(folder / file.name, ["neighbours"]), "neighbours")
        rows += len(found)
        done += len(found) if name in fresh else 0
        full += int((found[:, -1] != NONE).sum())
        none += int((found[:, 0] == NONE).sum())
    return NeighbourReport(manifest.name, manifest.generation, rows, done, full, none)


def found_fields(k: int) -> list[tuple[str, pa.DataType]]:
    """The columns that every table has: neighbours by falling score, and their cosines."""
    return [("neighbours", pa.list_(pa.int64(), k)), ("scores", pa.list_(pa.float32(), k))]


def found_columns(neighbours: Ids, scores: Floats) -> list[pa.Array]:
    """(n, k) neighbours and scores as the columns of ``found_fields``."""
    k = neighbours.shape[1]
    return [pa.FixedSizeListArray.from_arrays(a.ravel(), k) for a in (neighbours, scores)]


def wide(table: pa.Table, column: str) -> npt.NDArray[Any]:
    """(n, k) values of a column of lists, all of one length."""
    lists = table[column].combine_chunks()
    flat = lists.flatten().to_numpy(zero_copy_only=False)
    found: npt.NDArray[Any] = flat.reshape(len(lists), lists.type.list_size)
    return found


def masked(neighbours: Ids, own: Bits) -> Ids:
    """The same, -1 for what may not be shown now. own: (next_id,) rows that may."""
    known = (neighbours >= 0) & (neighbours < len(own))
    alive = np.zeros_like(known)
    alive[known] = own[neighbours[known]]
    return np.where(alive, neighbours, NONE)


def table_names(layout: Layout) -> list[str]:
    """The neighbour tables of a database, of both kinds."""
    return sorted(path.parent.name for path in layout.neighbours.glob(f"*/{MANIFEST}"))


def load_table(layout: Layout, name: str) -> NeighbourManifest:
    """Raises NotBuiltYet where there is no such table, IntegrityError where it is damaged."""
    path = layout.neighbours / name / MANIFEST
    if not path.is_file():
        raise NotBuiltYet(
            f"there is no neighbour table called {name}", f"run: retro neighbours {layout.root}"
        )
    try:
        return NeighbourManifest.from_json(read_json(path))
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{path} lacks what it should hold ({error})", "run retro neighbours again"
        ) from error


def _check_kind(layout: Layout, name: str, *, texts: bool) -> None:
    if (layout.neighbours / name / MANIFEST).is_file():
        load_kind(layout, name, texts=texts)


def load_kind(layout: Layout, name: str, *, texts: bool) -> NeighbourManifest:
    """``load_table``, of the one kind or the other. Raises UsageError besides."""
    manifest = load_table(layout, name)
    if (manifest.texts is not None) != texts:
        what = "the database's own chunks" if texts else "texts from outside the database"
        raise UsageError(
            f"the neighbour table {name} is one of {what}", "name another table with --as"
        )
    return manifest
