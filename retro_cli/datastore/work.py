"""The keys of one piece: read its text, run the model over it, write a part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from retro_cli.chunks.rows import token_ids
from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.datastore.manifest import KeyPart
from retro_cli.datastore.parts import Floats, Ids, KeyRows, write_part
from retro_cli.datastore.plan import Piece, Slice

if TYPE_CHECKING:
    from retro_cli.datastore.maker import KeyModel


@dataclass(frozen=True)
class Cut:
    """Rows of a document in the model's tokens. ids: all of them; counts: (rows,) how many are
    each row's."""

    ids: npt.NDArray[np.int64]
    counts: Ids


def make_part(
    chunks: Path,
    folder: Path,
    stem: str,
    piece: Piece,
    model: KeyModel,
    stored_bytes: int,
    advance: Callable[[int], None],
) -> KeyPart:
    """Write the part of a piece; its base is given at the commit. chunks: the chunk part's file.

    stored_bytes: the width of its token ids if they are the model's, 0 to tokenise its text.
    """
    cuts = [_cut(chunks, each, model.tokenizer, stored_bytes) for each in piece.slices]
    rows = _rows(piece, cuts)

    def blocks() -> Iterator[Floats]:
        for each, cut in zip(piece.slices, cuts, strict=True):
            before = int(cut.counts[: each.first - each.context].sum())
            yield model.keys(cut.ids, before)
            advance(each.last - each.first)

    return write_part(folder, stem, 0, rows, model.maker.dim, blocks())


def _rows(piece: Piece, cuts: list[Cut]) -> KeyRows:
    chunk, since, count, values = [], [], [], []
    for each, cut in zip(piece.slices, cuts, strict=True):
        ends = np.cumsum(cut.counts)
        for row in range(each.first, each.last):
            place = row - each.context
            chunk.append(piece.part.base + row)
            since.append(piece.part.base + each.context)
            count.append(int(cut.counts[place]))
            values.append(cut.ids[ends[place] - cut.counts[place] : ends[place]].astype(np.int32))
    ids, first, counts = (np.array(column, dtype=np.int64) for column in (chunk, since, count))
    return KeyRows(ids, first, counts, tuple(values))


def _cut(path: Path, rows: Slice, tokenizer: ChunkTokenizer, stored_bytes: int) -> Cut:
    table = _read(path, rows.context, rows.last, "tokens" if stored_bytes else "text")
    if stored_bytes:
        found = token_ids(table["tokens"].combine_chunks(), stored_bytes)
        counts = np.array([len(ids) for ids in found], dtype=np.int64)
        return Cut(np.concatenate(found).astype(np.int64), counts)
    return cut_texts(table["text"].to_pylist(), tokenizer)


def cut_texts(texts: list[str], tokenizer: ChunkTokenizer) -> Cut:
    """The tokens of a text that comes in pieces. A token over a border belongs behind it: a word
    and the space before it are one token, and that is the word's."""
    text = "".join(texts)
    words = list(tokenizer.windows(text))
    ids = np.concatenate([np.empty(0, np.int64), *(each.ids for each in words)]).astype(np.int64)
    starts = np.concatenate([np.empty(0, np.int64), *(each.starts for each in words)])
    ends = np.append(starts[1:], len(text))
    lengths = np.array([len(each) for each in texts], dtype=np.int64)
    borders = np.cumsum(lengths) - lengths
    owner = np.searchsorted(borders, np.maximum(ends - 1, starts), side="right") - 1
    return Cut(ids, np.bincount(owner, minlength=len(texts)).astype(np.int64))


def _read(path: Path, first: int, last: int, column: str) -> pa.Table:
    """Rows [first, last) of a column, from the row groups that hold them."""
    with pq.ParquetFile(path, memory_map=True) as file:
        size = file.metadata.row_group(0).num_rows
        groups = list(range(first // size, -(-last // size)))
        table = file.read_row_groups(groups, columns=[column], use_threads=False)
        return table.slice(first - groups[0] * size, last - first)
