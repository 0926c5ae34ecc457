"""Read rows of the chunk parts: in order for a stage, or a few by id for an answer."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from retro_cli.chunks.manifest import Part
from retro_cli.chunks.schema import ROW_GROUP
from retro_cli.errors import UsageError
from retro_cli.store.tables import open_parquet, readable

_OPEN_FILES = 64
HELD_BYTES = 1 << 22  # of row groups as they were read: some forty


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk as it stands in the database. ``start`` and ``end`` are characters."""

    id: int
    document: str
    source: str
    title: str
    position: int
    start: int
    end: int
    text: str
    has_next: bool


_COLUMNS = [
    "document",
    "source",
    "title",
    "position",
    "start",
    "end",
    "text",
    "has_next",
]


class ChunkRows:
    """Random access to chunks by id. Files are opened on first use and memory-mapped.

    To read a row group takes a millisecond, so those that were read last are held.
    """

    def __init__(self, folder: Path, parts: Sequence[Part], held_bytes: int = HELD_BYTES) -> None:
        self._folder, self._held_bytes = folder, held_bytes
        self._groups: OrderedDict[tuple[str, int, tuple[str, ...]], pa.Table] = OrderedDict()
        self._groups_bytes = 0
        self._parts = [part for part in parts if part.rows]
        self._bases = [part.base for part in self._parts]
        self._open: OrderedDict[str, pq.ParquetFile] = OrderedDict()

    def part_of(self, chunk_id: int) -> Part:
        """The part that holds a chunk. Raises UsageError for an id that no part has."""
        index = bisect_right(self._bases, chunk_id) - 1
        if index < 0 or chunk_id >= self._bases[index] + self._parts[index].rows:
            raise UsageError(
                f"there is no chunk {chunk_id}", "retro query prints the ids that exist"
            )
        return self._parts[index]

    def get(self, ids: Sequence[int]) -> list[Chunk]:
        """The chunks with these ids, in this order; each row group is read once."""
        return [Chunk(id=chunk_id, **row) for chunk_id, row in self._values(ids, _COLUMNS)]

    def tokens(self, ids: Sequence[int]) -> list[bytes]:
        """Their token ids as they are stored, little-endian."""
        return [row["tokens"] for _, row in self._values(ids, ["tokens"])]

    def _values(
        self, ids: Sequence[int], columns: list[str]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        groups: dict[tuple[str, int], list[int]] = {}
        for chunk_id in sorted(set(ids)):
            part = self.part_of(chunk_id)
            group = (chunk_id - part.base) // self._group_rows(part.chunks_file)
            groups.setdefault((part.chunks_file, group), []).append(chunk_id)
        found: dict[int, dict[str, Any]] = {}
        for (name, group), members in groups.items():
            base = self.part_of(members[0]).base + group * self._group_rows(name)
            with readable(self._folder / name):
                table = self._group(name, group, columns)
                for member in members:
                    found[member] = {name: _there(table[name][member - base]) for name in columns}
        return ((chunk_id, found[chunk_id]) for chunk_id in ids)

    def document(self, chunk_id: int) -> dict[str, Any]:
        """The document row of a chunk; ``first`` is a chunk id, ``metadata`` is JSON text."""
        part = self.part_of(chunk_id)
        with readable(self._folder / part.chunks_file):
            group, row = divmod(chunk_id - part.base, self._group_rows(part.chunks_file))
            doc = self._file(part.chunks_file).read_row_group(group, columns=["doc"])["doc"][row]
        columns = [
            "document",
            "uri",
            "source",
            "title",
            "metadata",
            "characters",
            "first",
            "chunks",
        ]
        with readable(self._folder / part.docs_file):
            group, row = divmod(doc.as_py(), self._group_rows(part.docs_file))
            table = self._file(part.docs_file).read_row_group(group, columns=columns)
            values: dict[str, Any] = table.slice(row, 1).to_pylist()[0]
            values["first"] += part.base
        return values

    def _group(self, name: str, group: int, columns: list[str]) -> pa.Table:
        """A row group; the one that was used longest ago gives way."""
        key = name, group, tuple(columns)
        if key in self._groups:
            self._groups.move_to_end(key)
            return self._groups[key]
        table = self._file(name).read_row_group(group, columns=columns, use_threads=False)
        self._groups[key] = table
        self._groups_bytes += table.nbytes
        while self._groups_bytes > self._held_bytes and len(self._groups) > 1:
            self._groups_bytes -= self._groups.popitem(last=False)[1].nbytes
        return table

    def _group_rows(self, name: str) -> int:
        """Rows in every row group of a file but the last, whatever it was written with."""
        with readable(self._folder / name):
            rows: int = self._file(name).metadata.row_group(0).num_rows
        return max(rows, 1)

    def _file(self, name: str) -> pq.ParquetFile:
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        with readable(self._folder / name):
            file = open_parquet(self._folder / name)
        self._open[name] = file
        if len(self._open) > _OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        return file

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()
        self._groups.clear()
        self._groups_bytes = 0


def _there(value: pa.Scalar) -> Any:
    """No column that retro writes has nulls."""
    if not value.is_valid:
        raise ValueError("a value is missing")
    return value.as_py()


def read_blocks(
    path: Path, columns: Sequence[str], rows: int = 16 * ROW_GROUP
) -> Iterator[pa.RecordBatch]:
    """A part's columns in order, about ``rows`` rows at a time."""
    with readable(path), open_parquet(path) as file:
        yield from file.iter_batches(batch_size=rows, columns=list(columns))


def token_ids(column: pa.Array, width: int) -> list[npt.NDArray[np.unsignedinteger[Any]]]:
    """The stored token ids of some rows; ``width`` is 2 or 4 bytes a token."""
    dtype = np.dtype("<u2" if width == 2 else "<u4")
    return [np.frombuffer(value, dtype) for value in column.to_pylist()]
