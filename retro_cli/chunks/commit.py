"""What a finished run becomes: ids in plan order, dead rows, the input table, the quarantine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from retro_cli.chunks.changes import Documents
from retro_cli.chunks.inputs import Comparison, KnownFile
from retro_cli.chunks.manifest import Part, with_dead
from retro_cli.chunks.plan import Item
from retro_cli.chunks.update import FileUpdate, Update
from retro_cli.chunks.work import Done, rejection_json
from retro_cli.store.atomic import replacing
from retro_cli.store.tables import read_columns

QUARANTINE = "quarantine.jsonl"
Rejection = dict[str, str | int]


@dataclass(frozen=True)
class SetAside:
    """The records set aside: all there are now, those of this run, and the first of these."""

    total: int
    new: int
    first: Rejection | None


def new_rejections(folder: Path, done: Sequence[Done], update: Update) -> Iterator[Rejection]:
    """The records that this run set aside, each once: by workers, or while comparing files."""
    compared = {(r.uri, r.where) for records in update.rejections.values() for r in records}
    for result in done:
        if result.rejected is not None:
            with (folder / result.rejected.name).open(encoding="ascii") as file:
                for line in file:
                    record = json.loads(line)
                    if (record["uri"], record["where"]) not in compared:
                        yield record
    for _, records in sorted(update.rejections.items()):
        yield from map(rejection_json, records)


def write_quarantine(folder: Path, new: Iterable[Rejection], reread: set[str]) -> SetAside:
    """Replace the records set aside of every file that this run has read. Streams: there may be
    more of them than memory holds."""
    path = folder / QUARANTINE
    kept = added = 0
    first: Rejection | None = None
    with replacing(path) as temporary, temporary.open("w", encoding="ascii") as out:
        for line in _lines(path):
            if json.loads(line)["uri"] not in reread:
                out.write(line)
                kept += 1
        for record in new:
            first = first or record
            out.write(json.dumps(record, sort_keys=True) + "\n")
            added += 1
        out.flush()
    if not kept + added:
        path.unlink()
    return SetAside(kept + added, added, first)


def _lines(path: Path) -> Iterator[str]:
    if path.exists():
        with path.open(encoding="ascii") as file:
            yield from file


def kill(folder: Path, parts: Sequence[Part], dead: Documents) -> list[Part]:
    """The parts with some documents and their rows dead. Raises IntegrityError."""
    result = list(parts)
    for index in np.unique(dead["part"]).tolist():
        docs = dead["row"][dead["part"] == index]
        table = read_columns(folder / parts[index].docs_file, ["first", "chunks"])
        rows = (table[name].to_numpy()[docs].tolist() for name in ("first", "chunks"))
        result[index] = with_dead(parts[index], zip(*rows, strict=True), docs.tolist())
    return result


def place(
    parts: Sequence[Part], items: Sequence[Item], done: Sequence[Done], next_id: int
) -> tuple[list[Part], int]:
    """Give the new parts their ids, in plan order whatever order they finished in."""
    result = list(parts)
    for item, finished in zip(items, done, strict=True):
        for written in finished.parts:
            result.append(Part(written, next_id, item.number))
            next_id += written.rows
    return result, next_id


def remember(
    comparison: Comparison,
    pruned: Sequence[KnownFile],
    items: Sequence[Item],
    done: Sequence[Done],
    read: Mapping[str, FileUpdate],
) -> list[KnownFile]:
    """The input table after this run: which items hold each file's documents."""
    added: dict[str, tuple[int, ...]] = {}
    for item, finished in zip(items, done, strict=True):
        if finished.parts:
            alone = (item.number,)  # one tuple for all the small files of an item
            for uri in {piece.file.uri for piece in item.slices}:
                added[uri] = added[uri] + alone if uri in added else alone
    gone = {file.uri for file in pruned}
    read_now = [*comparison.new, *comparison.changed]
    updated = [
        replace(
            f,
            items=f.items + added.get(f.uri, ()),
            vanished=read[f.uri].vanished if f.uri in read else 0,
        )
        for f in read_now
    ]
    missing = [file for file in comparison.missing if file.uri not in gone]
    return [*updated, *comparison.unchanged, *missing]


def describe(rejection: Rejection) -> str:
    return f"{rejection['uri']}, {rejection['where']}: {rejection['reason']}"
