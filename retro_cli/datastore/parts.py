"""The files of a datastore's parts, and all its tokens by number.

A part's table has a row a chunk: ``chunk``, its id; ``since``, the first chunk whose text its keys
may have been made from; ``count``, its tokens; ``values``, these tokens, four bytes each. The
values of a chunk that was purged are empty, its keys zero, and its count what it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from retro_cli.datastore.manifest import MAKE, DatastoreManifest, KeyPart
from retro_cli.embeddings.work import write_vectors
from retro_cli.errors import IntegrityError
from retro_cli.index.vectors import VectorPart, Vectors
from retro_cli.store.atomic import replacing
from retro_cli.store.files import FileRecord
from retro_cli.store.tables import read_columns

Ids = npt.NDArray[np.int64]
Bits = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
SCHEMA = pa.schema(
    [
        ("chunk", pa.int64()),
        ("since", pa.int64()),
        ("count", pa.int32()),
        ("values", pa.binary()),
    ]
)


@dataclass(frozen=True)
class KeyRows:
    """Chunks of a part, in the order of their tokens. values: None for one that was purged."""

    chunk: Ids
    since: Ids
    count: Ids
    values: tuple[npt.NDArray[np.int32] | None, ...]

    @property
    def there(self) -> Bits:
        """(n,) which chunks were not purged."""
        return np.array([values is not None for values in self.values], dtype=bool)

    @property
    def tokens(self) -> int:
        return int(self.count.sum())


def read_rows(folder: Path, part: KeyPart) -> KeyRows:
    """Raises IntegrityError if the table is damaged or not the part's."""
    table = read_columns(folder / part.rows.name)
    if table.schema.names != SCHEMA.names:
        raise IntegrityError(f"{folder / part.rows.name} is no table of tokens", f"run {MAKE}")
    count = table["count"].to_numpy().astype(np.int64)
    values = tuple(
        np.frombuffer(data, "<i4").astype(np.int32) if data or not length else None
        for data, length in zip(table["values"].to_pylist(), count.tolist(), strict=True)
    )
    rows = KeyRows(table["chunk"].to_numpy(), table["since"].to_numpy(), count, values)
    whole = all(v is None or len(v) == n for v, n in zip(values, count.tolist(), strict=True))
    if rows.tokens != part.tokens or not whole:
        raise IntegrityError(f"{folder / part.rows.name} does not fit its keys", f"run {MAKE}")
    return rows


def write_part(
    folder: Path, stem: str, base: int, rows: KeyRows, dim: int, blocks: Iterable[Floats]
) -> KeyPart:
    """Write a part under names that end in the hash of their content. blocks: (?, dim) keys."""
    keys = write_vectors(folder / f"keys-{stem}", rows.tokens, dim, iter(blocks))
    data = [b"" if v is None else v.astype("<i4").tobytes() for v in rows.values]
    table = pa.table(
        [rows.chunk, rows.since, rows.count.astype(np.int32), pa.array(data, pa.binary())],
        schema=SCHEMA,
    )
    staging = folder / f"tokens-{stem}.staging"
    with replacing(staging) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_statistics=False)
    record = FileRecord.of(staging)
    name = f"tokens-{stem}-{record.sha256[:8]}.parquet"
    staging.rename(folder / name)
    return KeyPart(base, rows.tokens, keys, FileRecord(name, record.bytes, record.sha256))


class Tokens:
    """All tokens of a datastore: which chunk each belongs to, at which place, and what it is.

    There is nothing between two parts, and nothing of a purged chunk: such ids belong to chunk -1.
    """

    def __init__(self, folder: Path, manifest: DatastoreManifest) -> None:
        self.rows = [read_rows(folder, part) for part in manifest.parts]
        self.total = manifest.next_token
        self._bases = [part.base for part in manifest.parts]
        starts, chunks = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        values: list[npt.NDArray[np.int32] | None] = []
        for part, rows in zip(manifest.parts, self.rows, strict=True):
            starts.append(part.base + np.cumsum(rows.count) - rows.count)
            chunks.append(np.where(rows.there, rows.chunk, -1))
            values.extend(rows.values)
        self._starts, self._chunks = np.concatenate(starts), np.concatenate(chunks)
        self._values = values

    def of_chunks(self, wanted: Bits) -> Bits:
        """(total,) bool by token id: the tokens of the chunks that are wanted (by id)."""
        inside = (self._chunks >= 0) & (self._chunks < len(wanted))
        chosen = np.zeros(len(self._chunks), dtype=bool)
        chosen[inside] = wanted[self._chunks[inside]]
        found = np.zeros(self.total, dtype=bool)
        row = 0
        for base, rows in zip(self._bases, self.rows, strict=True):
            mine = chosen[row : row + len(rows.chunk)]
            found[base : base + rows.tokens] = np.repeat(mine, rows.count)
            row += len(rows.chunk)
        return found

    def places(self, tokens: Ids) -> tuple[Ids, Ids]:
        """(n,) the chunk of each token, and its place in it, from 0. Any shape."""
        row = np.searchsorted(self._starts, tokens, side="right") - 1
        return self._chunks[row], tokens - self._starts[row]

    def values(self) -> npt.NDArray[np.int32]:
        """(total,) every token by its id, -1 where there is none."""
        found = np.full(self.total, -1, dtype=np.int32)
        for start, values in zip(self._starts.tolist(), self._values, strict=True):
            if values is not None:
                found[start : start + len(values)] = values
        return found

    def chunks(self) -> Ids:
        """The ids of the chunks that have keys."""
        return self._chunks[self._chunks >= 0]


def open_keys(folder: Path, manifest: DatastoreManifest) -> Vectors:
    """The keys of all tokens, by token id: rows that are not of unit length, zero without a key."""
    parts = [
        VectorPart(str(folder / part.keys.name), part.base, part.tokens) for part in manifest.parts
    ]
    return Vectors(parts, manifest.maker.dim, MAKE)
