"""Neighbour tables of texts outside the database: what is in them, and how a model reads it.

A row is a chunk of a text in the model's own tokens, with its vector and its neighbours' ids. The
documents of a part are whole, and numbered through all parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from retro_cli.chunks.rows import token_ids
from retro_cli.query.neighbours import NeighbourTable
from retro_cli.query.table import NONE, found_fields, load_kind, load_table, masked, wide
from retro_cli.reading.material import Material
from retro_cli.reading.texts import Tokens, padded
from retro_cli.store.layout import Layout
from retro_cli.store.tables import read_columns

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.float16]
Bits = npt.NDArray[np.bool_]


def text_schema(k: int, dim: int) -> pa.Schema:
    """The columns of a part. ``start`` and ``end`` are bytes of the document in UTF-8, ``tokens``
    little-endian, ``vector`` float16."""
    return pa.schema(
        [
            ("document", pa.int32()),
            ("name", pa.string()),
            ("position", pa.int32()),  # 0, 1, 2, ... within its document
            ("tokens", pa.binary()),
            ("start", pa.int64()),
            ("end", pa.int64()),
            ("vector", pa.binary(2 * dim)),
            *found_fields(k),
        ]
    )


class TextTable:
    """A table of ``n`` rows. Columns are read when they are asked for, and kept.

    ``neighbours`` and ``scores`` are as they were looked up: what has died or was filtered since
    is still among them, and ``shown`` and ``material`` leave it out.
    """

    def __init__(self, layout: Layout, name: str) -> None:
        """Raises NotBuiltYet, IntegrityError, and UsageError for a table of the database."""
        self.manifest = load_kind(layout, name, texts=True)
        assert self.manifest.texts is not None
        self.made = self.manifest.texts
        self._folder = layout.neighbours / name

    @cached_property
    def tokens(self) -> Tokens:
        """(n, m) int32, -1 behind a document's end."""
        ids = token_ids(self._read("tokens")["tokens"].combine_chunks(), self.made.token_bytes)
        return padded(ids, len(ids), self.made.chunk_length)

    @cached_property
    def document(self) -> npt.NDArray[np.int32]:
        """(n,) the number of each row's document, from 0, rising."""
        return self._numbers("document")

    @cached_property
    def position(self) -> npt.NDArray[np.int32]:
        """(n,) the row's place in its document, from 0."""
        return self._numbers("position")

    @cached_property
    def start(self) -> Ids:
        """(n,) the row's first byte in its document."""
        return self._numbers("start")

    @cached_property
    def end(self) -> Ids:
        """(n,) the byte behind its last."""
        return self._numbers("end")

    @cached_property
    def names(self) -> list[str]:
        """The documents' names, by number; "" for one that has no tokens."""
        names = [""] * self.made.documents
        first = np.unique(self.document, return_index=True)[1]
        for number, name in zip(
            self.document[first].tolist(),
            self._read("name")["name"].take(pa.array(first)).to_pylist(),
            strict=True,
        ):
            names[number] = name
        return names

    @cached_property
    def vectors(self) -> Halves:
        """(n, dim) float16 unit rows, of zeros where the encoder found nothing to encode."""
        rows = self._read("vector")["vector"].to_pylist()
        return np.frombuffer(b"".join(rows), "<f2").reshape(len(rows), self.made.dim)

    @cached_property
    def neighbours(self) -> Ids:
        """(n, k) chunk ids, best first, -1 where there are fewer."""
        found: Ids = wide(self._read("neighbours"), "neighbours")
        return found

    @cached_property
    def scores(self) -> Floats:
        """(n, k) their cosines, -inf where there is no neighbour."""
        found: Floats = wide(self._read("scores"), "scores")
        return found

    def shown(self, own: Bits) -> tuple[Ids, Floats]:
        """Neighbours and scores that may be shown now; own: (next_id,) rows that may."""
        neighbours = masked(self.neighbours, own)
        return neighbours, np.where(neighbours == NONE, np.float32(-np.inf), self.scores)

    def material(self, own: Bits) -> Material:
        """What a model is trained or evaluated on; own: (next_id,) rows that may be shown."""
        return Material(self.tokens, self.position == 0, masked(self.neighbours, own))

    def _read(self, column: str) -> pa.Table:
        files = [self._folder / file.name for _, file in sorted(self.manifest.parts.items())]
        return pa.concat_tables([read_columns(file, [column]) for file in files])

    def _numbers(self, column: str) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = self._read(column)[column].to_numpy()
        return found


def given_ids(layout: Layout, name: str, own: Bits) -> Iterator[Ids]:
    """Every chunk id that a reader of a table, of either kind, is given. Raises as they do."""
    if load_table(layout, name).texts is None:
        yield from NeighbourTable(layout, name, own).given()
    else:
        neighbours, _ = TextTable(layout, name).shown(own)
        yield neighbours[neighbours != NONE]
