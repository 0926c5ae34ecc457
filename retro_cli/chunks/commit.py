"""What a finished run becomes: ids in plan order, dead rows, the input table, the quarantine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from retro_cli.chunks.changes import OldDocument
from retro_cli.chunks.inputs import Comparison, KnownFile
from retro_cli.chunks.manifest import Part, with_dead
from retro_cli.chunks.plan import Item
from retro_cli.chunks.update import Update
from retro_cli.chunks.work import Done, rejection_json
from retro_cli.store.atomic import write_bytes

QUARANTINE = "quarantine.jsonl"
Rejection = dict[str, str | int]


def gather_rejections(folder: Path, done: Sequence[Done], update: Update) -> list[Rejection]:
    """The records that this run set aside, each once: by workers, or while comparing files."""
    found = read_rejections(folder, done)
    known = {(record["uri"], record["where"]) for record in found}
    for uri, records in update.rejections.items():
        found += [rejection_json(r) for r in records if (uri, r.where) not in known]
    return found


def write_quarantine(folder: Path, rejections: list[Rejection], reread: set[str]) -> int:
    """Replace the records set aside of every file that this run has read; count all."""
    path = folder / QUARANTINE
    old = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    records = [r for line in old if (r := json.loads(line))["uri"] not in reread]
    records += rejections
    records.sort(key=lambda r: (r["uri"], r["position"], r["where"]))
    data = "".join(json.dumps(r, sort_keys=True) + "\n" for r in records).encode("ascii")
    if not records:
        path.unlink(missing_ok=True)
    elif not path.exists() or path.read_bytes() != data:
        write_bytes(path, data)
    return len(records)


def read_rejections(folder: Path, done: Sequence[Done]) -> list[Rejection]:
    found = []
    for result in done:
        if result.rejected is not None:
            lines = (folder / result.rejected.name).read_text(encoding="ascii").splitlines()
            found += [json.loads(line) for line in lines]
    return found


def kill(parts: Sequence[Part], dead: Sequence[OldDocument]) -> list[Part]:
    """The parts with some documents' rows dead."""
    by_part: dict[int, list[OldDocument]] = {}
    for document in dead:
        by_part.setdefault(document.part, []).append(document)
    result = list(parts)
    for index, documents in by_part.items():
        rows = [(document.first, document.chunks) for document in documents]
        result[index] = with_dead(result[index], rows, [document.row for document in documents])
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
    vanished: dict[str, int],
) -> list[KnownFile]:
    """The input table after this run: which items hold each file's documents."""
    added: dict[str, list[int]] = {}
    for item, finished in zip(items, done, strict=True):
        if finished.parts:
            for uri in {piece.file.uri for piece in item.slices}:
                added.setdefault(uri, []).append(item.number)
    gone = {file.uri for file in pruned}
    read_now = [*comparison.new, *comparison.changed]
    updated = [
        replace(
            f,
            items=(*f.items, *sorted(added.get(f.uri, ()))),
            vanished=vanished.get(f.uri, 0),
        )
        for f in read_now
    ]
    missing = [file for file in comparison.missing if file.uri not in gone]
    return [*updated, *comparison.unchanged, *missing]


def describe(rejection: Rejection) -> str:
    return f"{rejection['uri']}, {rejection['where']}: {rejection['reason']}"
