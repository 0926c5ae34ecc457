"""Chunks and vectors out of a database, in the order that ``embed --from`` takes them back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.live import own_live, searchable
from retro_cli.chunks.manifest import Part, require_manifest
from retro_cli.chunks.rows import ChunkRows, read_blocks
from retro_cli.embeddings.manifest import EmbeddingManifest
from retro_cli.embeddings.manifest import require_manifest as require_embeddings
from retro_cli.errors import UsageError
from retro_cli.filters.exclusion import exclude
from retro_cli.filters.ledger import load_ledger
from retro_cli.index.state import read_state
from retro_cli.store.atomic import check_output, disk_errors, replacing
from retro_cli.store.layout import Layout

Ids = npt.NDArray[np.int64]
COLUMNS = ["document", "source", "title", "position", "start", "end", "text"]


def export(layout: Layout, out: Path, *, vectors: bool, with_filtered: bool = False) -> int:
    """Write every chunk that has a vector of its own; the number of rows is returned.

    What filter rules take is left out unless ``with_filtered``. A text that several documents hold
    is named after the first of them that is left, as an answer names it.

    ``.parquet``: id, document, source, title, position, start, end, text and, with ``vectors``,
    vector (float32). ``.jsonl``: the same, a line each. ``.npy``: (n, dim) float32, vectors only.
    """
    layout.require()
    chunks = require_manifest(layout.chunks)
    aliases = Aliases.load(layout.chunks, chunks.aliases)
    own = own_live(chunks)
    if not with_filtered:
        own &= ~exclude(layout, chunks, aliases, load_ledger(layout)).rows
    ids = np.flatnonzero(searchable(own, aliases))
    embeddings = None
    if vectors or out.suffix == ".npy":
        embeddings = require_embeddings(layout.embeddings)
        read_state(layout)  # raises unless every chunk has its vector
    writers = {".parquet": _to_parquet, ".jsonl": _to_jsonl, ".npy": _to_npy}
    if out.suffix not in writers:
        raise UsageError(f"{out}: unknown format", "name a .parquet, .jsonl or .npy file")
    check_output(out)
    tables = _tables(layout, chunks.parts, ids, embeddings, texts=out.suffix != ".npy")
    if out.suffix != ".npy":
        tables = _named(layout, chunks.parts, tables, aliases.shown(own))
    with replacing(out) as temporary, disk_errors(out):
        writers[out.suffix](temporary, tables, len(ids), embeddings)
    return len(ids)


def _tables(
    layout: Layout,
    parts: tuple[Part, ...],
    ids: np.ndarray,
    embeddings: EmbeddingManifest | None,
    *,
    texts: bool,
) -> Iterator[pa.Table]:
    for part in parts:
        low, high = np.searchsorted(ids, [part.base, part.base + part.rows])
        rows = ids[low:high] - part.base
        if not len(rows):
            continue
        stored = _stored(layout, part, embeddings)
        done = 0
        for batch in read_blocks(layout.chunks / part.chunks_file, COLUMNS if texts else ["doc"]):
            inside = rows[(rows >= done) & (rows < done + len(batch))] - done
            table = pa.Table.from_batches([batch]).take(pa.array(inside))
            table = table.add_column(0, "id", pa.array(inside + done + part.base))
            if stored is not None:
                block = stored[done : done + len(batch)][inside].astype(np.float32)
                vector = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), block.shape[1])
                table = table.append_column("vector", vector)
            yield table
            done += len(batch)


def _named(
    layout: Layout, parts: tuple[Part, ...], tables: Iterator[pa.Table], shown: Ids
) -> Iterator[pa.Table]:
    """Rows whose own document is gone, in the names of those that they stand for now."""
    rows = ChunkRows(layout.chunks, parts)
    for table in tables:
        ids = table["id"].to_numpy()
        gone = np.flatnonzero(shown[ids] != ids)
        chunks = rows.get(shown[ids[gone]].tolist())
        for at, name in enumerate(table.schema.names) if len(gone) else ():
            if name in ("id", *COLUMNS):
                values = table[name].to_pylist()
                for row, chunk in zip(gone.tolist(), chunks, strict=True):
                    values[row] = getattr(chunk, name)
                field = table.schema.field(at)
                table = table.set_column(at, field, pa.array(values, field.type))
        yield table
    rows.close()


def _stored(layout: Layout, part: Part, embeddings: EmbeddingManifest | None) -> np.ndarray | None:
    if embeddings is None:
        return None
    file = embeddings.parts[part.name].file.name
    stored: np.ndarray = np.load(layout.embeddings / file, mmap_mode="r", allow_pickle=False)
    return stored


def _to_parquet(
    path: Path, tables: Iterator[pa.Table], rows: int, embeddings: EmbeddingManifest | None
) -> None:
    writer: pq.ParquetWriter | None = None
    for table in tables:
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer is None:
        pq.write_table(pa.table({"id": pa.array([], pa.int64())}), path)
    else:
        writer.close()


def _to_jsonl(
    path: Path, tables: Iterator[pa.Table], rows: int, embeddings: EmbeddingManifest | None
) -> None:
    import json

    with path.open("w", encoding="utf-8") as file:
        for table in tables:
            for row in table.to_pylist():
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _to_npy(
    path: Path, tables: Iterator[pa.Table], rows: int, embeddings: EmbeddingManifest | None
) -> None:
    dim = embeddings.encoder.dim if embeddings else 0
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
        np.lib.format.write_array_header_1_0(file, header)
        for table in tables:
            vectors = table["vector"].combine_chunks().flatten().to_numpy().astype("<f4")
            file.write(vectors.data)  # tofile would not say why it failed
