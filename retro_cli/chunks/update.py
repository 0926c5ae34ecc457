"""Decide what a run has to chunk: compare today's files, and the documents inside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retro_cli.chunks.changes import (
    OLD,
    Documents,
    compare_documents,
    content_digest,
    name_digest,
)
from retro_cli.chunks.inputs import Comparison, KnownFile
from retro_cli.chunks.manifest import Part
from retro_cli.chunks.part import document_hash
from retro_cli.corpus import InputFile, ReadOptions, Rejected, Slice, read, split
from retro_cli.store.tables import read_columns

EMPTY = "empty text"


@dataclass(frozen=True, slots=True)
class FileUpdate:
    """The documents of one changed or pruned file.

    written:  to be chunked; ``added`` of them replace none
    kept:     found again as they were
    vanished: gone from the file, but kept; with ``prune`` they are ``removed``
    """

    written: int = 0
    added: int = 0
    kept: int = 0
    replaced: int = 0
    vanished: int = 0
    removed: int = 0


@dataclass
class Update:
    """What a run will do. ``dead``: (n,) of OLD, the documents that it replaces or removes."""

    slices: list[Slice] = field(default_factory=list)
    dead: Documents = field(default_factory=lambda: np.empty(0, OLD))
    rejections: dict[str, list[Rejected]] = field(default_factory=dict)
    files: dict[str, FileUpdate] = field(default_factory=dict)  # changed and pruned ones, by uri

    @property
    def replaced(self) -> int:
        return sum(file.replaced for file in self.files.values())

    @property
    def removed(self) -> int:
        return sum(file.removed for file in self.files.values())

    @property
    def vanished(self) -> int:
        return sum(file.vanished for file in self.files.values())


def plan_update(
    folder: Path,
    parts: Sequence[Part],
    comparison: Comparison,
    listed: dict[str, InputFile],
    options: ReadOptions,
    *,
    part_bytes: int,
    pruned: Sequence[KnownFile],
    prune: bool,
) -> Update:
    """New files whole, changed files by document, and the documents that go with pruned files."""
    update = Update()
    for known in comparison.new:
        update.slices += split(listed[known.uri], options, part_bytes)
    read_now = [*comparison.changed, *pruned]
    file_of, documents = live_documents(folder, parts, read_now)
    bounds = np.searchsorted(file_of, np.arange(len(read_now) + 1))
    groups = [documents[a:b] for a, b in pairwise(bounds.tolist())]
    dead = [
        _compare_file(update, old, listed[known.uri], options, prune)
        for known, old in zip(comparison.changed, groups, strict=False)
    ]
    gone = groups[len(dead) :]
    for known, old in zip(pruned, gone, strict=True):
        update.files[known.uri] = FileUpdate(removed=len(old))
    update.dead = np.concatenate([np.empty(0, OLD), *dead, *gone])
    update.slices.sort(key=lambda piece: (piece.file.uri, piece.start))
    return update


def _compare_file(
    update: Update, old: Documents, file: InputFile, options: ReadOptions, prune: bool
) -> Documents:
    """Note what one changed file asks for; returns the documents that go."""
    rejections: list[Rejected] = []
    changes = compare_documents(old, _records(file, options, rejections))
    if rejections:
        update.rejections[file.uri] = rejections
    if changes.positions:
        update.slices.append(Slice(file, only=changes.positions))
    # A file that is damaged today must not take yesterday's documents with it; one that was
    # emptied on purpose may.
    damaged = any(record.reason != EMPTY for record in rejections)
    removes = prune and not damaged
    gone = len(changes.vanished)
    update.files[file.uri] = FileUpdate(
        written=len(changes.positions),
        added=changes.added,
        kept=changes.kept,
        replaced=len(changes.replaced),
        vanished=0 if removes else gone,
        removed=gone if removes else 0,
    )
    return np.concatenate([changes.replaced, changes.vanished]) if removes else changes.replaced


def _records(
    file: InputFile, options: ReadOptions, rejections: list[Rejected]
) -> Iterator[tuple[int, str, bytes]]:
    for record in read(Slice(file), options):
        if isinstance(record, Rejected):
            rejections.append(record)
        else:
            yield record.position, record.key, document_hash(record)


def live_documents(
    folder: Path, parts: Sequence[Part], files: Sequence[KnownFile]
) -> tuple[npt.NDArray[np.int32], Documents]:
    """The live documents of some files, reading only the tables that hold any of them.

    Returns (n,) positions in ``files``, ascending, and (n,) of OLD.
    """
    order = sorted(range(len(files)), key=lambda i: files[i].uri)
    wanted = pa.array([files[i].uri for i in order], pa.string())
    items = {item for file in files for item in file.items}
    file_of, found = [np.empty(0, np.int32)], [np.empty(0, OLD)]
    for index, part in enumerate(parts):
        if part.item not in items:
            continue
        table = read_columns(folder / part.docs_file, ["uri", "key", "hash"])
        rows, place = _live_rows(part, table["uri"], wanted)
        table = table.take(pa.array(rows))
        file_of.append(np.array(order, np.int32)[place])
        found.append(_old_documents(index, rows, table["key"], table["hash"]))
    files_of, documents = np.concatenate(file_of), np.concatenate(found)
    del file_of, found  # one file of millions of documents should not be in memory twice
    if (files_of[1:] >= files_of[:-1]).all():
        return files_of, documents
    by_file = np.argsort(files_of, kind="stable")
    return files_of[by_file], documents[by_file]


def count_documents(folder: Path, parts: Sequence[Part], files: Sequence[KnownFile]) -> list[int]:
    """How many live documents each of some files has."""
    wanted = pa.array([file.uri for file in files], pa.string())
    items = {item for file in files for item in file.items}
    total = np.zeros(len(files), np.int64)
    for part in parts:
        if part.item in items:
            table = read_columns(folder / part.docs_file, ["uri"])
            _, place = _live_rows(part, table["uri"], wanted)
            total += np.bincount(place, minlength=len(files))
    counts: list[int] = total.tolist()
    return counts


def _live_rows(
    part: Part, uris: pa.ChunkedArray, wanted: pa.Array
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """The rows of a part's live documents whose uri is wanted, and where in ``wanted`` it is."""
    place = pc.index_in(uris, value_set=wanted).fill_null(-1).to_numpy()
    mine = place >= 0
    for first, count in part.dead_docs:
        mine[first : first + count] = False
    rows = np.flatnonzero(mine)
    return rows, place[rows]


def _old_documents(
    part: int, rows: npt.NDArray[np.int64], keys: pa.ChunkedArray, hashes: pa.ChunkedArray
) -> Documents:
    named = list(zip(keys.to_pylist(), hashes.to_pylist(), strict=True))
    documents = np.empty(len(rows), OLD)
    documents["part"], documents["row"] = part, rows
    documents["name"] = [name_digest(key) for key, _ in named]
    documents["content"] = [content_digest(key, content) for key, content in named]
    return documents
