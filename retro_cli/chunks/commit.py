"""What a finished run becomes: ids in plan order, dead rows, the input table, the quarantine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby, islice, repeat
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retro_cli.chunks.edits import PRUNED, Edit
from retro_cli.chunks.inputs import KnownFile, paired
from retro_cli.chunks.manifest import Part, with_dead
from retro_cli.chunks.plan import Outline
from retro_cli.chunks.update import Dead, Update
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


class _OfFile(NamedTuple):
    """Consecutive records of one file."""

    uri: str
    records: Iterator[Any]


def new_rejections(folder: Path, done: Sequence[Done], update: Update) -> Iterator[Rejection]:
    """The records that this run set aside, each once: by workers, or while comparing files."""
    compared = groupby(update.rejections, key=attrgetter("uri"))
    worked = groupby(_set_aside_by_workers(folder, done), key=itemgetter("uri"))
    for again, before in paired((_OfFile(*g) for g in worked), (_OfFile(*g) for g in compared)):
        if again is not None:
            known = {record.where for record in before.records} if before is not None else ()
            yield from (record for record in again.records if record["where"] not in known)
    yield from map(rejection_json, update.rejections)


def _set_aside_by_workers(folder: Path, done: Sequence[Done]) -> Iterator[Rejection]:
    """In the order of the work, which is that of the files' uris."""
    for result in done:
        if result.rejected is not None:
            with (folder / result.rejected.name).open(encoding="ascii") as file:
                yield from map(json.loads, file)


def reread_files(folder: Path, edits: Iterable[Edit]) -> set[str]:
    """Of the files that had records set aside before, those that this run has read again."""
    held = {record["uri"] for record in read_quarantine(folder / QUARANTINE)}
    return {edit.uri for edit in edits if edit.rereads and edit.uri in held} if held else set()


def write_quarantine(folder: Path, new: Iterable[Rejection], reread: set[str]) -> SetAside:
    """Replace the records set aside of every file that this run has read. Streams: there may be
    more of them than memory holds."""
    path = folder / QUARANTINE
    kept = added = 0
    first: Rejection | None = None
    with replacing(path) as temporary, temporary.open("w", encoding="ascii") as out:
        for record in read_quarantine(path):
            if record["uri"] not in reread:
                out.write(json.dumps(record, sort_keys=True) + "\n")
                kept += 1
        for record in new:
            first = first or record
            out.write(json.dumps(record, sort_keys=True) + "\n")
            added += 1
        out.flush()
    if not kept + added:
        path.unlink()
    return SetAside(kept + added, added, first)


def read_quarantine(path: Path) -> Iterator[Rejection]:
    """The records of a quarantine, without lines that were damaged: they are there for people."""
    if path.exists():
        with path.open(encoding="ascii", errors="replace") as file:
            for line in file:
                with suppress(ValueError, RecursionError):
                    record = json.loads(line)
                    if isinstance(record, dict) and isinstance(record.get("uri"), str):
                        yield record


def kill(folder: Path, parts: Sequence[Part], dead: Dead) -> list[Part]:
    """The parts with some documents and their rows dead. Raises IntegrityError."""
    result = list(parts)
    for index in np.unique(dead["part"]).tolist():
        docs = dead["row"][dead["part"] == index]
        table = read_columns(folder / parts[index].docs_file, ["first", "chunks"])
        rows = (table[name].to_numpy()[docs].tolist() for name in ("first", "chunks"))
        result[index] = with_dead(parts[index], zip(*rows, strict=True), docs.tolist())
    return result


def place(
    parts: Sequence[Part], first_item: int, done: Sequence[Done], next_id: int
) -> tuple[list[Part], int]:
    """Give the new parts their ids, in plan order whatever order they finished in."""
    result = list(parts)
    for number, finished in enumerate(done, first_item):
        for written in finished.parts:
            result.append(Part(written, next_id, number))
            next_id += written.rows
    return result, next_id


def homes(
    outlines: Sequence[Outline], done: Sequence[Done], first_item: int
) -> Iterator[int | None]:
    """For each slice of the plan, the item that holds its documents; None if there are none."""
    for number, (outline, finished) in enumerate(zip(outlines, done, strict=True), first_item):
        yield from repeat(number if finished.parts else None, outline.slices)


def remember(
    known: Iterable[KnownFile], edits: Iterable[Edit], found: Iterator[int | None]
) -> Iterator[KnownFile]:
    """The input table after this run, by uri. ``found``: the home of each slice of the edits."""
    for before, edit in paired(known, edits):
        if edit is not None:
            held = islice(found, len(edit.pieces))
            items = dict.fromkeys(number for number in held if number is not None)
            if edit.state != PRUNED:
                yield edit.known._replace(items=(*edit.known.items, *items))
        elif before is not None:
            yield before


def describe(rejection: Rejection) -> str:
    return f"{rejection['uri']}, {rejection['where']}: {rejection['reason']}"
