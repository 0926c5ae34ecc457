"""Decide what a run has to chunk: compare today's files, and the documents inside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from retro_cli.chunks.changes import OldDocument, compare_documents
from retro_cli.chunks.inputs import Comparison, KnownFile
from retro_cli.chunks.manifest import Part
from retro_cli.chunks.part import document_hash
from retro_cli.corpus import InputFile, ReadOptions, Rejected, Slice, read, split
from retro_cli.store.tables import read_columns

EMPTY = "empty text"


@dataclass
class Update:
    """What a run will do. ``dead`` are documents that it replaces or removes."""

    slices: list[Slice] = field(default_factory=list)
    dead: list[OldDocument] = field(default_factory=list)
    rejections: dict[str, list[Rejected]] = field(default_factory=dict)
    replaced: int = 0
    removed: int = 0
    vanished: dict[str, int] = field(default_factory=dict)  # gone from their file, but kept


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
    old = live_documents(folder, parts, [*comparison.changed, *pruned])
    for known in comparison.changed:
        _compare_file(update, old[known.uri], listed[known.uri], options, prune)
    for known in pruned:
        update.dead += old[known.uri]
        update.removed += len(old[known.uri])
    update.slices.sort(key=lambda piece: (piece.file.uri, piece.start))
    return update


def _compare_file(
    update: Update,
    old: list[OldDocument],
    file: InputFile,
    options: ReadOptions,
    prune: bool,
) -> None:
    rejections: list[Rejected] = []
    changes = compare_documents(old, _records(file, options, rejections))
    if rejections:
        update.rejections[file.uri] = rejections
    if changes.positions:
        update.slices.append(Slice(file, only=changes.positions))
    update.dead += changes.replaced
    update.replaced += len(changes.replaced)
    # A file that is damaged today must not take yesterday's documents with it; one that was
    # emptied on purpose may.
    damaged = any(record.reason != EMPTY for record in rejections)
    if prune and not damaged:
        update.dead += changes.vanished
        update.removed += len(changes.vanished)
    else:
        update.vanished[file.uri] = len(changes.vanished)


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
) -> dict[str, list[OldDocument]]:
    """The live documents of some files, reading only the tables that hold any of them."""
    found: dict[str, list[OldDocument]] = defaultdict(list)
    wanted = {file.uri for file in files}
    items = {item for file in files for item in file.items}
    for index, part in enumerate(parts):
        if part.item not in items:
            continue
        columns = ["uri", "key", "hash", "first", "chunks"]
        table = read_columns(folder / part.docs_file, columns)
        mine = pc.is_in(table["uri"], value_set=pa.array(sorted(wanted), pa.string()))
        dead = {row for first, count in part.dead_docs for row in range(first, first + count)}
        for row in pc.indices_nonzero(mine).to_pylist():
            if row in dead:
                continue
            uri, key, digest, first, chunks = (table[name][row].as_py() for name in columns)
            found[uri].append(OldDocument(index, row, key, digest, first, chunks))
    return found
