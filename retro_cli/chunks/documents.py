"""What lives: the documents of some input files, and how many tokens there are in all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retro_cli.chunks.changes import OLD, Documents, content_digest, name_digest
from retro_cli.chunks.inputs import KnownFile
from retro_cli.chunks.manifest import ChunkManifest, Part
from retro_cli.store.tables import read_columns

Places = npt.NDArray[np.int32]  # positions in a list of files


def live_documents(
    folder: Path, parts: Sequence[Part], files: Sequence[KnownFile]
) -> list[Iterable[Documents]]:
    """The live documents of each file, in blocks (n,) of OLD, ordered by part and row.

    Those of a single file, which may be very many, are read as they are asked for, once.
    """
    if not files:
        return []
    if len(files) == 1:
        return [(documents for _, documents in _blocks(folder, parts, files))]
    places, blocks = [np.empty(0, np.int32)], [np.empty(0, OLD)]
    for place, documents in _blocks(folder, parts, files):
        places.append(place)
        blocks.append(documents)
    file_of = np.concatenate(places)
    by_file = np.argsort(file_of, kind="stable")
    documents = np.concatenate(blocks)[by_file]
    bounds = np.searchsorted(file_of[by_file], np.arange(len(files) + 1))
    return [[documents[a:b]] for a, b in pairwise(bounds.tolist())]


def count_documents(folder: Path, parts: Sequence[Part], files: Sequence[KnownFile]) -> list[int]:
    """How many live documents each of some files has."""
    total = np.zeros(len(files), np.int64)
    for _, _, _, place in _rows(folder, parts, files, ["uri"]):
        total += np.bincount(place, minlength=len(files))
    counts: list[int] = total.tolist()
    return counts


def _blocks(
    folder: Path, parts: Sequence[Part], files: Sequence[KnownFile]
) -> Iterator[tuple[Places, Documents]]:
    """Part by part: whose each document is, and (n,) of OLD."""
    for index, table, rows, place in _rows(folder, parts, files, ["uri", "key", "hash"]):
        mine = table.take(pa.array(rows))
        named = list(zip(mine["key"].to_pylist(), mine["hash"].to_pylist(), strict=True))
        documents = np.empty(len(rows), OLD)
        documents["part"], documents["row"] = index, rows
        documents["name"] = [name_digest(key) for key, _ in named]
        documents["content"] = [content_digest(key, content) for key, content in named]
        yield place, documents


def _rows(
    folder: Path, parts: Sequence[Part], files: Sequence[KnownFile], columns: Sequence[str]
) -> Iterator[tuple[int, pa.Table, npt.NDArray[np.int64], Places]]:
    """Of each part that holds any of the files: its position, its document table, the rows of the
    live documents of these files, and whose they are."""
    wanted = pa.array([file.uri for file in files], pa.string())
    items = {item for file in files for item in file.items}
    for index, part in enumerate(parts):
        if part.item not in items:
            continue
        table = read_columns(folder / part.docs_file, columns)
        place = pc.index_in(table["uri"], value_set=wanted).fill_null(-1).to_numpy()
        mine = place >= 0
        for first, count in part.dead_docs:
            mine[first : first + count] = False
        rows = np.flatnonzero(mine)
        yield index, table, rows, place[rows]


def live_tokens(folder: Path, manifest: ChunkManifest) -> int:
    """How many tokens the living rows have. Reads the parts that have dead ones, one at a time."""
    count = 0
    for part in (each for each in manifest.parts if each.live_rows):
        count += part.written.tokens
        if part.dead_rows:
            column = read_columns(folder / part.chunks_file, ["tokens"])["tokens"]
            sizes = pc.binary_length(column).to_numpy()
            dead = sum(int(sizes[first : first + length].sum()) for first, length in part.dead_rows)
            count -= dead // manifest.token_bytes
    return count


def tokens_per_chunk(
    folder: Path, manifest: ChunkManifest, own: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """(longest + 1,) how many chunks have so many tokens. own: (next_id,) the chunks to count.

    Reads a part at a time.
    """
    counts = np.zeros(1, dtype=np.int64)
    for part in manifest.parts:
        mine = own[part.base : part.base + part.rows]
        if not mine.any():
            continue
        column = read_columns(folder / part.chunks_file, ["tokens"])["tokens"]
        lengths = pc.binary_length(column).to_numpy()[mine] // manifest.token_bytes
        here = np.bincount(lengths, minlength=len(counts))
        here[: len(counts)] += counts
        counts = here
    return counts
