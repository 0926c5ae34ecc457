"""Blank rows of a chunk part: its text leaves the disk, its ids and spans stay.

A blanked row has no text, no tokens, no names, a hash of zeros, and no row is continued by it. A
document that lost all its chunks loses its own names and metadata too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from retro_cli.chunks.manifest import Part, with_dead
from retro_cli.chunks.schema import CHUNK_DICTIONARY, CHUNKS, DOC_DICTIONARY, DOCS, ROW_GROUP
from retro_cli.store.atomic import STAGING, replacing, sync_folder
from retro_cli.store.files import FileRecord
from retro_cli.store.tables import read_columns

Bits = npt.NDArray[np.bool_]
NO_HASH = bytes(16)
_BLANK = {"tokens": b"", "metadata": "{}", "hash": NO_HASH, "text_hash": NO_HASH}
_KEPT = {"doc", "position", "has_next", "start", "end", "first", "chunks", "characters"}


def blanked(folder: Path, part: Part) -> Bits:
    """(rows,) which rows are blank already."""
    hashes = read_columns(folder / part.chunks_file, ["hash"])["hash"]
    same: Bits = pc.equal(hashes, pa.scalar(NO_HASH, pa.binary(16))).to_numpy()
    return same


def blank_rows(folder: Path, part: Part, rows: Bits, token_bytes: int) -> Part:
    """A copy of a part with some rows blank and dead, under a new name. rows: (part.rows,)."""
    table = read_columns(folder / part.docs_file, ["chunks"])
    chunks = table["chunks"].to_numpy().astype(np.int64)
    owner = np.repeat(np.arange(len(chunks)), chunks)
    lost = np.bincount(owner, weights=rows, minlength=len(chunks))
    whole = (lost == chunks) & (chunks > 0)
    blanks = _Blanks(rows, whole, lost > 0)
    stem = part.name.rsplit("-", 1)[0]
    chunk_file = _rewritten(folder / part.chunks_file, folder / f"{stem}.chunks", blanks.chunks)
    doc_file = _rewritten(folder / part.docs_file, folder / f"{stem}.docs", blanks.docs)
    name = f"{stem}-{chunk_file.sha256[:8]}"
    records = tuple(
        _renamed(folder, record, f"{name}.{kind}.parquet")
        for record, kind in ((chunk_file, "chunks"), (doc_file, "docs"))
    )
    sync_folder(folder)
    tokens = blanks.token_bytes // token_bytes
    written = replace(part.written, name=name, tokens=tokens, files=records)
    ranges = [(row, 1) for row in np.flatnonzero(rows).tolist()]
    return with_dead(replace(part, written=written), ranges, np.flatnonzero(whole).tolist())


class _Blanks:
    """The columns of a part with some rows blank, row group by row group."""

    def __init__(self, rows: Bits, whole: Bits, touched: Bits) -> None:
        self.rows, self.whole, self.touched = rows, whole, touched
        self.ends = np.append(rows[1:], False)  # a document's chunks are neighbours
        self.token_bytes = 0

    def chunks(self, batch: pa.RecordBatch, start: int) -> pa.RecordBatch:
        stop = start + len(batch)
        gone = pa.array(self.rows[start:stop])
        columns = {name: _blank(batch[name], name, gone) for name in CHUNKS.names}
        last = pc.or_(gone, pa.array(self.ends[start:stop]))
        columns["has_next"] = pc.and_(columns["has_next"], pc.invert(last))
        self.token_bytes += pc.sum(pc.binary_length(columns["tokens"])).as_py() or 0
        return pa.record_batch(list(columns.values()), schema=CHUNKS)

    def docs(self, batch: pa.RecordBatch, start: int) -> pa.RecordBatch:
        stop = start + len(batch)
        gone = pa.array(self.whole[start:stop])
        # A document that lost any chunk is no duplicate of one that lost none.
        touched = pa.array(self.touched[start:stop])
        columns = [
            _blank(batch[name], name, touched if name == "text_hash" else gone)
            for name in DOCS.names
        ]
        return pa.record_batch(columns, schema=DOCS)


def _blank(column: pa.Array, name: str, gone: pa.Array) -> pa.Array:
    if name in _KEPT:
        return column
    return pc.if_else(gone, pa.scalar(_BLANK.get(name, ""), column.type), column)


def _rewritten(
    source: Path, stem: Path, change: Callable[[pa.RecordBatch, int], pa.RecordBatch]
) -> FileRecord:
    staging = stem.with_name(stem.name + STAGING)
    dictionary = CHUNK_DICTIONARY if stem.name.endswith(".chunks") else DOC_DICTIONARY
    start = 0
    with (
        replacing(staging) as temporary,
        pq.ParquetFile(source, memory_map=True) as file,
        pq.ParquetWriter(
            temporary,
            file.schema_arrow,
            compression="zstd",
            use_dictionary=dictionary,
            write_statistics=False,
        ) as writer,
    ):
        for batch in file.iter_batches(batch_size=ROW_GROUP):
            writer.write_batch(change(batch, start))
            start += len(batch)
    return FileRecord.of(staging)


def _renamed(folder: Path, record: FileRecord, name: str) -> FileRecord:
    (folder / record.name).rename(folder / name)
    return FileRecord(name, record.bytes, record.sha256)
